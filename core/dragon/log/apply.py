"""The rules of application: a pure function from (state, event, proven time) to the next state.

Every log applies them alike, so every log that has read the same batches is the same. Nothing here
depends on when or by whom it is run.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

from dragon import errors
from dragon.claim import Status, StatusClaim
from dragon.committee import Committee
from dragon.event import Event


@dataclass(frozen=True, slots=True)
class Transition:
    status: Status
    timestamp: int  # Unix seconds, the start of the round in which it was certified


class Moves(Sequence[Transition]):
    """One node's transitions, oldest first. A value: `with_next` gives a new one.

    Successors share one list, of which each knows its own part. So a node that flaps for years
    costs the same for every event, and none of the older states changes.
    """

    __slots__ = ("_length", "_shared")

    def __init__(self, shared: Iterable[Transition] = ()) -> None:
        self._shared = list(shared)
        self._length = len(self._shared)

    def with_next(self, transition: Transition) -> Moves:
        following = Moves()
        # Only the newest may append to the list in place; a branch gets a list of its own.
        newest = len(self._shared) == self._length
        following._shared = self._shared if newest else self._shared[: self._length]
        following._shared.append(transition)
        following._length = self._length + 1
        return following

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, at: int) -> Transition: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Transition]: ...
    def __getitem__(self, at: int | slice) -> Transition | Sequence[Transition]:
        if isinstance(at, slice):
            return [self._shared[i] for i in range(*at.indices(self._length))]
        if not -self._length <= at < self._length:
            raise IndexError(at)
        return self._shared[at % self._length]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Moves({list(self)})"


@dataclass(frozen=True, slots=True)
class State:
    """What the applied events say so far."""

    nodes: Mapping[str, Moves] = field(default_factory=dict)

    def last(self, node_id: str) -> Transition | None:
        """The node's newest transition; None while it is unknown."""
        transitions = self.nodes.get(node_id)
        return transitions[-1] if transitions else None

    def has(self, claim: StatusClaim) -> bool:
        """Whether exactly this claim has been applied."""
        moves = self.nodes.get(claim.node_id, ())
        at = bisect_left(moves, claim.timestamp, key=lambda move: move.timestamp)
        return at < len(moves) and moves[at] == Transition(claim.status, claim.timestamp)

    def status(self, node_id: str) -> Status | None:
        last = self.last(node_id)
        return last.status if last else None


def apply(state: State, event: Event, proven_time: int, committee: Committee) -> State:
    """The state after `event`, which the ledger took at `proven_time` (Unix seconds).

    The order is decode (already done) → committee → applied already → stale or early → change →
    certificate: the dear check comes last, so a flood of replays costs no pairing.

    Raises:
        WrongCommittee: an event of another committee.
        NotApplicable: a leaf of it; the event may be genuine, but the log does not take it now.
        CertificateError: the certificate does not prove the claim.
    """
    if event.committee_id != committee.id:
        raise errors.WrongCommittee("the event is another committee's")
    check_applicable(state, event, proven_time, committee)
    event.verify(committee)
    return advance(state, event)


def check_applicable(state: State, event: Event, proven_time: int, committee: Committee) -> None:
    """Everything but the certificate. Raises a leaf of NotApplicable."""
    claim = event.claim
    if state.has(claim):
        raise errors.AppliedAlready(f"{claim.node_id} {claim.status} is in the log already")
    _check_age(claim.timestamp, proven_time, committee)
    last = state.last(claim.node_id)
    if last and claim.timestamp <= last.timestamp:
        raise errors.NotLater(
            f"the last event of {claim.node_id} is as late or later", last=last.timestamp
        )
    if last and claim.status is last.status:
        raise errors.NotAChange(f"{claim.node_id} is {last.status} already")


def _check_age(timestamp: int, proven_time: int, committee: Committee) -> None:
    rounds = committee.rounds
    if proven_time > timestamp + rounds.max_age:
        late = proven_time - timestamp
        raise errors.Stale(f"it came {late} s after its round", late=late, most=rounds.max_age)
    if proven_time < timestamp - rounds.early:
        early = timestamp - proven_time
        raise errors.Early(f"it came {early} s before its round", early=early, most=rounds.early)


def advance(state: State, event: Event) -> State:
    """The state after an event that was checked before."""
    claim = event.claim
    transition = Transition(claim.status, claim.timestamp)
    known = state.nodes.get(claim.node_id, Moves())
    return State({**state.nodes, claim.node_id: known.with_next(transition)})
