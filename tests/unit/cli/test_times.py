"""Times on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import pytest

from dragon.errors import NotSettled
from dragon_cli.render.text import duration
from dragon_cli.times import MonthType, Period, TimeInput, cut_at_settled, parse_time, period


def unix(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


NOW = unix("2026-11-29T14:06:20")


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("now", "2026-11-29T14:06:20", None),
        ("today", "2026-11-29", "2026-11-30"),
        ("yesterday", "2026-11-28", "2026-11-29"),
        ("30d", "2026-10-30T14:06:20", None),
        ("2w", "2026-11-15T14:06:20", None),
        ("12h", "2026-11-29T02:06:20", None),
        ("15m", "2026-11-29T13:51:20", None),
        ("20s", "2026-11-29T14:06:00", None),
        ("2026-10", "2026-10-01", "2026-11-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
        ("2026-02", "2026-02-01", "2026-03-01"),
        ("2026-10-01", "2026-10-01", "2026-10-02"),
        ("2026-10-01T10:00", "2026-10-01T10:00", None),
    ],
)
def test_times_are_read(text: str, begin: str, end: str | None) -> None:
    found = parse_time(text, NOW + 0.7)

    assert (found.at, found.ends) == (unix(begin), unix(end) if end else None)
    assert found.is_now is (text == "now")


@pytest.mark.parametrize("text", ["", "d", "-3d", "1.5h", "3y", "2026-13", "2026-00", "99999d",
                                  "0000-10", "tomorrow", "٣d", "9999999999w"])  # fmt: skip
def test_other_texts_are_no_times(text: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        parse_time(text, NOW)


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        ("2026-10", None, ("2026-10-01", "2026-11-01", True)),
        ("yesterday", None, ("2026-11-28", "2026-11-29", True)),
        ("2026-11", "now", ("2026-11-01", "2026-11-29T14:06:20", True)),
        ("2026-10-01", "2026-10-03", ("2026-10-01", "2026-10-03", False)),
    ],
)
def test_a_period_ends_with_its_month_or_day_or_now(
    begin: str, end: str | None, expected: tuple[str, str, bool]
) -> None:
    last = parse_time(end, NOW) if end else None

    found = period(parse_time(begin, NOW), last, NOW)

    assert found == Period(unix(expected[0]), unix(expected[1]), expected[2])


def test_an_empty_period_is_wrong_usage() -> None:
    with pytest.raises(click.UsageError, match=r"`--from` \(now\) must be earlier than `--to`"):
        period(parse_time("now", NOW), None, NOW)


def test_a_period_is_cut_at_what_is_settled(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = Period(NOW - 3600, NOW, is_open=True)

    assert cut_at_settled(wanted, NOW - 180) == NOW - 180
    assert capsys.readouterr().err == (
        "Settled until 2026-11-29 14:03:20 UTC; the last 3 min come later.\n"
    )
    assert cut_at_settled(wanted, NOW + 5) == NOW
    with pytest.raises(NotSettled, match="before the period begins"):
        cut_at_settled(wanted, NOW - 3600)


def test_a_month_is_a_year_and_a_month() -> None:
    assert MonthType().convert("2026-10", None, None).ends == unix("2026-11-01")
    assert MonthType().convert(TimeInput("", 3), None, None).at == 3
    for text in ("2026", "2026-10-01", "yesterday", "2026-13"):
        with pytest.raises(click.BadParameter):
            MonthType().convert(text, None, None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (180, "3 min"), (3661, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_durations_have_two_units(seconds: int, text: str) -> None:
    assert duration(seconds) == text
