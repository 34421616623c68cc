"""Checkpoint claims: the size and root of the log in a round."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from dragon import errors
from dragon.encoding import to_hex
from dragon.protocol.claims.base import EventClaim, Kind, RootAt, register, utc
from dragon.protocol.committee import DEFAULT_QUORUMS, Committee
from dragon.protocol.marks import Mark
from dragon.protocol.shape import Hex, Integer

if TYPE_CHECKING:
    from dragon.protocol.state import State


@dataclass(frozen=True, slots=True)
class CheckpointClaim(EventClaim):
    """The log had this size and root in the round that begins at `timestamp`.

    By signing, a quorum confirms every event up to that size, and that it was working in that
    round. Without checkpoints, a time without events could also be an outage of the operators.
    """

    KIND: ClassVar[str] = "checkpoint"

    size: Annotated[int, Integer(least=1)]
    log_root: Annotated[bytes, Hex(name="root")]  # RFC 6962
    timestamp: Annotated[int, Integer()]  # Unix seconds, the start of a round


def check_agrees(size: int, root: bytes, state: State, root_at: RootAt) -> None:
    """Check that this log has the size and root that a quorum certified. Raises Diverged."""
    last = state.mark
    agreed = f"the logs agree up to entry {last.size - 1}" if last else "no entry is certified"
    if size > state.size:
        message = f"a quorum certified {size} entries, but this log had {state.size}"
        raise errors.Diverged(f"{message}; {agreed}", size=size)
    if (own := root_at(size)) != root:
        message = (
            f"a quorum certified the root {to_hex(root)} at {size} entries, "
            f"but this log has {to_hex(own)}; {agreed}"
        )
        raise errors.Diverged(message, size=size)


class CheckpointKind(Kind[CheckpointClaim]):
    claim = CheckpointClaim
    default_quorum = DEFAULT_QUORUMS["checkpoint"]

    def check(self, claim: CheckpointClaim, committee: Committee) -> None:
        committee.rounds.check_start(claim.timestamp)

    def check_log(self, claim: CheckpointClaim, state: State, root_at: RootAt) -> None:
        check_agrees(claim.size, claim.log_root, state, root_at)

    def advance(self, claim: CheckpointClaim, state: State) -> State:
        rounds = state.committee.rounds
        mark = Mark(claim.size, claim.log_root, claim.timestamp, state.size, rounds)
        return replace(state, marks=state.marks.appended(mark), checkpoint=mark)

    def superseded(self, claim: CheckpointClaim, state: State) -> errors.NotApplicable | None:
        """A checkpoint is due twelve rounds after the last one, and its log contains the last mark.

        After a handover it is due at once: it proves that the next committee took its seat.

        If it could leave out the last mark, certificates collected while nothing reaches the ledger
        could be sent as a chain later, and would vouch for a time that no log had entries for.
        """
        if state.checkpoint == Mark(claim.size, claim.log_root, claim.timestamp):
            return errors.AppliedAlready(
                f"the checkpoint at size {claim.size} is in the log already"
            )
        if state.mark is None:
            return None
        pause = state.committee.rounds.checkpoint_every if state.mark.is_checkpoint else 1
        due = state.mark.timestamp + pause
        if claim.size > state.mark.position and claim.timestamp >= due:
            return None
        return errors.NotLater(
            "no checkpoint is due: its log does not contain the last mark, or it is not later than "
            "a handover, or not twelve rounds later than the last checkpoint",
            last=state.mark.timestamp,
        )

    def ordering_key(self, claim: CheckpointClaim) -> str:
        return "@checkpoints"

    def sentence(self, claim: CheckpointClaim) -> str:
        size, root, at = claim.size, to_hex(claim.log_root), utc(claim.timestamp)
        return f"the log had {size} entries and root {root} in the round from {at}"


register(CheckpointKind())
