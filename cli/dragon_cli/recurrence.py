"""Recurring windows: a cron expression, a time zone and a duration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import islice, pairwise
from typing import Any, Final

import click
from cronsim import CronSim, CronSimError

from dragon_cli.render.text import moment

FIELD_NAMES: Final = ("minute", "hour", "day of the month", "month", "day of the week")
FIELDS: Final = len(FIELD_NAMES)
# What cronsim raises; the latter for some fields, such as `L-3`.
UNREADABLE: Final = (CronSimError, ValueError, AssertionError, TypeError)
DAYS: Final = "its fields name a day that no month has"
MAX_EXPRESSION_CHARACTERS: Final = 128
CHECKED_FOR_OVERLAP: Final = 100  # windows


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A period in Unix seconds; `end` is the first second after it."""

    begin: int
    end: int

    def covers(self, other: Window) -> bool:
        """Return whether the other window lies in this one."""
        return self.begin <= other.begin and other.end <= self.end


def shown(window: Window) -> str:
    """Return a window in words."""
    return f"{moment(window.begin)} to {moment(window.end)}"


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Windows that begin when a cron expression matches the clock of a time zone.

    When clocks change, the rules of Debian's cron hold for expressions with fixed hours. A time
    that the clock skips counts at the moment when the clock goes on. A time that it shows twice
    counts once, the first time. So `30 2 * * *` in Europe/Berlin begins at 03:00 on the last Sunday
    of March, and at the earlier 02:30 on the last Sunday of October. A window is as long as its
    duration says, in seconds that pass.
    """

    expression: str
    zone: tzinfo
    seconds: int

    def begins(self, after: int) -> Iterator[int]:
        """Yield the begins later than a time, in order, each once. All are Unix seconds."""
        last = after
        for each in CronSim(self.expression, datetime.fromtimestamp(after, self.zone)):
            # The library starts at the local time, which the clock may show twice.
            if (begin := int(each.timestamp())) > last:
                yield begin
                last = begin

    def windows(self, after: int, until: int) -> Iterator[Window]:
        """Yield the windows that begin later than `after` and not later than `until`."""
        for begin in self.begins(after):
            if begin > until:
                return
            yield Window(begin, begin + self.seconds)

    def overlap(self, after: int) -> tuple[Window, Window] | None:
        """Return the first two windows that overlap, if clocks never changed; otherwise None."""
        begins = islice(
            Recurrence(self.expression, UTC, self.seconds).begins(after), CHECKED_FOR_OVERLAP
        )
        for one, other in pairwise(begins):
            if other < one + self.seconds:
                return Window(one, one + self.seconds), Window(other, other + self.seconds)
        return None


class CronType(click.ParamType[str]):
    """A cron expression with five fields."""

    name = "cron"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the expression. Raises BadParameter."""
        expression = str(value)
        if fault := _fault(expression):
            message = (
                f"{expression[:MAX_EXPRESSION_CHARACTERS]!a} is not a cron expression: {fault}; "
                "expected five fields (minute, hour, day, month, day of the week), such as "
                "'0 3 * * SUN'."
            )
            raise click.BadParameter(message, ctx, param)
        return expression


def _fault(expression: str) -> str:
    """Return what is wrong with an expression; empty if nothing is."""
    if len(expression) > MAX_EXPRESSION_CHARACTERS:
        return f"it has more than {MAX_EXPRESSION_CHARACTERS} characters"
    if (fields := len(expression.split())) != FIELDS:
        return f"it has {fields} fields"
    try:
        next(CronSim(expression, datetime.fromtimestamp(0, UTC)))
    except StopIteration:
        return "it matches no time within 50 years"
    except UNREADABLE:
        return next(filter(None, map(_unreadable, range(FIELDS), expression.split())), DAYS)
    return ""


def _unreadable(place: int, field: str) -> str:
    """Return what is wrong with one field; empty if it can be read by itself."""
    alone = ["*"] * FIELDS
    alone[place] = field
    try:
        CronSim(" ".join(alone), datetime.fromtimestamp(0, UTC))
    except UNREADABLE:
        return f"its {FIELD_NAMES[place]} {field!a} cannot be read"
    return ""
