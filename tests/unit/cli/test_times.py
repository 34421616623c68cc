"""Times on the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import click
import pytest

from dragon.errors import NotSettled
from dragon_cli.durations import parse_duration
from dragon_cli.render.text import duration
from dragon_cli.times import (
    MonthType,
    Period,
    TimeInput,
    cut_at_settled,
    parse_time,
    period,
    time_option,
)
from dragon_cli.zones import LocalTimeError, ZoneType


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
        ("+90m", "2026-11-29T15:36:20", None),
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
                                  "0000-10", "tomorrow", "+", "++2h", "+2", "+-2h", "٣d",
                                  "9999999999w"])  # fmt: skip
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


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("2026-12-01T03:00", "2026-12-01T02:00", None),
        ("2026-07-01 03:00", "2026-07-01T01:00", None),
        ("2026-12-01T03:00Z", "2026-12-01T03:00", None),
        ("2026-12-01T03:00-05:00", "2026-12-01T08:00", None),
        ("2026-03-29", "2026-03-28T23:00", "2026-03-29T22:00"),  # a day of 23 hours
        ("2026-10", "2026-09-30T22:00", "2026-10-31T23:00"),
        ("today", "2026-11-28T23:00", "2026-11-29T23:00"),
    ],
)
def test_times_without_an_offset_are_in_the_chosen_zone(
    text: str, begin: str, end: str | None
) -> None:
    found = parse_time(text, NOW, BERLIN)

    assert (found.at, found.ends) == (unix(begin), unix(end) if end else None)


def test_a_day_of_which_the_zone_skips_midnight_begins_where_its_clock_goes_on() -> None:
    found = parse_time("2026-03-29", NOW, ZoneInfo("Asia/Beirut"))

    assert (found.at, found.ends) == (unix("2026-03-28T22:00"), unix("2026-03-29T21:00"))


def test_a_time_that_a_clock_never_shows_or_shows_twice_is_refused() -> None:
    with pytest.raises(LocalTimeError, match="never shows 2026-03-29 02:30, because it is put for"):
        parse_time("2026-03-29T02:30", NOW, BERLIN)
    with pytest.raises(LocalTimeError, match=r"shows 2026-10-25 02:30 twice.*\+02:00 or \+01:00"):
        parse_time("2026-10-25T02:30", NOW, BERLIN)
    later = parse_time("2026-10-25T02:30+01:00", NOW, BERLIN)
    assert later.at == unix("2026-10-25T01:30")

    with pytest.raises(click.BadParameter, match="put forward"):
        time_option("--from", "2026-03-29T02:30", BERLIN, NOW)
    with pytest.raises(click.BadParameter, match="'soon' is not a time; expected ISO 8601"):
        time_option("--from", "soon", BERLIN, NOW)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("2h", 7200), ("1h30m", 5400), ("1d", 86_400), ("1s", 1)]
)
def test_durations_are_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "0s", "-2h", "1.5h", "2 h", "2y", "٣h", "1s" * 6])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text",
    ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "Europe", "+02:00", "a" * 999],
)
def test_other_texts_are_no_time_zones(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a time zone; expected a name such as"):
        ZoneType().convert(text, None, None)
