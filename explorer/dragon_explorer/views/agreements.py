"""The page `/agreements`: announced maintenance of all nodes, and the totals of a period.

The totals are this explorer's, from its own log. A period certificate has the same figures, and the
page says how to get one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from dragon import errors
from dragon.protocol.claims.period import MAX_PERIOD_SECONDS
from dragon_explorer.sources import Sources
from dragon_explorer.views.feed import rfc3339
from dragon_explorer.views.incidents import trust_file
from dragon_explorer.views.maintenance import MaintenanceRow, maintenance_row

PAGE_WINDOWS: Final = 50  # announcements of one page
MAX_AHEAD: Final = 100  # windows that run or are to come
PAGE_NODES: Final = 200  # nodes of one page
MONTHS: Final = 3  # past months that the page offers
PERIOD_FILE: Final = "period.json"


@dataclass(frozen=True, slots=True)
class NodeTotals:
    """The seconds of a period of one node, from this explorer's log. Uncertified."""

    node_id: str
    seconds_up: int
    seconds_down: int
    seconds_maintenance: int  # of those down, the seconds in announced maintenance
    seconds_unknown: int
    ppm: int | None  # up, in parts per million of the known seconds, rounded down

    @property
    def percent(self) -> float | None:
        """The share in percent, for people. JSON has integers only."""
        return None if self.ppm is None else self.ppm // 10 / 1000


@dataclass(frozen=True, slots=True)
class PeriodTotals:
    """A page of the totals of all nodes that a committee has listed in a period."""

    begin: int  # Unix seconds
    end: int  # Unix seconds, exclusive
    seconds: int
    is_settled: bool  # no event can change the totals any more, and operators certify them
    settled_after: int  # Unix seconds: not before then
    nodes: int  # on all pages
    rows: tuple[NodeTotals, ...]  # in ascending order of ids
    next: str | None  # `after` of the next page; None: this is the last
    certify_command: str  # gets the certificate from the operators
    prove_command: str  # makes the file that proves the totals of one node
    verify_command: str  # verifies the certificate offline
    request_url: str  # of an aggregator, which certifies a period; empty: the committee lists none
    request_body: str  # of the POST request to it


@dataclass(frozen=True, slots=True)
class Month:
    """A past month that the page offers."""

    name: str  # such as 2026-11
    begin: int  # Unix seconds
    end: int  # Unix seconds, exclusive


@dataclass(frozen=True, slots=True)
class Agreements:
    """The whole page."""

    now: int
    maintenance_notice: int  # seconds by which maintenance is announced ahead
    ahead: tuple[MaintenanceRow, ...]  # maintenance that runs or is to come, the next first
    announced: tuple[MaintenanceRow, ...]  # a page of all announcements, newest first
    announced_total: int
    next: int | None  # `before` of the next page of announcements; None: this is the last
    months: tuple[Month, ...]  # newest first
    period: PeriodTotals | None  # None: no period is chosen


def agreements(
    sources: Sources, now: int, before: int, interval: tuple[int, int] | None, after: str = ""
) -> Agreements:
    """Return the page.

    Args:
        before: position of the log; announcements before it are shown.
        interval: the chosen period in Unix seconds, if there is one.
        after: id of a node; totals of the nodes after it are shown.

    Raises IntegerOutOfRange: the period is empty or too long.
    """
    windows = sources.maintenance.newest(before, PAGE_WINDOWS + 1)
    shown = tuple(maintenance_row(each, now) for each in windows[:PAGE_WINDOWS])
    ahead = sources.maintenance.not_ended(now, MAX_AHEAD)
    return Agreements(
        now=now,
        maintenance_notice=sources.committee.maintenance_notice,
        ahead=tuple(maintenance_row(each, now) for each in ahead),
        announced=shown,
        announced_total=sources.maintenance.count,
        next=shown[-1].position if len(windows) > PAGE_WINDOWS else None,
        months=_months(sources.committee.rounds.genesis, now),
        period=period_totals(sources, interval, after) if interval else None,
    )


def period_totals(sources: Sources, interval: tuple[int, int], after: str = "") -> PeriodTotals:
    """Return the totals of the nodes after an id. Raises IntegerOutOfRange."""
    begin, end = interval
    check_period(begin, end)
    state = sources.log.state
    listed = sources.log.listed_nodes(state.size, interval)
    following = [each for each in listed if each > after]
    rows = tuple(_totals(sources, each, interval) for each in following[:PAGE_NODES])
    times = f"{rfc3339(begin)} {rfc3339(end)}"
    mark = state.settling(end)
    example = rows[0].node_id if rows else "NODE"
    aggregator = min(sources.committee.aggregators, key=lambda each: each.rank, default=None)
    return PeriodTotals(
        begin=begin,
        end=end,
        seconds=end - begin,
        is_settled=mark is not None,
        settled_after=end + (mark or state.committee).rounds.settled_after,
        nodes=len(listed),
        rows=rows,
        next=rows[-1].node_id if len(following) > len(rows) else None,
        certify_command=f"dragon period {times} -o {PERIOD_FILE}",
        prove_command=f"dragon period prove {PERIOD_FILE} {example} -o {example}.json",
        verify_command=f"dragon verify period {PERIOD_FILE} --committee {trust_file(sources)}",
        request_url=f"{aggregator.url}/period-certificates" if aggregator else "",
        request_body=f'{{"from":{begin},"to":{end}}}',
    )


def check_period(begin: int, end: int) -> None:
    """Raises IntegerOutOfRange: the period is empty or too long."""
    if end <= begin:
        raise errors.IntegerOutOfRange("`from` must be earlier than `to`", member="to")
    if end - begin > MAX_PERIOD_SECONDS:
        days = MAX_PERIOD_SECONDS // 86_400
        raise errors.IntegerOutOfRange(f"a period has at most {days} days", member="to")


def _totals(sources: Sources, node_id: str, interval: tuple[int, int]) -> NodeTotals:
    found = sources.log.totals(sources.log.state.size, node_id, interval)
    up = interval[1] - interval[0] - found.seconds_down - found.seconds_unknown
    known = up + found.seconds_down
    return NodeTotals(
        node_id,
        up,
        found.seconds_down,
        found.seconds_maintenance,
        found.seconds_unknown,
        1_000_000 * up // known if known else None,
    )


def _months(genesis: int, now: int) -> tuple[Month, ...]:
    """Return the newest full months of the network's time, newest first."""
    found: list[Month] = []
    end = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while len(found) < MONTHS and end.timestamp() > genesis:
        begin = (end - timedelta(days=1)).replace(day=1)
        name = begin.strftime("%Y-%m")
        found.append(Month(name, int(begin.timestamp()), int(end.timestamp())))
        end = begin
    return tuple(found)
