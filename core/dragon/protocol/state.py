"""The log's state, and the pure function from (state, event, proven time) to the next state.

Every log applies the same rules, so logs that have read the same batches are identical. Nothing
here depends on when or by whom it is run.
"""

from __future__ import annotations

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
    """What an event is to the rules: a claim that can be verified."""

    @property
    def claim(self) -> Claim: ...
    @property
    def committee_id(self) -> bytes: ...
    def verify(self, committee: Committee) -> None: ...


E = TypeVar("E", bound=SignedClaim)
Verify: TypeAlias = Callable[[E, Committee], None]


@dataclass(frozen=True, slots=True)
class State:
    """What the applied events say so far."""

    nodes: Mapping[str, History[Transition]] = field(default_factory=dict)
    checkpoints: History[AppliedCheckpoint] = field(default_factory=History)
    size: int = 0  # events applied
    streams: Mapping[bytes, StreamState] = field(default_factory=dict)
    further: Mapping[str, object] = field(default_factory=dict)  # of other kinds, by kind

    def last(self, node_id: str) -> Transition | None:
        """Return the node's newest transition; None while it is unknown."""
        transitions = self.nodes.get(node_id)
        return transitions[-1] if transitions else None

    def status(self, node_id: str) -> Status | None:
        last = self.last(node_id)
        return last.status if last else None

    def stream(self, stream_id: bytes) -> StreamState:
        """Return what is known about a stream, which may be nothing."""
        return self.streams.get(stream_id, StreamState())

    @property
    def checkpoint(self) -> AppliedCheckpoint | None:
        """The newest certified checkpoint."""
        return self.checkpoints[-1] if self.checkpoints else None


def transition(
    state: State,
    event: E,
    proven_time: int,
    committee: Committee,
    *,
    root_at: RootAt,
    verify: Verify[E] | None = None,
) -> State:
    """Return the state after `event`, which the ledger took at `proven_time` (Unix seconds).

    The certificate is verified last because it is expensive: a flood of replays costs no pairing.

    Args:
        root_at: the root of this log at a former size, up to `state.size`.
        verify: how a certificate is verified; a batched replay collects them and verifies later.

    Raises:
        WrongCommittee: an event of another committee.
        NotApplicable: a leaf of it; the event may be genuine, but the log does not accept it now.
        CertificateError: the certificate does not prove the claim.
        Diverged: a quorum has certified another log than this one.
    """
    # (1) Of this committee.
    if event.committee_id != committee.id:
        raise errors.WrongCommittee("the event belongs to another committee")
    # (2) News, of the right age, and what its kind requires.
    check_applicable(state, event.claim, proven_time, committee)
    # (3) Certified.
    verify(event, committee) if verify else event.verify(committee)
    # (4) In agreement with this log, if it is about the log.
    kind_of(event.claim).check_log(event.claim, state, root_at)
    return advance(state, event.claim)


def check_applicable(state: State, claim: Claim, proven_time: int, committee: Committee) -> None:
    """Check everything but the certificate.

    Raises UnknownKind: no event of this kind, or a leaf of NotApplicable.
    """
    kind = kind_of(claim)
    if not isinstance(claim, EventClaim):
        raise errors.UnknownKind(f"a {kind.name} certificate is an answer, not an event")
    superseded = kind.superseded(claim, state, committee)
    if isinstance(superseded, errors.AppliedAlready):
        raise superseded
    _check_age(claim.timestamp, proven_time, committee)
    kind.check_applicable(claim, state)
    if superseded:
        raise superseded


def _check_age(timestamp: int, proven_time: int, committee: Committee) -> None:
    rounds = committee.rounds
    if proven_time > timestamp + rounds.max_age:
        late = proven_time - timestamp
        message = (
            f"the ledger took it {late} s after its round; at most {rounds.max_age} s are allowed"
        )
        raise errors.Stale(message, late=late, most=rounds.max_age)
    if proven_time < timestamp - rounds.early:
        early = timestamp - proven_time
        message = (
            f"the ledger took it {early} s before its round; at most {rounds.early} s are allowed"
        )
        raise errors.Early(message, early=early, most=rounds.early)


def advance(state: State, claim: Claim) -> State:
    """Return the state after an event that was checked before."""
    return replace(kind_of(claim).advance(claim, state), size=state.size + 1)
