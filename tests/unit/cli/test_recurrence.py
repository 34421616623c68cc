"""Recurring windows, and the nights on which clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

import click
import pytest

from dragon_cli.recurrence import CronType, Recurrence, Window

BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # its clock changes by half an hour


def begins(expression: str, after: str, zone: ZoneInfo = BERLIN, number: int = 3) -> list[str]:
    at = int(datetime.fromisoformat(after).replace(tzinfo=zone).timestamp())
    found = islice(Recurrence(expression, zone, 60).begins(at), number)
    return [datetime.fromtimestamp(each, UTC).strftime("%d %H:%M") for each in found]


def test_windows_follow_the_clock_of_the_zone() -> None:
    at = int(datetime(2026, 11, 27, tzinfo=UTC).timestamp())
    sunday = int(datetime(2026, 11, 29, 2, 0, tzinfo=UTC).timestamp())

    found = list(Recurrence("0 3 * * SUN", BERLIN, 7200).windows(at, sunday))

    assert found == [Window(sunday, sunday + 7200)]
    assert list(Recurrence("0 3 * * SUN", BERLIN, 7200).windows(sunday, sunday + 604_799)) == []


def test_a_begin_that_the_clock_skips_counts_when_the_clock_goes_on() -> None:
    """At 02:00 in Berlin (01:00 UTC) clocks go forward to 03:00."""
    assert begins("30 2 * * *", "2026-03-28T12:00") == ["29 01:00", "30 00:30", "31 00:30"]
    assert begins("15,45 2 * * *", "2026-03-28T12:00") == ["29 01:00", "30 00:15", "30 00:45"]
    assert begins("30 2,3 * * *", "2026-03-28T12:00") == ["29 01:00", "29 01:30", "30 00:30"]
    assert begins("0 2,3 * * *", "2026-03-28T12:00") == ["29 01:00", "30 00:00", "30 01:00"]


def test_a_begin_that_the_clock_shows_twice_counts_the_first_time() -> None:
    """At 03:00 in Berlin (01:00 UTC) clocks go back to 02:00."""
    assert begins("30 2 * * *", "2026-10-24T12:00") == ["25 00:30", "26 01:30", "27 01:30"]
    later = int(datetime(2026, 10, 25, 1, 10, tzinfo=UTC).timestamp())  # the second 02:10

    [following] = islice(Recurrence("30 2 * * *", BERLIN, 60).begins(later), 1)

    assert following == int(datetime(2026, 10, 26, 1, 30, tzinfo=UTC).timestamp())


def test_expressions_without_a_fixed_hour_go_by_the_time_that_passes() -> None:
    assert begins("*/30 * * * *", "2026-03-29T01:15") == ["29 00:30", "29 01:00", "29 01:30"]
    assert begins("30 * * * *", "2026-10-25T01:45") == ["25 00:30", "25 01:30", "25 02:30"]


def test_clocks_that_change_by_half_an_hour() -> None:
    assert begins("15 2 * * *", "2026-10-03T12:00", LORD_HOWE) == [
        "03 15:30",
        "04 15:15",
        "05 15:15",
    ]


@pytest.mark.parametrize("expression", ["0 3 * * 0", "0 3 1 * *", "0 3 * * MON#1", "0 0 29 2 *"])
def test_cron_expressions_are_taken_as_they_are(expression: str) -> None:
    assert CronType().convert(expression, None, None) == expression


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("", "it has 0 fields"),
        ("0 3 * *", "it has 4 fields"),
        ("0 0 3 * * 0", "it has 6 fields"),
        ("@daily", "it has 1 fields"),
        ("61 3 * * *", "its minute"),
        ("0 3 31 2 *", "its fields name"),
        ("*/0 * * * *", "its minute"),
        ("١ 3 * * *", "its minute"),
        ("0 3 30 2 *", "its fields name"),
        ("0 " * 80, "it has more than 128 characters"),
    ],
)
def test_other_texts_are_no_cron_expressions(expression: str, fault: str) -> None:
    with pytest.raises(click.BadParameter, match=f"is not a cron expression: {fault}"):
        CronType().convert(expression, None, None)


def test_windows_that_overlap_are_found_and_a_changed_clock_makes_none() -> None:
    assert Recurrence("0 * * * *", BERLIN, 3601).overlap(0) == (
        Window(3600, 7201),
        Window(7200, 10801),
    )
    assert Recurrence("0 */12 * * *", BERLIN, 43_200).overlap(0) is None
