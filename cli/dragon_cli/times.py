"""Times on the command line: exact ones, days and months, times before and after now.

Times without an offset are UTC, unless a command has an option for the time zone.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

import click

from dragon.encoding import MAX_INTEGER
from dragon.errors import NotSettled
from dragon_cli.durations import UNIT_SECONDS
from dragon_cli.render.text import duration, moment
from dragon_cli.zones import LocalTimeError, exact

DAY_SECONDS: Final = 86_400
FORMS: Final = "ISO 8601 (UTC by default), Unix seconds, 2026-10, yesterday, now, or 30d (ago)"
COMING_FORMS: Final = "ISO 8601, Unix seconds, or +2h (from now)"

_RELATIVE: Final = re.compile(r"(\+?)([0-9]{1,9})([smhdw])", re.ASCII)
_MONTH: Final = re.compile(r"([0-9]{4})-([0-9]{2})", re.ASCII)
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TimeInput:
    """A time as the user wrote it. A month or a day is a span; its time is its begin."""

    text: str
    at: int  # Unix seconds
    ends: int | None = None  # of a month or day: the first second after it
    is_now: bool = False


@dataclass(frozen=True, slots=True)
class Period:
    """A period in Unix seconds; `end` is the first second that does not count."""

    begin: int
    end: int
    is_open: bool  # the user named no exact end: it may be cut at what is settled


def parse_time(text: str, now: float, zone: tzinfo = UTC) -> TimeInput:
    """Read a time.

    Args:
        text: see `FORMS` and `COMING_FORMS`; without a time of day a date is its midnight.
        now: Unix seconds.
        zone: of texts without an offset.

    Raises:
        LocalTimeError: the clock of the zone shows this time twice, or never.
        ValueError, OverflowError: not a time between 1970 and 2^53 seconds later.
    """
    found = _parse(text, int(now), zone)
    if not 0 <= found.at <= MAX_INTEGER:
        raise ValueError("outside the supported range, which starts in 1970")
    return found


def _parse(text: str, now: int, zone: tzinfo) -> TimeInput:
    if text == "now":
        return TimeInput(text, now, is_now=True)
    if relative := _RELATIVE.fullmatch(text):
        seconds = int(relative[2]) * UNIT_SECONDS[relative[3]]
        return TimeInput(text, now + seconds if relative[1] else now - seconds)
    if span := _days(text, now, zone):
        begin, end = (int(each.replace(tzinfo=zone).timestamp()) for each in span)
        return TimeInput(text, begin, end)
    if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_INTEGER)):
        return TimeInput(text, int(text))
    found = exact(datetime.fromisoformat(text), zone)
    if (at := int(found)) != found:
        raise ValueError("fractions of a second are not supported")
    return TimeInput(text, at)


def _days(text: str, now: int, zone: tzinfo) -> tuple[datetime, datetime] | None:
    """Return the midnights at which a day or month begins and ends; None for other texts.

    A day of which the zone skips midnight begins where its clock goes on.
    """
    if month := _MONTH.fullmatch(text):
        first = datetime(int(month[1]), int(month[2]), 1)
        return first, (first + timedelta(days=31)).replace(day=1)
    if _DAY.fullmatch(text):
        day = datetime.fromisoformat(text)
    elif text in ("today", "yesterday"):
        today = datetime.fromtimestamp(now, zone).replace(tzinfo=None)
        day = today.replace(hour=0, minute=0, second=0) - timedelta(days=text == "yesterday")
    else:
        return None
    return day, day + timedelta(days=1)


def period(
    begin: TimeInput,
    end: TimeInput | None,
    now: float,
    *,
    names: tuple[str, str] = ("`--from`", "`--to`"),
) -> Period:
    """Return the period from `begin` to `end`.

    Without `end`: of a month or day the whole of it, otherwise until now.

    Args: `names`, what the command calls the two times.

    Raises UsageError: the period is empty.
    """
    if end is None:
        last, is_open = begin.ends or int(now), True
    else:
        last, is_open = end.at, end.is_now
    if begin.at >= last:
        said = end.text if end else "now"
        message = f"{names[0]} ({begin.text}) must be earlier than {names[1]} ({said})."
        raise click.UsageError(message)
    return Period(begin.at, last, is_open)


def cut_at_settled(wanted: Period, settled: int) -> int:
    """Return the end of a period, not later than what is settled, and say so on stderr.

    Args: `settled`, the time before which no event can be added to the log, in Unix seconds.

    Raises NotSettled: nothing of the period is settled.
    """
    if settled >= wanted.end:
        return wanted.end
    if settled <= wanted.begin:
        message = f"The log is settled until {moment(settled)}, before the period begins."
        raise NotSettled(message, settled=settled)
    late = duration(wanted.end - settled)
    click.echo(f"Settled until {moment(settled)}; the last {late} come later.", err=True)
    return settled


class TimeType(click.ParamType[TimeInput]):
    """A time of an option."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> TimeInput:
        """Return the time. Raises BadParameter."""
        if isinstance(value, TimeInput):
            return value
        try:
            return parse_time(str(value), time.time())
        except (ValueError, OverflowError):
            message = f"{value!a} is not a time; expected {FORMS}."
            raise click.BadParameter(message, ctx, param) from None


def time_option(option: str, text: str, zone: tzinfo, now: float) -> TimeInput:
    """Return the time of an option, whose zone another option names. Raises BadParameter."""
    try:
        return parse_time(text, now, zone)
    except LocalTimeError as error:
        raise click.BadParameter(str(error), param_hint=f"`{option}`") from None
    except (ValueError, OverflowError):
        message = f"{text!a} is not a time; expected {COMING_FORMS}."
        raise click.BadParameter(message, param_hint=f"`{option}`") from None


class MonthType(TimeType):
    """A month, such as 2026-10."""

    name = "month"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> TimeInput:
        """Return the month. Raises BadParameter."""
        if isinstance(value, TimeInput):
            return value
        if _MONTH.fullmatch(str(value)):
            return super().convert(value, param, ctx)
        message = f"{value!a} is not a month; expected a year and a month, such as 2026-10."
        raise click.BadParameter(message, ctx, param)
