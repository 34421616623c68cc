"""Times on the command line: exact ones, days and months, and times before now. All are UTC."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from dragon.encoding import MAX_INTEGER
from dragon.errors import NotSettled
from dragon_cli.render.text import duration, moment

UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
DAY_SECONDS: Final = 86_400
FORMS: Final = "ISO 8601 (UTC by default), Unix seconds, 2026-10, yesterday, now, or 30d (ago)"

_AGO: Final = re.compile(r"([0-9]{1,9})([smhdw])", re.ASCII)
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


def parse_time(text: str, now: float) -> TimeInput:
    """Read a time.

    Args:
        text: see `FORMS`; without a time of day a date is its midnight.
        now: Unix seconds.

    Raises ValueError, OverflowError: not a time between 1970 and 2^53 seconds later.
    """
    found = _parse(text, int(now))
    if not 0 <= found.at <= MAX_INTEGER:
        raise ValueError("outside the supported range, which starts in 1970")
    return found


def _parse(text: str, now: int) -> TimeInput:
    if text == "now":
        return TimeInput(text, now, is_now=True)
    if text in ("today", "yesterday"):
        midnight = now - now % DAY_SECONDS - (DAY_SECONDS if text == "yesterday" else 0)
        return TimeInput(text, midnight, midnight + DAY_SECONDS)
    if ago := _AGO.fullmatch(text):
        return TimeInput(text, now - int(ago[1]) * UNIT_SECONDS[ago[2]])
    if month := _MONTH.fullmatch(text):
        return _month(text, int(month[1]), int(month[2]))
    if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_INTEGER)):
        return TimeInput(text, int(text))
    read = datetime.fromisoformat(text)
    exact = (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    if (at := int(exact)) != exact:
        raise ValueError("fractions of a second are not supported")
    return TimeInput(text, at, at + DAY_SECONDS if _DAY.fullmatch(text) else None)


def _month(text: str, year: int, month: int) -> TimeInput:
    begin = datetime(year, month, 1, tzinfo=UTC)
    end = (begin + timedelta(days=31)).replace(day=1)
    return TimeInput(text, int(begin.timestamp()), int(end.timestamp()))


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
