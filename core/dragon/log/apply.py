"""The rules of application: a pure function from (state, event, proven time) to the next state.

Every log applies them alike, so every log that has read the same batches is the same. Nothing here
depends on when or by whom it is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dragon import errors
from dragon.claim import Status
from dragon.committee import Committee
from dragon.event import Event


@dataclass(frozen=True, slots=True)
class Transition:
    status: Status
    timestamp: int  # Unix seconds, the start of the round in which it was certified


@dataclass(frozen=True, slots=True)
class State:
    """What the applied events say so far."""

    nodes: Mapping[str, tuple[Transition, ...]] = field(default_factory=dict)

    def last(self, node_id: str) -> Transition | None:
        """The node's newest transition; None while it is unknown."""
        transitions = self.nodes.get(node_id)
        return transitions[-1] if transitions else None

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
    known = state.nodes.get(claim.node_id, ())
    if Transition(claim.status, claim.timestamp) in known:
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
    known = state.nodes.get(claim.node_id, ())
    return State({**state.nodes, claim.node_id: (*known, transition)})
