"""Uptime and day bars of nodes, from the certified log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from dragon.protocol.claims.status import Status
from dragon_explorer.certainty import doubt
from dragon_explorer.index import DAY_SECONDS, DOWN, MAINTENANCE, UNKNOWN, UP
from dragon_explorer.sources import Sources

BAR_DAYS: Final = 90
PERIODS: Final = (("24h", DAY_SECONDS), ("30d", 30 * DAY_SECONDS), ("90d", 90 * DAY_SECONDS))
NodeStatus = Literal["up", "down", "unknown"]
LETTERS: Final[Mapping[str, NodeStatus]] = {
    UP: "up",
    DOWN: "down",
    MAINTENANCE: "down",  # maintenance is never up
    UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True)
class Uptime:
    """Seconds of a period that ends now, and the part of the known seconds that were up."""

    period: str  # "24h", "30d" or "90d"
    seconds_up: int
    seconds_down: int
    seconds_maintenance: int  # of those down, the seconds in announced maintenance
    seconds_unknown: int
    ppm: int | None  # parts per million, rounded down; None: nothing is known

    @property
    def percent(self) -> float | None:
        """The part in percent, for people. JSON has integers only."""
        return None if self.ppm is None else self.ppm // 10 / 1000


@dataclass(frozen=True, slots=True)
class DayRow:
    """One UTC day of a node."""

    begin: int  # Unix seconds
    status: NodeStatus
    seconds_down: int
    seconds_maintenance: int  # of those down, the seconds in announced maintenance
    seconds_unknown: int
    seconds_announced: int  # of the day, whatever the status was then


def uptimes(sources: Sources, node_id: str, now: int) -> tuple[Uptime, ...]:
    """Return the uptime of a node over each of `PERIODS`."""
    return tuple(_uptime(sources, node_id, now, name, seconds) for name, seconds in PERIODS)


def _uptime(sources: Sources, node_id: str, now: int, name: str, seconds: int) -> Uptime:
    state = sources.log.state
    totals = sources.log.totals(state.size, node_id, (max(0, now - seconds), now))
    up = seconds - totals.seconds_down - totals.seconds_unknown
    known = up + totals.seconds_down
    ppm = 1_000_000 * up // known if known else None
    return Uptime(
        name, up, totals.seconds_down, totals.seconds_maintenance, totals.seconds_unknown, ppm
    )


def bar(sources: Sources, node_id: str, now: int) -> str:
    """Return the last `BAR_DAYS` UTC days of a node, oldest first: a letter of `LETTERS` for each.

    One text for each node keeps the page of a large fleet small.
    """
    return sources.index.bar(node_id, now, BAR_DAYS)


def days(sources: Sources, node_id: str, now: int) -> tuple[DayRow, ...]:
    """Return the last `BAR_DAYS` UTC days of a node, oldest first."""
    return tuple(
        DayRow(
            each.begin,
            LETTERS[each.letter],
            each.down,
            each.maintenance,
            each.unknown,
            sources.maintenance.seconds(node_id, each.begin, each.begin + DAY_SECONDS),
        )
        for each in sources.index.days(node_id, now, BAR_DAYS)
    )


def status_of(sources: Sources, node_id: str, now: int) -> tuple[NodeStatus, int | None]:
    """Return a node's certified status, and since when (Unix seconds).

    It is unknown while the log says nothing about the present; then since its last checkpoint.
    """
    last = sources.log.state.last(node_id)
    if last is None:
        return "unknown", None
    if last.status is None:  # the node has left
        return "unknown", last.timestamp
    if doubt(sources, now):
        log_time = sources.log.state.log_time
        return "unknown", log_time if log_time <= now else None
    return ("up" if last.status is Status.UP else "down"), last.timestamp
