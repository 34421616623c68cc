"""The log's state, and the pure function from (state, event) to the next state.

Every operator applies the same rules to the same events, so all logs are identical. The result
does not depend on a clock, on the ledger's time or on the operator. The rules measure age by *log
time*: the timestamp of the last certified checkpoint.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias, TypeVar

from dragon import errors
from dragon.protocol.claims.base import Claim, EventClaim, RootAt, kind_of
from dragon.protocol.claims.checkpoint import AppliedCheckpoint
from dragon.protocol.claims.status import Status, Transition
from dragon.protocol.claims.stream_state import StreamState
from dragon.protocol.committee import Committee
from dragon.protocol.history import History

__all__ = ["AppliedCheckpoint", "History", "State", "StreamState", "Transition", "transition"]


class SignedClaim(Protocol):
    """The part of an event that the rules need: a claim that can be verified."""

    @property
    def claim(self) -> Claim: ...
    @property
    def committee_id(self) -> bytes: ...
    def verify(self, committee: Committee) -> None: ...


E = TypeVar("E", bound=SignedClaim)
Verify: TypeAlias = Callable[[E, Committee], None]


@dataclass(frozen=True, slots=True)
class State:
    """The result of all events that were applied so far."""

    nodes: Mapping[str, History[Transition]] = field(default_factory=dict)
    checkpoints: History[AppliedCheckpoint] = field(default_factory=History)
    size: int = 0  # events applied
    streams: Mapping[bytes, StreamState] = field(default_factory=dict)
    further: Mapping[str, object] = field(default_factory=dict)  # state of other kinds, by kind

    def last(self, node_id: str) -> Transition | None:
        """Return the node's newest transition; None while it is unknown."""
        transitions = self.nodes.get(node_id)
        return transitions[-1] if transitions else None

    def status(self, node_id: str) -> Status | None:
        """Return the node's certified status; None while it is unknown."""
        last = self.last(node_id)
        return last.status if last else None

    def stream(self, stream_id: bytes) -> StreamState:
        """Return the state of a stream; an empty state if the log has no event about it."""
        return self.streams.get(stream_id, StreamState())

    @property
    def checkpoint(self) -> AppliedCheckpoint | None:
        """The newest certified checkpoint."""
        return self.checkpoints[-1] if self.checkpoints else None

    def log_time(self, committee: Committee) -> int:
        """Return the log time in Unix seconds: that of the last checkpoint, or else of genesis."""
        return self.checkpoint.timestamp if self.checkpoint else committee.rounds.genesis

    def settling(self, end: int, committee: Committee) -> AppliedCheckpoint | None:
        """Return the checkpoint that settles the time before `end` (Unix seconds), if there is one.

        It is the first with a timestamp of at least `end` + `max_age`. After it no event can change
        what the log says about the time before `end`.
        """
        least = end + committee.rounds.settled_after
        at = bisect_left(self.checkpoints, least, key=lambda each: each.timestamp)
        return self.checkpoints[at] if at < len(self.checkpoints) else None


def transition(
    state: State,
    event: E,
    committee: Committee,
    *,
    root_at: RootAt,
    verify: Verify[E] | None = None,
) -> State:
    """Return the state after `event`.

    The certificate is verified after the cheap checks, so a flood of replays costs no pairing.

    Args:
        root_at: returns the root of this log at a former size, up to `state.size`.
        verify: verifies a certificate; a batched replay passes a function that postpones it.

    Raises:
        WrongCommittee: the event belongs to another committee.
        NotApplicable: the log does not accept the event now, genuine or not; a subclass says why.
        CertificateError: the certificate does not prove the claim.
        Diverged: a quorum certified another log than this one.
    """
    # (1) The event is of this committee.
    if event.committee_id != committee.id:
        raise errors.WrongCommittee("the event belongs to another committee")
    # (2) The claim is not superseded, has the right age, and meets the rules of its kind.
    check_applicable(state, event.claim, committee)
    # (3) The claim is certified.
    verify(event, committee) if verify else event.verify(committee)
    # (4) A claim about the log agrees with this log.
    kind_of(event.claim).check_log(event.claim, state, root_at)
    return advance(state, event.claim)


def check_applicable(state: State, claim: Claim, committee: Committee) -> None:
    """Check whether the log accepts a claim, before its certificate is verified.

    Raises UnknownKind: claims of this kind are no events; a subclass of NotApplicable.
    """
    kind = kind_of(claim)
    if not isinstance(claim, EventClaim):
        raise errors.UnknownKind(f"a {kind.name} certificate cannot be an event")
    superseded = kind.superseded(claim, state, committee)
    if isinstance(superseded, errors.AppliedAlready):
        raise superseded
    _check_age(claim.timestamp, state, committee)
    kind.check_applicable(claim, state, committee)
    if superseded:
        raise superseded


def _check_age(timestamp: int, state: State, committee: Committee) -> None:
    most, now = committee.rounds.max_age, state.log_time(committee)
    if now > timestamp + most:
        late = now - timestamp
        message = (
            f"the log has a checkpoint {late} s after the event's timestamp; "
            f"at most {most} s are allowed"
        )
        raise errors.Stale(message, late=late, most=most)


def advance(state: State, claim: Claim) -> State:
    """Return the state after an event that was already checked."""
    return replace(kind_of(claim).advance(claim, state), size=state.size + 1)
