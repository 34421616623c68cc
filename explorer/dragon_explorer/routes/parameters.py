"""Path and query parameters of the explorer's routes."""

from __future__ import annotations

from typing import Annotated

from dragon.encoding import MAX_INTEGER
from dragon.errors import UnknownValue
from dragon.node import schemas
from dragon.node.parameters import Parameter, Query, hexadecimal, identifier, integer
from dragon.protocol.committee import MAX_EPOCH
from dragon_explorer.views.badge import METRICS
from dragon_explorer.views.node import CHART_PERIODS, DEFAULT_CHART


def word(words: tuple[str, ...]) -> Parameter:
    """One of a list of words. Refused with UnknownValue."""

    def read(text: str, name: str) -> str:
        if text not in words:
            message = f"{name} must be one of {', '.join(words)}"
            raise UnknownValue(message, member=name, value=text[:64])
        return text

    return Parameter(read, {"type": "string", "enum": list(words)})


class BeforeQuery(Query):
    """A page of what comes before a position, newest first."""

    before: Annotated[int, integer()] = MAX_INTEGER


class AfterStreamQuery(Query):
    after: Annotated[bytes, hexadecimal(range(32, 33))] = b""


class PeriodQuery(Query):
    period: Annotated[str, word(tuple(CHART_PERIODS))] = DEFAULT_CHART


class MetricQuery(Query):
    metric: Annotated[str, word(METRICS)] = METRICS[0]


class NodePath(schemas.Schema):
    node_id: Annotated[str, identifier()]


class PositionPath(schemas.Schema):
    position: Annotated[int, integer()]


class EpochPath(schemas.Schema):
    epoch: Annotated[int, integer(most=MAX_EPOCH)]


class StreamPath(schemas.Schema):
    stream: Annotated[bytes, hexadecimal(range(32, 33))]


class WindowPath(StreamPath):
    number: Annotated[int, integer()]
