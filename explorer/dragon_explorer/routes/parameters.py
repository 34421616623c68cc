"""Path and query parameters of the explorer's routes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import Field

from dragon.encoding import MAX_INTEGER
from dragon.errors import IntegerOutOfRange, MissingMember, UnknownValue
from dragon.node.parameters import Parameter, Parameters, Query, hexadecimal, identifier, integer
from dragon.protocol.committee import MAX_EPOCH
from dragon_explorer.views.badge import METRICS
from dragon_explorer.views.node import CHART_PERIODS, DEFAULT_CHART

MAX_TIME_CHARS: Final = 40
_MONTH: Final = re.compile(r"(19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])")


def word(words: tuple[str, ...]) -> Parameter:
    """One of a list of words. Refused with UnknownValue."""

    def read(text: str, name: str) -> str:
        if text not in words:
            message = f"{name} must be one of {', '.join(words)}"
            raise UnknownValue(message, member=name, value=text[:64])
        return text

    return Parameter(read, {"type": "string", "enum": list(words)})


def moment(name: str) -> Parameter:
    """A date or a time in UTC, in Unix seconds; None if it is empty.

    Refused with UnknownValue, IntegerOutOfRange: it is before 1970.
    """

    def read(text: str, name: str) -> int | None:
        if not text:  # a field of the form that is left empty
            return None
        try:
            found = datetime.fromisoformat(text[:MAX_TIME_CHARS])
            seconds = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            seconds = 0.5
        if seconds != int(seconds):
            message = f"{name} must be a UTC date or time in whole seconds, such as 2026-11-01"
            raise UnknownValue(message, member=name, value=text[:MAX_TIME_CHARS])
        if seconds < 0:
            raise IntegerOutOfRange(f"{name} must be 1970 or later", member=name)
        return int(seconds)

    return Parameter(read, {"type": "string", "format": "date"}, name)


def whole_month() -> Parameter:
    """A month: begin and end in Unix seconds; None if it is empty. Refused with UnknownValue."""

    def read(text: str, name: str) -> tuple[int, int] | None:
        if not text:
            return None
        if not _MONTH.fullmatch(text):
            message = f"{name} must be a month, such as 2026-11"
            raise UnknownValue(message, member=name, value=text[:MAX_TIME_CHARS])
        begin = datetime(int(text[:4]), int(text[5:]), 1, tzinfo=UTC)
        end = (begin + timedelta(days=31)).replace(day=1)
        return int(begin.timestamp()), int(end.timestamp())

    return Parameter(read, {"type": "string", "pattern": f"^({_MONTH.pattern})?$"})


class BeforeQuery(Query):
    """A page of what comes before a position, newest first."""

    before: Annotated[int, integer()] = MAX_INTEGER


class AfterStreamQuery(Query):
    after: Annotated[bytes, hexadecimal(range(32, 33))] = b""


class AgreementsQuery(BeforeQuery):
    """A month, or a period from `from` to `to`; and the node after which its totals continue."""

    month: Annotated[tuple[int, int] | None, whole_month()] = None
    begin: Annotated[int | None, moment("from"), Field(alias="from")] = None
    end: Annotated[int | None, moment("to"), Field(alias="to")] = None
    after: Annotated[str, identifier()] = ""

    @property
    def interval(self) -> tuple[int, int] | None:
        """The chosen period in Unix seconds. Raises MissingMember: it has only one end."""
        if self.month is not None:
            return self.month
        if self.begin is None and self.end is None:
            return None
        if self.begin is None or self.end is None:
            missing = "from" if self.begin is None else "to"
            message = "a period needs both `from` and `to`"
            raise MissingMember(message, member=missing)
        return self.begin, self.end


class PeriodQuery(Query):
    period: Annotated[str, word(tuple(CHART_PERIODS))] = DEFAULT_CHART


class MetricQuery(Query):
    metric: Annotated[str, word(METRICS)] = METRICS[0]


class NodePath(Parameters):
    node_id: Annotated[str, identifier()]


class PositionPath(Parameters):
    position: Annotated[int, integer()]


class EpochPath(Parameters):
    epoch: Annotated[int, integer(most=MAX_EPOCH)]


class StreamPath(Parameters):
    stream: Annotated[bytes, hexadecimal(range(32, 33))]


class WindowPath(StreamPath):
    number: Annotated[int, integer()]
