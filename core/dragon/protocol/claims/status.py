"""Status claims: a node is up or down in a round."""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from dragon import errors
from dragon.encoding import to_hex
from dragon.protocol.claims.base import EventClaim, Kind, Row, Table, register, utc
from dragon.protocol.committee import DEFAULT_QUORUMS, Committee
from dragon.protocol.history import History
from dragon.protocol.shape import Id, Integer

if TYPE_CHECKING:
    from dragon.protocol.state import State


class Status(enum.StrEnum):
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class StatusClaim(EventClaim):
    """A node is up or down in the round that begins at `timestamp`."""

    KIND: ClassVar[str] = "status"

    node_id: Annotated[str, Id()]
    status: Status
    timestamp: Annotated[
        int, Integer()
    ]  # Unix seconds, the start of a round: all operators have to sign the same bytes


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of a node's status that was applied to the log."""

    status: Status | None  # None: a handover has removed the node, so its status is unknown
    timestamp: int  # Unix seconds, the start of the round in which it was certified
    position: int = field(default=0, compare=False)  # of its event in the log


LOGS: Final = Table("logs", ("node_id", "status", "timestamp", "signature"), "id")


class StatusKind(Kind[StatusClaim]):
    claim = StatusClaim
    default_quorum = DEFAULT_QUORUMS["status"]
    tables = (LOGS,)

    def check(self, claim: StatusClaim, committee: Committee) -> None:
        committee.check_node(claim.node_id)
        committee.rounds.check_start(claim.timestamp)

    def may_sign(self, claim: StatusClaim, operator: str) -> bool:
        """Return False for an operator that would sign that it is down itself."""
        return claim.status is Status.UP or operator != claim.node_id

    def advance(self, claim: StatusClaim, state: State) -> State:
        transition = Transition(claim.status, claim.timestamp, state.size)
        transitions = state.nodes.get(claim.node_id, History()).appended(transition)
        return replace(state, nodes={**state.nodes, claim.node_id: transitions})

    def superseded(self, claim: StatusClaim, state: State) -> errors.NotApplicable | None:
        """The log accepts only changes of status, later than the node's last event."""
        if _has(state, claim):
            message = f"this claim ({claim.node_id} {claim.status}) is in the log already"
            return errors.AppliedAlready(message)
        last = state.last(claim.node_id)
        if last and claim.timestamp <= last.timestamp:
            message = f"the log has an event of {claim.node_id} at the same time or later"
            return errors.NotLater(message, last=last.timestamp)
        if last and claim.status is last.status:
            return errors.NotAChange(f"{claim.node_id} is already {last.status}")
        return None

    def ordering_key(self, claim: StatusClaim) -> str:
        return claim.node_id

    def rows(self, claim: StatusClaim, position: int, signature: bytes) -> Iterable[Row]:
        yield Row(LOGS, {**claim.members(), "signature": to_hex(signature)})

    def sentence(self, claim: StatusClaim) -> str:
        return f"{claim.node_id} was {claim.status} in the round from {utc(claim.timestamp)}"


def _has(state: State, claim: StatusClaim) -> bool:
    """Return whether this claim was applied."""
    transitions = state.nodes.get(claim.node_id, History())
    at = bisect_left(transitions, claim.timestamp, key=lambda move: move.timestamp)
    return at < len(transitions) and transitions[at] == Transition(claim.status, claim.timestamp)


register(StatusKind())
