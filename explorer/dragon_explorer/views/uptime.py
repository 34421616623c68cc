"""Uptime and day bars of nodes, from the certified log."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from dragon_explorer.index import DAY_SECONDS, Day
from dragon_explorer.sources import Sources

BAR_DAYS: Final = 90
PERIODS: Final = (("24h", DAY_SECONDS), ("30d", 30 * DAY_SECONDS), ("90d", 90 * DAY_SECONDS))
NodeStatus = Literal["up", "down", "unknown"]


@dataclass(frozen=True, slots=True)
class Uptime:
    """Seconds of a period that ends now, and the percentage of the known seconds that were up."""

    period: str  # "24h", "30d" or "90d"
    seconds_up: int
    seconds_down: int
    seconds_unknown: int
    percent: float | None  # rounded down to a thousandth; None: nothing is known


@dataclass(frozen=True, slots=True)
class BarRun:
    """Consecutive UTC days with the same colour in a bar of `BAR_DAYS` days."""

    first: int  # place of the first day in the bar, from 0 (oldest)
    days: int
    status: NodeStatus
    begin: int  # Unix seconds, of the first day
    seconds_down: int  # in all days of the run
    seconds_unknown: int


def uptimes(sources: Sources, node_id: str, now: int) -> tuple[Uptime, ...]:
    """Return the uptime of a node over each of `PERIODS`."""
    return tuple(_uptime(sources, node_id, now, name, seconds) for name, seconds in PERIODS)


def _uptime(sources: Sources, node_id: str, now: int, name: str, seconds: int) -> Uptime:
    state = sources.log.state
    totals = sources.log.totals(state.size, node_id, (max(0, now - seconds), now))
    up = seconds - totals.seconds_down - totals.seconds_unknown
    known = up + totals.seconds_down
    percent = (100_000 * up // known) / 1000 if known else None
    return Uptime(name, up, totals.seconds_down, totals.seconds_unknown, percent)


def bar(sources: Sources, node_id: str, now: int) -> tuple[BarRun, ...]:
    """Return the last `BAR_DAYS` days of a node as runs of equal days, oldest first."""
    days = enumerate(sources.index.days(node_id, now, BAR_DAYS))
    runs = []
    for status, group in groupby(days, key=lambda each: day_status(each[1])):
        members = list(group)
        first, day = members[0]
        down = sum(each.down for _, each in members)
        unknown = sum(each.unknown for _, each in members)
        runs.append(BarRun(first, len(members), status, day.begin, down, unknown))
    return tuple(runs)


def day_status(day: Day) -> NodeStatus:
    """The colour of a day: down if the node was down at all, unknown if that is most of the day.

    The day begins with the node's first event.
    """
    if day.down:
        return "down"
    return "unknown" if 2 * day.unknown >= day.seconds else "up"


def status_of(sources: Sources, node_id: str, now: int) -> tuple[NodeStatus, int | None]:
    """Return a node's certified status, and since when (Unix seconds).

    It is unknown while no checkpoint confirms that the operators work.
    """
    last = sources.log.state.last(node_id)
    if last is None:
        return "unknown", None
    log_time = sources.log.state.log_time(sources.committee)
    if now - log_time > sources.committee.rounds.unknown_after:
        return "unknown", log_time
    return ("up" if str(last.status) == "up" else "down"), last.timestamp
