"""Handover claims: a committee hands over to the next one.

A handover is a checkpoint that two committees sign, and that names the next one. The committee that
holds signs the claim of kind `handover`; the next one signs the same members as `acceptance`, bound
to its own id. `dragon.protocol.handover` has the event that carries both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from dragon import errors
from dragon.encoding import to_hex
from dragon.protocol.claims.base import Claim, EventClaim, Kind, RootAt, register, utc
from dragon.protocol.claims.checkpoint import check_agrees
from dragon.protocol.committee import DEFAULT_QUORUMS, MAX_EPOCH, Committee
from dragon.protocol.marks import Mark
from dragon.protocol.shape import HASH, Hex, Integer

HANDOVERS: Final = "@handovers"  # their ordering key

if TYPE_CHECKING:
    from dragon.protocol.state import State


@dataclass(frozen=True, slots=True)
class HandoverClaim(EventClaim):
    """The log had this size and root in the round from `timestamp`; then `next` takes its seat."""

    KIND: ClassVar[str] = "handover"

    epoch: Annotated[int, Integer(least=1, most=MAX_EPOCH)]  # of the next committee
    next: Annotated[bytes, HASH]  # id of the next committee
    log_root: Annotated[bytes, Hex(name="root")]  # RFC 6962
    size: Annotated[int, Integer(least=1)]  # entries
    timestamp: Annotated[int, Integer()]  # Unix seconds, the start of a round

    @property
    def acceptance(self) -> AcceptanceClaim:
        """The same members, as the next committee signs them."""
        return AcceptanceClaim(self.epoch, self.next, self.log_root, self.size, self.timestamp)


@dataclass(frozen=True, slots=True)
class AcceptanceClaim(Claim):
    """An operator of the next committee has this log, and takes its seat. It never stands alone."""

    KIND: ClassVar[str] = "acceptance"

    epoch: Annotated[int, Integer(least=1, most=MAX_EPOCH)]
    next: Annotated[bytes, HASH]
    log_root: Annotated[bytes, Hex(name="root")]
    size: Annotated[int, Integer(least=1)]
    timestamp: Annotated[int, Integer()]


class HandoverKind(Kind[HandoverClaim]):
    claim = HandoverClaim
    default_quorum = DEFAULT_QUORUMS["handover"]

    def check(self, claim: HandoverClaim, committee: Committee) -> None:
        committee.rounds.check_start(claim.timestamp)

    def check_log(self, claim: HandoverClaim, state: State, root_at: RootAt) -> None:
        check_agrees(claim.size, claim.log_root, state, root_at)

    def check_applicable(self, claim: HandoverClaim, state: State) -> None:
        if claim.epoch != (expected := state.committee.epoch + 1):
            message = f"the next handover is to epoch {expected}, not {claim.epoch}"
            raise errors.NotNextEpoch(message, epoch=claim.epoch, next=expected)

    def superseded(self, claim: HandoverClaim, state: State) -> errors.NotApplicable | None:
        """A handover contains the last mark and is later. It need not wait twelve rounds.

        Without a mark it is later than genesis: an operator that has signed one signs for another
        committee when log time has reached it, so it must not be applicable from then on.

        After it was applied, its committee does not hold any more, so this one is not asked.
        """
        last = state.mark
        if (last and claim.size <= last.position) or claim.timestamp <= state.log_time:
            message = "the log of the handover does not contain the last mark, or is not later"
            return errors.NotLater(message, last=state.log_time)
        return None

    def advance(self, claim: HandoverClaim, state: State) -> State:
        """Note the mark. `dragon.protocol.transition.advance` seats the next committee."""
        rounds = state.committee.rounds
        mark = Mark(claim.size, claim.log_root, claim.timestamp, state.size, rounds, claim.next)
        return replace(state, marks=state.marks.appended(mark))

    def ordering_key(self, claim: HandoverClaim) -> str:
        return HANDOVERS

    def sentence(self, claim: HandoverClaim) -> str:
        return (
            f"the committee handed over to {to_hex(claim.next)} of epoch {claim.epoch} in the "
            f"round from {utc(claim.timestamp)}, with {claim.size} entries in the log"
        )


register(HandoverKind())
