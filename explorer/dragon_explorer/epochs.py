"""All committees that have held in the log, and the nodes that they have listed.

The committee files stay in the log's file. Here are the few facts of each epoch that many pages
need, so that the cost of a page does not grow with the number of handovers.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from dragon import errors
from dragon.log.queries import Seating
from dragon.log.store import Log
from dragon.protocol.committee import Committee
from dragon.protocol.rounds import Rounds

FILES_AT_ONCE: Final = 64  # committee files that are read in one go
MAX_FILES_KEPT: Final = 16  # committee files of earlier epochs in memory
NodeKind = Literal["operator", "target"]


@dataclass(frozen=True, slots=True)
class Epoch:
    """One committee that has held."""

    epoch: int
    id: bytes  # of the committee, 32 bytes
    seat: int  # Unix seconds; genesis in epoch 0
    position: int | None  # of its handover in the log; None in epoch 0
    size: int  # entries that its handover covers; 0 in epoch 0
    rounds: Rounds


@dataclass(frozen=True, slots=True)
class KnownNode:
    """A node that some committee has listed. A node that has left never comes back."""

    node_id: str
    kind: NodeKind
    url: str  # in the last committee that lists it
    since_epoch: int  # of the first committee that lists it
    since: int  # Unix seconds, the seat of that committee
    left_epoch: int | None = None  # of the first committee that lists it no more
    left: int | None = None  # Unix seconds, the seat of that committee


class Epochs:
    """The epochs of one log. Any thread may use it."""

    def __init__(self, log: Log) -> None:
        """Read what the log's file has now. Raises LogDamaged."""
        self._log = log
        self._lock = threading.Lock()  # guards everything below
        self._epochs: list[Epoch] = []
        self._seats: list[int] = []
        self._nodes: dict[str, KnownNode] = {}
        self._numbers: dict[bytes, int] = {}  # epochs by committee id
        self._files: OrderedDict[bytes, Committee] = OrderedDict()  # some earlier ones, by id
        self.update()

    def update(self) -> None:
        """Add the committees that have taken their seat since the last call."""
        newest = self._log.committee
        if self._numbers.get(newest.id) == len(self._epochs) - 1:
            return
        with self._lock:
            epochs, nodes = list(self._epochs), dict(self._nodes)
            if newest.epoch < len(epochs):  # the log was read anew from its file
                epochs, nodes = [], {}
            while len(epochs) <= newest.epoch:
                for seating in self._log.committees(len(epochs) - 1, FILES_AT_ONCE):
                    epochs.append(_epoch(seating))
                    _add_nodes(nodes, seating.committee, epochs[-1].seat)
            self._epochs, self._nodes = epochs, nodes
            self._seats = [each.seat for each in epochs]
            self._numbers = {each.id: each.epoch for each in epochs}

    def all(self) -> Sequence[Epoch]:
        """Return all epochs, oldest first."""
        self.update()
        return self._epochs

    def at(self, time: float) -> Epoch:
        """Return the epoch that held at a time (Unix seconds); before genesis the first one."""
        self.update()
        return self._epochs[max(0, bisect_right(self._seats, time) - 1)]

    def round_starts(self, time: float) -> Iterator[int]:
        """Yield the starts of rounds (Unix seconds), backwards from the round of a time.

        A committee may have another round length than the one before. Its first round may begin
        before its seat.
        """
        genesis = self._log.committee.rounds.genesis
        while time >= genesis:
            rounds = self.at(time).rounds
            start = rounds.start(rounds.number(time))
            yield start
            time = start - 1

    def number_of(self, committee_id: bytes) -> int | None:
        """Return the epoch of a committee; None: it has not held in this log."""
        self.update()
        return self._numbers.get(committee_id)

    def committee(self, committee_id: bytes) -> Committee:
        """Return a committee that has held in this log. Raises WrongCommittee: it has not."""
        newest = self._log.committee
        if committee_id == newest.id:
            return newest
        if (epoch := self.number_of(committee_id)) is None:
            raise errors.WrongCommittee("no committee with this id has held in this log")
        with self._lock:
            found = self._files.pop(committee_id, None)
            if found is None:
                [seating] = self._log.committees(epoch - 1, 1)
                found = seating.committee
            self._files[committee_id] = found
            while len(self._files) > MAX_FILES_KEPT:
                self._files.popitem(last=False)
        return found

    def nodes(self) -> Mapping[str, KnownNode]:
        """Return every node that some committee has listed, by id, in the order of joining."""
        self.update()
        return self._nodes

    def node(self, node_id: str) -> KnownNode:
        """Return a node that some committee has listed. Raises UnknownNode."""
        found = self.nodes().get(node_id)
        if found is None:
            raise errors.UnknownNode(f"the committee lists no node {node_id}", node_id=node_id)
        return found


def _epoch(seating: Seating) -> Epoch:
    committee, claim = seating.committee, seating.handover and seating.handover.claim
    rounds = committee.rounds
    seat, size = (claim.timestamp, claim.size) if claim else (rounds.genesis, 0)
    return Epoch(committee.epoch, committee.id, seat, seating.position, size, rounds)


def _add_nodes(nodes: dict[str, KnownNode], committee: Committee, seat: int) -> None:
    """Add what a committee lists, and note what it does not list any more."""
    for node_id, url in committee.urls.items():
        kind: NodeKind = "operator" if node_id in committee.keys else "target"
        known = nodes.get(node_id) or KnownNode(node_id, kind, url, committee.epoch, seat)
        nodes[node_id] = replace(known, url=url)
    for node_id, known in nodes.items():
        if known.left is None and node_id not in committee.urls:
            nodes[node_id] = replace(known, left_epoch=committee.epoch, left=seat)
