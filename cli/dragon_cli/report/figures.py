"""The figures of a report: computed from a verified log, for a settled period.

Everyone who computes them for the same nodes and period gets the same figures, log size and root:
the log ends with the checkpoint that settles the period, as for a downtime certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from dragon.encoding import to_hex
from dragon.errors import NotSettled, UnknownNode
from dragon.log.downtime_index import DowntimeIndex
from dragon.protocol.claims.status import Status, Transition
from dragon.protocol.committee import Committee
from dragon.protocol.history import History
from dragon_cli.report.percentages import percent_of
from dragon_cli.report.sources import VerifiedLog


@dataclass(frozen=True, slots=True)
class Incident:
    """A time in which a node was certified down. All times are Unix seconds."""

    begin: int
    end: int | None  # None: not ended within the period
    seconds: int  # certified down, within the period
    position: int  # of its `down` event in the log
    began_before: bool  # before the period


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """One node in the period. Up, down and unknown add up to the length of the period."""

    node_id: str
    kind: str  # operator or target
    seconds_up: int
    seconds_down: int
    seconds_maintenance: int  # those of `seconds_down` that lie in announced maintenance
    seconds_unknown: int
    incidents: tuple[Incident, ...]

    @property
    def longest_seconds(self) -> int:
        """Return the seconds of the longest incident; 0 without incidents."""
        return max((each.seconds for each in self.incidents), default=0)

    @property
    def seconds(self) -> int:
        """Return the length of the period."""
        return self.seconds_up + self.seconds_down + self.seconds_unknown

    def percent(self, seconds: int) -> float:
        """Return a part of the period in percent, as `percent_of`."""
        return percent_of(seconds, self.seconds)


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a fleet in a period, and what they rest on."""

    committee: Committee  # that held at the end of the period
    begin: int  # Unix seconds
    end: int  # the first second that does not count
    nodes: tuple[NodeFigures, ...]
    size: int  # entries of the log that the figures are computed from
    root: bytes  # of the log at that size
    settling_position: int  # of the checkpoint that settles the period
    settling_timestamp: int
    certified_size: int  # entries that the newest checkpoint covers
    certified_root: bytes
    certified_timestamp: int
    source: str
    is_whole: bool  # whether it has all nodes that a committee listed in the period

    def document(self) -> dict[str, object]:
        """Return the report for programs."""
        return {
            "committee": to_hex(self.committee.id),
            "epoch": self.committee.epoch,
            "name": self.committee.name,
            "from": self.begin,
            "to": self.end,
            "nodes": [_node(each) for each in self.nodes],
            "log": {
                "size": self.size,
                "root": to_hex(self.root),
                "settled_by": self.settling_position,
                "settled_by_timestamp": self.settling_timestamp,
            },
            "checkpoint": {
                "size": self.certified_size,
                "root": to_hex(self.certified_root),
                "timestamp": self.certified_timestamp,
            },
        }


def _node(figures: NodeFigures) -> dict[str, object]:
    return {
        "node_id": figures.node_id,
        "kind": figures.kind,
        "seconds_up": figures.seconds_up,
        "seconds_down": figures.seconds_down,
        "seconds_maintenance": figures.seconds_maintenance,
        "seconds_unknown": figures.seconds_unknown,
        "percent_up": figures.percent(figures.seconds_up),
        "percent_down": figures.percent(figures.seconds_down),
        "percent_unknown": figures.percent(figures.seconds_unknown),
        "longest_seconds": figures.longest_seconds,
        "incidents": [asdict(each) for each in figures.incidents],
    }


def compute(log: VerifiedLog, nodes: Sequence[str], begin: int, end: int) -> Report:
    """Compute a report. `begin` and `end` are Unix seconds.

    Args:
        nodes: ids; none: all nodes that a committee listed in the period.

    Raises:
        NotSettled: the log has no checkpoint that settles the period.
        UnknownNode: no committee of the log has ever listed a node.
    """
    holding = log.holding(begin, end)
    listed = list(dict.fromkeys(node for each in reversed(holding) for node in each.urls))
    chosen = list(dict.fromkeys(nodes)) or listed
    kinds = {node: _kind(each, node) for each in log.committees for node in each.urls}
    for node in chosen:
        if node not in kinds:
            raise UnknownNode(f"no committee of the log lists a node {node}", node_id=node)
    settling = log.state.settling(end)
    if settling is None:
        raise NotSettled("The log may still receive events about the period.", end=end)
    size = settling.position + 1
    index = DowntimeIndex()
    index.extend(log.state)
    return Report(
        committee=holding[-1],
        begin=begin,
        end=end,
        nodes=tuple(_figures(node, index, log, size, (begin, end), kinds[node]) for node in chosen),
        size=size,
        root=log.tree.root(size),
        settling_position=settling.position,
        settling_timestamp=settling.timestamp,
        certified_size=log.checkpoint.size,
        certified_root=log.checkpoint.log_root,
        certified_timestamp=log.checkpoint.timestamp,
        source=log.source,
        is_whole=set(chosen) >= set(listed),
    )


def _kind(committee: Committee, node_id: str) -> str:
    return "operator" if node_id in committee.keys else "target"


def _figures(
    node_id: str,
    index: DowntimeIndex,
    log: VerifiedLog,
    size: int,
    span: tuple[int, int],
    kind: str,
) -> NodeFigures:
    def seconds_down(part: tuple[int, int]) -> int:
        return index.totals(size, node_id, part).seconds_down

    whole = index.totals(size, node_id, span)
    moves = [each for each in log.state.nodes.get(node_id, History()) if each.position < size]
    found = tuple(incidents(moves, span, seconds_down))
    up = span[1] - span[0] - whole.seconds_down - whole.seconds_unknown
    return NodeFigures(
        node_id=node_id,
        kind=kind,
        seconds_up=up,
        seconds_down=whole.seconds_down,
        seconds_maintenance=whole.seconds_maintenance,
        seconds_unknown=whole.seconds_unknown,
        incidents=found,
    )


def incidents(
    moves: Sequence[Transition],
    span: tuple[int, int],
    seconds_down: Callable[[tuple[int, int]], int],
) -> Iterator[Incident]:
    """Yield the times of a period in which a node is certified down, in order."""
    begin, end = span
    following = [*moves[1:], None]
    for move, after in zip(moves, following, strict=False):  # a node may have no event yet
        ends = after.timestamp if after else None
        if move.status is not Status.DOWN or move.timestamp >= end or (ends or end) <= begin:
            continue
        part = (max(begin, move.timestamp), min(end, ends) if ends else end)
        is_over = ends is not None and ends <= end
        yield Incident(
            begin=move.timestamp,
            end=ends if is_over else None,
            seconds=seconds_down(part),
            position=move.position,
            began_before=move.timestamp < begin,
        )
