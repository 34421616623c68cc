"""Checks of handovers and acceptances, before this operator signs one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from dragon.errors import AttestationRefused, InvalidCommittee
from dragon.log.follower import Follower
from dragon.log.ledger import ProvingLedger
from dragon.log.store import Log
from dragon.protocol.claims.handover import AcceptanceClaim, HandoverClaim
from dragon.protocol.committee import Committee
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.succession import check_successor
from dragon_operator.approvals import Approvals
from dragon_operator.log_claim_checks import LogClaimChecks
from dragon_operator.seat import Seat
from dragon_operator.status_checks import StatusChecks


@dataclass(frozen=True, slots=True)
class HandoverChecks:
    """Compares a handover with the owner's approval, and with our own log and probes."""

    log: Log
    follower: Follower
    seat: Seat
    approvals: Approvals
    status_checks: StatusChecks
    log_claim_checks: LogClaimChecks
    ledger: ProvingLedger

    def admit(self, claim: HandoverClaim | AcceptanceClaim) -> None:
        """Check all that is cheap, in the specified order. Raises AttestationRefused."""
        # (1) The round is current, not before the seat, by a clock that the peers agree with.
        self.status_checks.check_round(claim.timestamp)
        if claim.timestamp < self.log.state.seat:
            message = "the committee that holds took its seat later"
            _refuse(RefusalReason.OFF_ROUND, message)
        self.status_checks.check_time(claim.timestamp)
        # (2) The log has not stopped, and the ledger is read to its end.
        if self.log.alarm() is not None or not self.follower.caught_up:
            _refuse(RefusalReason.BEHIND, "our log has stopped, or is not at the ledger's end")
        # (3) We are a member of the side that is asked.
        following = self._approved(claim)
        side = self.log.committee if isinstance(claim, HandoverClaim) else following
        if side is not None:
            self.seat.secret(side)
        # (4) The owner has approved exactly this committee, and it may follow.
        following = self.approved(claim)
        self._check_fit(following)
        # (5) What names the next committee on the ledger can be read under its node lists.
        sequencer = following.sequencer
        if not self.ledger.holds_under(sequencer.nodes_sha256, sequencer.threshold_percent):
            message = "the newest finality proof does not hold under the next node lists"
            _refuse(RefusalReason.BEHIND, message)
        # (6) The log has this size and root, and it contains the last mark.
        self.log_claim_checks.admit_handover(claim)

    def approved(self, claim: HandoverClaim | AcceptanceClaim) -> Committee:
        """Return the next committee that a claim names.

        Raises AttestationRefused: `unapproved`, the owner has not approved it, or no more.
        """
        if (found := self._approved(claim)) is None:
            _refuse(RefusalReason.UNAPPROVED, "the owner has not approved this committee")
        return found

    def check(self, claim: HandoverClaim | AcceptanceClaim) -> None:
        """Check the log again, and that our own probes agree with it, and store the file.

        Raises AttestationRefused.
        """
        following = self.approved(claim)  # the owner may have withdrawn it meanwhile
        self.log_claim_checks.admit_handover(claim)
        if self.seat.secret_in(self.log.committee) is not None:
            self.log_claim_checks.check_sights()  # without a seat we have watched nobody
        # Behind our signature anybody may put the handover on the ledger, whatever becomes of the
        # approval, and no log reads on without the file.
        self.log.keep(following)

    def _approved(self, claim: HandoverClaim | AcceptanceClaim) -> Committee | None:
        """Return the next committee if the owner has approved exactly it."""
        approved = self.approvals.current()
        if approved is None or (approved.id, approved.epoch) != (claim.next, claim.epoch):
            return None
        return approved

    def _check_fit(self, following: Committee) -> None:
        state = self.log.state
        try:
            check_successor(state.known, state.sealed, following)
        except InvalidCommittee as error:
            _refuse(RefusalReason.UNAPPROVED, f"the approved committee may not follow: {error}")


def _refuse(reason: RefusalReason, message: str) -> NoReturn:
    raise AttestationRefused(reason, message)
