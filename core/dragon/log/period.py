"""The report on all nodes in a period, computed from the log. See `dragon.protocol.period`."""

from __future__ import annotations

from typing import Protocol

from dragon import errors
from dragon.log.downtime import settled_size
from dragon.log.downtime_index import Totals
from dragon.log.store import Log, TreeHead
from dragon.protocol.claims.period import MAX_PERIOD_NODES, PeriodClaim
from dragon.protocol.period import PeriodLeaf, report_tree


class LogFigures(Protocol):
    """The part of a log that a report is computed from."""

    def head(self, size: int) -> TreeHead: ...
    def listed_nodes(self, size: int, interval: tuple[int, int]) -> list[str]: ...
    def totals(self, size: int, node_id: str, interval: tuple[int, int]) -> Totals: ...


def settled_report(
    log: Log, interval: tuple[int, int], now: float
) -> tuple[PeriodClaim, tuple[PeriodLeaf, ...]]:
    """Return the claim about a period (Unix seconds) and its leaves. Every log returns the same.

    Args:
        now: the current time in Unix seconds; see `dragon.log.downtime.settled_claim`.

    Raises:
        NotSettled: the end is too recent, or no mark settles it yet.
        UnsuitablePeriod: as `nodes_of`.
    """
    return report_at(log, interval, size=settled_size(log, interval[1], now))


def report_at(
    log: LogFigures, interval: tuple[int, int], *, size: int
) -> tuple[PeriodClaim, tuple[PeriodLeaf, ...]]:
    """Return the claim about a period for the first `size` entries, and its leaves.

    With 8,192 nodes this takes a few tenths of a second, whatever the length of the log. No lock is
    held for longer than the totals of one node take.

    Raises NotFound: the log is shorter; UnsuitablePeriod: as `nodes_of`.
    """
    log_root = log.head(size).root
    leaves = tuple(_leaf(log, node_id, interval, size) for node_id in nodes_of(log, interval, size))
    report = report_tree(leaves).root()
    return PeriodClaim(*interval, len(leaves), report, log_root, size), leaves


def nodes_of(log: LogFigures, interval: tuple[int, int], size: int) -> list[str]:
    """Return the ids of the nodes of a report, in ascending order.

    Raises UnsuitablePeriod: there is none, or there are more than `MAX_PERIOD_NODES`.
    """
    found = log.listed_nodes(size, interval)
    if not found:
        raise errors.UnsuitablePeriod("no committee has listed a node in this period", nodes=0)
    if len(found) > MAX_PERIOD_NODES:
        message = (
            f"the committees have listed {len(found)} nodes in this period, and a report has at "
            f"most {MAX_PERIOD_NODES}; request shorter periods"
        )
        raise errors.UnsuitablePeriod(message, nodes=len(found))
    return found


def _leaf(log: LogFigures, node_id: str, interval: tuple[int, int], size: int) -> PeriodLeaf:
    totals = log.totals(size, node_id, interval)
    return PeriodLeaf(
        node_id, totals.seconds_down, totals.seconds_maintenance, totals.seconds_unknown
    )
