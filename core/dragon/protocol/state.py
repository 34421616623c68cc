"""The rules of application: a pure function from (state, event, proven time) to the next state.

Every log applies them alike, so every log that has read the same batches is the same. Nothing here
depends on when or by whom it is run.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeAlias, TypeVar, overload

from dragon import errors
from dragon.encoding import to_hex
from dragon.protocol import event
from dragon.protocol.claims import stream_state
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.claims.stream_state import Stream
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event

T = TypeVar("T")

Verify: TypeAlias = Callable[[Event, Committee], None]
RootAt: TypeAlias = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Transition:
    status: Status
    timestamp: int  # Unix seconds, the start of the round in which it was certified
    position: int = field(default=0, compare=False)  # of its event in the log


@dataclass(frozen=True, slots=True)
class AppliedCheckpoint:
    """A certified checkpoint as it was applied."""

    size: int
    log_root: bytes
    timestamp: int
    position: int = field(default=0, compare=False)


class History(Sequence[T], Generic[T]):
    """What happened to one thing, oldest first. A value: `appended` gives a new one.

    Successors share one list, of which each knows its own part. So a node that flaps for years
    costs the same for every event, and none of the older states changes.
    """

    __slots__ = ("_length", "_shared")

    def __init__(self, shared: Iterable[T] = ()) -> None:
        self._shared = list(shared)
        self._length = len(self._shared)

    def appended(self, item: T) -> History[T]:
        following: History[T] = History()
        # Only the newest may append to the list in place; a branch gets a list of its own.
        newest = len(self._shared) == self._length
        following._shared = self._shared if newest else self._shared[: self._length]
        following._shared.append(item)
        following._length = self._length + 1
        return following

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[T]: ...
    def __getitem__(self, at: int | slice) -> T | Sequence[T]:
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
        return f"History({list(self)})"


@dataclass(frozen=True, slots=True)
class State:
    """What the applied events say so far."""

    nodes: Mapping[str, History[Transition]] = field(default_factory=dict)
    checkpoints: History[AppliedCheckpoint] = field(default_factory=History)
    size: int = 0  # events applied
    streams: Mapping[bytes, Stream] = field(default_factory=dict)

    def last(self, node_id: str) -> Transition | None:
        """The node's newest transition; None while it is unknown."""
        transitions = self.nodes.get(node_id)
        return transitions[-1] if transitions else None

    def has(self, claim: StatusClaim) -> bool:
        """Whether exactly this claim has been applied."""
        moves = self.nodes.get(claim.node_id, History())
        at = bisect_left(moves, claim.timestamp, key=lambda move: move.timestamp)
        return at < len(moves) and moves[at] == Transition(claim.status, claim.timestamp)

    def status(self, node_id: str) -> Status | None:
        last = self.last(node_id)
        return last.status if last else None

    def stream(self, stream_id: bytes) -> Stream:
        """What is known of a stream, which may be nothing."""
        return self.streams.get(stream_id, Stream())

    @property
    def checkpoint(self) -> AppliedCheckpoint | None:
        """The newest certified checkpoint."""
        return self.checkpoints[-1] if self.checkpoints else None


def transition(
    state: State,
    event_: Event,
    proven_time: int,
    committee: Committee,
    *,
    root_at: RootAt,
    verify: Verify = event.verify,
) -> State:
    """The state after `event_`, which the ledger took at `proven_time` (Unix seconds).

    The order is decode (already done) → committee → applied already → stale or early → change →
    certificate: the dear check comes last, so a flood of replays costs no pairing.

    Args:
        root_at: the root of this log at a former size, up to `state.size`.
        verify: how a certificate is verified; a batched replay gathers them and asks later.

    Raises:
        WrongCommittee: an event of another committee.
        NotApplicable: a leaf of it; the event may be genuine, but the log does not take it now.
        CertificateError: the certificate does not prove the claim.
        Diverged: a quorum has certified another log than this one.
    """
    if event_.committee_id != committee.id:
        raise errors.WrongCommittee("the event is another committee's")
    check_applicable(state, event_, proven_time, committee)
    verify(event_, committee)
    if isinstance(event_.claim, CheckpointClaim):
        _check_root(state, event_.claim, root_at)
    return advance(state, event_)


def check_applicable(state: State, event_: Event, proven_time: int, committee: Committee) -> None:
    """Everything but the certificate. Raises a leaf of NotApplicable."""
    match event_.claim:
        case StatusClaim() as claim:
            if state.has(claim):
                raise errors.AppliedAlready(f"{claim.node_id} {claim.status} is in the log already")
            _check_age(claim.timestamp, proven_time, committee)
            _check_change(state, claim)
        case CheckpointClaim() as claim:
            _check_checkpoint(state, claim, proven_time, committee)
        case WindowClaim() as claim:
            stream = state.stream(claim.stream)
            stream_state.check_new(stream, claim)
            _check_age(claim.timestamp, proven_time, committee)
            stream_state.check_link(stream, claim)
        case EndorsementClaim() as claim:
            stream = state.stream(claim.stream)
            stream.by(claim.expert).check_new(claim)
            _check_age(claim.timestamp, proven_time, committee)
            stream_state.check_endorsable(stream, claim)
        case _:
            raise errors.UnknownKind("a downtime certificate is an answer, and no event")


def _check_change(state: State, claim: StatusClaim) -> None:
    last = state.last(claim.node_id)
    if last and claim.timestamp <= last.timestamp:
        raise errors.NotLater(
            f"the last event of {claim.node_id} is as late or later", last=last.timestamp
        )
    if last and claim.status is last.status:
        raise errors.NotAChange(f"{claim.node_id} is {last.status} already")


def _check_checkpoint(
    state: State, claim: CheckpointClaim, proven_time: int, committee: Committee
) -> None:
    last = state.checkpoint
    if last and (last.size, last.log_root, last.timestamp) == (
        claim.size,
        claim.log_root,
        claim.timestamp,
    ):
        raise errors.AppliedAlready(f"the checkpoint at {claim.size} is in the log already")
    _check_age(claim.timestamp, proven_time, committee)
    if last and not follows(claim, last, committee):
        raise errors.NotLater("the last checkpoint is too near", last=last.timestamp)


def follows(claim: CheckpointClaim, last: AppliedCheckpoint, committee: Committee) -> bool:
    """Whether a checkpoint is due after `last`: a larger log, and twelve rounds later."""
    due = last.timestamp + committee.rounds.checkpoint_every
    return claim.size > last.size and claim.timestamp >= due


def _check_root(state: State, claim: CheckpointClaim, root_at: RootAt) -> None:
    """After the certificate: a forged checkpoint must not stop a log."""
    last = state.checkpoint
    agreed = f"the logs agree up to entry {last.size - 1}" if last else "no entry is agreed on"
    if claim.size > state.size:
        message = f"a quorum certified {claim.size} entries, this log had {state.size}; {agreed}"
        raise errors.Diverged(message, size=claim.size)
    if (own := root_at(claim.size)) != claim.log_root:
        message = (
            f"a quorum certified the root {to_hex(claim.log_root)} at {claim.size} entries, "
            f"this log has {to_hex(own)}; {agreed}"
        )
        raise errors.Diverged(message, size=claim.size)


def _check_age(timestamp: int, proven_time: int, committee: Committee) -> None:
    rounds = committee.rounds
    if proven_time > timestamp + rounds.max_age:
        late = proven_time - timestamp
        raise errors.Stale(f"it came {late} s after its round", late=late, most=rounds.max_age)
    if proven_time < timestamp - rounds.early:
        early = timestamp - proven_time
        raise errors.Early(f"it came {early} s before its round", early=early, most=rounds.early)


def advance(state: State, event_: Event) -> State:
    """The state after an event that was checked before."""
    size = state.size + 1
    match event_.claim:
        case StatusClaim() as claim:
            transition = Transition(claim.status, claim.timestamp, state.size)
            known = state.nodes.get(claim.node_id, History())
            nodes = {**state.nodes, claim.node_id: known.appended(transition)}
            return replace(state, nodes=nodes, size=size)
        case CheckpointClaim() as claim:
            mark = AppliedCheckpoint(claim.size, claim.log_root, claim.timestamp, state.size)
            return replace(state, checkpoints=state.checkpoints.appended(mark), size=size)
        case WindowClaim() as claim:
            stream = stream_state.with_window(state.stream(claim.stream), claim, state.size)
        case EndorsementClaim() as claim:
            stream = stream_state.with_endorsement(state.stream(claim.stream), claim)
        case _:
            raise errors.UnknownKind("a downtime certificate is an answer, and no event")
    return replace(state, streams={**state.streams, event_.claim.stream: stream}, size=size)
