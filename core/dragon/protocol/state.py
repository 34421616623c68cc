"""The log's state: the result of all events that were applied so far.

`dragon.protocol.transition` has the rules that lead from one state to the next.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from dragon.encoding import check_id
from dragon.protocol.claims.maintenance import NOTHING_ANNOUNCED, Announced
from dragon.protocol.claims.status import Status, Transition
from dragon.protocol.claims.stream_state import StreamState
from dragon.protocol.committee import UNSEALED, Committee, Sealed
from dragon.protocol.history import History
from dragon.protocol.marks import Mark
from dragon.protocol.succession import Known

__all__ = ["History", "Mark", "State", "StreamState", "Transition"]


@dataclass(frozen=True, slots=True)
class State:
    """The result of all events that were applied so far."""

    known: Known  # the committee that holds, and all that the network has ever listed
    nodes: Mapping[str, History[Transition]] = field(default_factory=dict)
    marks: History[Mark] = field(default_factory=History)
    checkpoint: Mark | None = None  # the newest mark that is a checkpoint
    handovers: History[Mark] = field(default_factory=History)  # the marks that are handovers
    size: int = 0  # events applied
    streams: Mapping[bytes, StreamState] = field(default_factory=dict)
    further: Mapping[str, object] = field(default_factory=dict)  # state of other kinds, by kind
    maintenance: Mapping[str, Announced] = field(default_factory=dict)  # by node
    # By node: the seat of the first committee that listed it, Unix seconds. Removed nodes stay.
    listed_since: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, committee: Committee) -> Self:
        """Return the state of an empty log of a network that begins with this committee."""
        listed = dict.fromkeys(committee.urls, committee.rounds.genesis)
        return cls(Known.of([committee]), listed_since=listed)

    @property
    def committee(self) -> Committee:
        """The committee that holds."""
        return self.known.committee

    @property
    def handover(self) -> Mark | None:
        """The newest mark that is a handover."""
        return self.handovers[-1] if self.handovers else None

    @property
    def seat(self) -> int:
        """When the committee that holds took its seat, Unix seconds: its handover, or genesis."""
        return self.handover.timestamp if self.handover else self.committee.rounds.genesis

    @property
    def sealed(self) -> Sealed:
        """The log at the handover to the committee that holds, which the next file seals."""
        if (mark := self.handover) is None:
            return UNSEALED
        return Sealed(mark.size, mark.log_root, mark.timestamp)

    @property
    def mark(self) -> Mark | None:
        """The newest mark."""
        return self.marks[-1] if self.marks else None

    @property
    def log_time(self) -> int:
        """The log time in Unix seconds: that of the last mark, or else of genesis."""
        return self.mark.timestamp if self.mark else self.committee.rounds.genesis

    def last(self, node_id: str) -> Transition | None:
        """Return the node's newest transition; None while it is unknown."""
        transitions = self.nodes.get(node_id)
        return transitions[-1] if transitions else None

    def check_node(self, node_id: str) -> None:
        """Check that a committee of this log has listed a node: the present one, or one before.

        Raises InvalidEncoding, UnknownNode.
        """
        if check_id(node_id, member="node_id") not in self.nodes:
            self.committee.check_node(node_id)

    def status(self, node_id: str) -> Status | None:
        """Return the node's certified status; None while it is unknown."""
        last = self.last(node_id)
        return last.status if last else None

    def stream(self, stream_id: bytes) -> StreamState:
        """Return the state of a stream; an empty state if the log has no event about it."""
        return self.streams.get(stream_id, StreamState())

    def announced(self, node_id: str) -> Announced:
        """Return the announced maintenance of a node; empty if the log has none."""
        return self.maintenance.get(node_id, NOTHING_ANNOUNCED)

    def anchor(self, position: int) -> Mark | None:
        """Return the mark that vouches for an entry for longest; None while no mark covers it.

        It is the first handover that covers the entry, because later committees pin it. Before
        there is one, it is the newest mark.
        """
        at = bisect_right(self.handovers, position, key=lambda each: each.size)
        if at < len(self.handovers):
            return self.handovers[at]
        return self.mark if self.mark and self.mark.size > position else None

    def first_checkpoint(self, since: int) -> Mark | None:
        """Return the first checkpoint with a timestamp of at least `since` (Unix seconds)."""
        at = bisect_left(self.marks, since, key=lambda each: each.timestamp)
        following = (self.marks[index] for index in range(at, len(self.marks)))
        return next((each for each in following if each.is_checkpoint), None)

    def settling(self, end: int) -> Mark | None:
        """Return the mark that settles the time before `end` (Unix seconds), if there is one.

        It is the first with a timestamp of at least `end` + `max_age` of the committee that signed
        it. After it no event can change what the log says about the time before `end`.
        """
        # Between two marks of different committees `max_age` may shrink, so look back a little.
        at = bisect_left(self.marks, end, key=lambda each: each.timestamp)
        while at < len(self.marks):
            mark = self.marks[at]
            if mark.timestamp >= end + mark.rounds.settled_after:
                return mark
            at += 1
        return None
