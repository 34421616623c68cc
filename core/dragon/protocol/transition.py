"""The pure function from (state, event) to the next state.

Every operator applies the same rules to the same events, so all logs are identical. The result
does not depend on a clock, on the ledger's time or on the operator. The rules measure age by *log
time*: the timestamp of the last mark. They know the committee that holds from the handovers in the
log: from the entry after a handover only the next committee counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, TypeAlias, TypeVar

from dragon import errors
from dragon.encoding import to_hex
from dragon.protocol.claims.base import Claim, EventClaim, RootAt, kind_of
from dragon.protocol.claims.status import Transition
from dragon.protocol.committee import Committee
from dragon.protocol.handover import Handover
from dragon.protocol.state import State
from dragon.protocol.succession import check_successor

# Returns the committee whose file has this id (32 bytes), or None if the file is not at hand.
Documents: TypeAlias = Callable[[bytes], Committee | None]


class SignedClaim(Protocol):
    """The part of an event that the rules need: a claim that can be verified."""

    @property
    def claim(self) -> Claim: ...
    @property
    def committee_id(self) -> bytes: ...
    def verify(self, committee: Committee) -> None: ...


E = TypeVar("E", bound=SignedClaim)
Verify: TypeAlias = Callable[[E, Committee], None]


def transition(
    state: State,
    event: E,
    *,
    root_at: RootAt,
    verify: Verify[E] | None = None,
    documents: Documents = lambda _: None,
    accept: Callable[[Handover, Committee, Committee], None] = Handover.verify_acceptance,
) -> State:
    """Return the state after `event`.

    The certificate is verified after the cheap checks, so a flood of replays costs no pairing.

    Args:
        root_at: returns the root of this log at a former size, up to `state.size`.
        verify: verifies a certificate; a batched replay passes a function that postpones it.
        documents: finds the file of a committee that a handover names.
        accept: verifies a handover's acceptance by the next committee.

    Raises:
        Superseded: the event belongs to a committee that has handed over.
        WrongCommittee: the event belongs to another committee.
        NotApplicable: the log does not accept the event now, genuine or not; a subclass says why.
        CertificateError: the certificate does not prove the claim.
        DocumentMissing: the file of the next committee is not at hand; try again later.
        Diverged: a quorum certified another log than this one.
    """
    committee = state.committee
    # (1) The event is of the committee that holds.
    check_committee(event.committee_id, state)
    # (2) The claim is not superseded, has the right age, and meets the rules of its kind.
    check_applicable(state, event.claim)
    # (3) The claim is certified.
    verify(event, committee) if verify else event.verify(committee)
    # (4) The next committee may follow, and has accepted.
    following = None
    if isinstance(event, Handover):
        following = _next_committee(state, event, documents)
        accept(event, committee, following)
    # (5) A claim about the log agrees with this log.
    kind_of(event.claim).check_log(event.claim, state, root_at)
    return advance(state, event.claim, following)


def check_committee(committee_id: bytes, state: State) -> None:
    """Check that an event is of the committee that holds. Raises Superseded, WrongCommittee."""
    if committee_id == state.committee.id:
        return
    if committee_id in state.known.committees:
        message = f"the committee of the event has handed over to epoch {state.committee.epoch}"
        raise errors.Superseded(message, committee=to_hex(committee_id))
    raise errors.WrongCommittee(
        "the event belongs to another committee", committee=to_hex(committee_id)
    )


def _next_committee(state: State, event: Handover, documents: Documents) -> Committee:
    """Return the committee that a certified handover names. Raises DocumentMissing, UnfitSuccessor.

    The certificate was verified before: otherwise anybody could make every log wait for a file
    that does not exist.
    """
    following = documents(event.claim.next)
    if following is None:
        message = f"the file of committee {to_hex(event.claim.next)} is not at hand"
        raise errors.DocumentMissing(message, committee=to_hex(event.claim.next))
    try:
        check_successor(state.known, state.sealed, following)
    except errors.InvalidCommittee as error:
        raise errors.UnfitSuccessor(f"not fit to follow: {error}", reason=error.name) from None
    return following


def check_applicable(state: State, claim: Claim) -> None:
    """Check whether the log accepts a claim, before its certificate is verified.

    Raises UnknownKind: claims of this kind are no events; a subclass of NotApplicable.
    """
    kind = kind_of(claim)
    if not isinstance(claim, EventClaim):
        raise errors.UnknownKind(f"a {kind.name} certificate cannot be an event")
    superseded = kind.superseded(claim, state)
    if isinstance(superseded, errors.AppliedAlready):
        raise superseded
    _check_age(claim.timestamp, state)
    kind.check_applicable(claim, state)
    if superseded:
        raise superseded


def _check_age(timestamp: int, state: State) -> None:
    most, now = state.committee.rounds.max_age, state.log_time
    if now > timestamp + most:
        late = now - timestamp
        message = (
            f"the log has a mark {late} s after the event's timestamp; at most {most} s are allowed"
        )
        raise errors.Stale(message, late=late, most=most)
    if timestamp < state.seat:
        message = f"the committee took its seat {state.seat - timestamp} s after the timestamp"
        raise errors.BeforeSeat(message, seat=state.seat)


def advance(state: State, claim: Claim, following: Committee | None = None) -> State:
    """Return the state after an event that was already checked.

    Args:
        following: the committee that a handover seats.
    """
    after = replace(kind_of(claim).advance(claim, state), size=state.size + 1)
    return after if following is None else _seated(after, following)


def _seated(state: State, following: Committee) -> State:
    """Seat the next committee: what it does not list becomes unknown.

    Announced maintenance stays, of removed nodes and by rotated keys too: nothing cancels it.
    """
    mark = state.marks[-1]
    nodes: dict[str, Any] = dict(state.nodes)
    for node_id in state.committee.urls.keys() - following.urls.keys():
        if last := state.last(node_id):
            at = max(mark.timestamp, last.timestamp)
            nodes[node_id] = nodes[node_id].appended(Transition(None, at, mark.position))
    listed = {
        node_id: state.listed_since.get(node_id, mark.timestamp) for node_id in following.urls
    }
    return replace(
        state,
        known=state.known.then(following),
        handovers=state.handovers.appended(mark),
        nodes=nodes,
        listed_since={**state.listed_since, **listed},
    )
