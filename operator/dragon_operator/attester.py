"""Attesting: an operator signs a claim only after it has verified the claim itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dragon.encoding import Json, to_hex
from dragon.errors import AttestationRefused
from dragon.log.follower import Follower
from dragon.log.store import Log
from dragon.net.runtime import Runtime
from dragon.protocol.claims.base import Claim
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.handover import AcceptanceClaim, HandoverClaim
from dragon.protocol.claims.period import PeriodClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.committee import Committee, Seated
from dragon.protocol.messages import StatusAnswer
from dragon.protocol.refusal import RefusalReason
from dragon_operator import evaluations
from dragon_operator.evaluations import Capacity, Evaluations, Outcome
from dragon_operator.handover_checks import HandoverChecks
from dragon_operator.journal import Journal
from dragon_operator.journal_gaps import JournalGaps
from dragon_operator.key_check import KeyCheck
from dragon_operator.log_claim_checks import LogClaimChecks
from dragon_operator.seat import Seat
from dragon_operator.status_checks import StatusChecks
from dragon_operator.window_voter import WindowVoter

# A round is signed up to 2 s before its start, by a clock that may be 2 s ahead.
NORMAL_LEAD_SECONDS: Final = 4
GAP: Final = (
    "the log has a signature of this operator that the journal lacks. Either an old copy of the "
    "journal was put back, or another service signs with this key and must be stopped"
)


@dataclass(frozen=True, slots=True)
class Attestation:
    """A signature, and the committee that it is for."""

    committee_id: bytes
    signature: bytes = field(repr=False)  # 96 bytes

    def members(self) -> dict[str, Json]:
        """Return the members that state it in an answer."""
        return {"committee": to_hex(self.committee_id), "signature": to_hex(self.signature)}


@dataclass(frozen=True, slots=True)
class _Kind:
    """How claims of one kind are decided."""

    # Cheap checks, before the claim takes any place. Raises AttestationRefused.
    admit: Callable[[Any], None]
    # All other checks, which end with what the journal needs. Returns None if it may be signed.
    decide: Callable[[Any], Outcome | None]
    evaluations: Evaluations


class Attester:
    """The only place where this operator's key signs what a quorum may certify."""

    def __init__(
        self,
        seated: Seated,
        seat: Seat,
        *,
        journal: Journal,
        log: Log,
        follower: Follower,
        status_checks: StatusChecks,
        log_claim_checks: LogClaimChecks,
        handover_checks: HandoverChecks,
        window_voter: WindowVoter,
        key_check: KeyCheck,
        gaps: JournalGaps,
        runtime: Runtime,
        on_signed: Callable[[StatusClaim], None] = lambda _: None,
    ) -> None:
        """Create an attester.

        Args: `on_signed`, called with each status claim once its first signature exists, whether or
        not the requester still waits for it.
        """
        self._on_signed = on_signed
        self._seated = seated
        self._seat = seat
        self._key_check = key_check
        self._gaps = gaps
        self._journal = journal
        self._log = log
        self._follower = follower
        self._status_checks = status_checks
        self._log_claim_checks = log_claim_checks
        self._handover_checks = handover_checks
        self._window_voter = window_voter
        self._runtime = runtime
        self._journal_since = journal.since()
        self._kinds = self._kinds_of_claims()

    def _kinds_of_claims(self) -> Mapping[type[Claim], _Kind]:
        """Return how each kind of claim is admitted, decided and limited."""
        return {
            StatusClaim: _Kind(
                self._admit_status,
                self._decide_status,
                self._evaluations(lambda: evaluations.status_capacity(self._committee)),
            ),
            CheckpointClaim: _Kind(
                self._admit_checkpoint,
                self._decide_checkpoint,
                self._evaluations(lambda: evaluations.CHECKPOINT_CAPACITY),
            ),
            HandoverClaim: _Kind(
                self._handover_checks.admit,
                self._decide_handover,
                self._evaluations(lambda: evaluations.HANDOVER_CAPACITY),
            ),
            AcceptanceClaim: _Kind(
                self._handover_checks.admit,
                self._decide_handover,
                self._evaluations(lambda: evaluations.HANDOVER_CAPACITY),
            ),
            DowntimeClaim: _Kind(
                self._admit_downtime,
                self._decide_downtime,
                self._evaluations(lambda: evaluations.DOWNTIME_CAPACITY),
            ),
            PeriodClaim: _Kind(
                self._admit_period,
                self._decide_period,
                self._evaluations(lambda: evaluations.PERIOD_CAPACITY),
            ),
            WindowClaim: _Kind(
                self._admit_window,
                self._decide_window,
                self._evaluations(lambda: evaluations.WINDOW_CAPACITY),
            ),
        }

    @property
    def _committee(self) -> Committee:
        """The committee that holds now."""
        return self._seated.committee

    def _evaluations(self, capacity: Callable[[], Capacity]) -> Evaluations:
        return Evaluations(
            capacity, lambda: self._committee.rounds.collect_deadline_seconds, self._runtime
        )

    def answer(self, nonce: bytes) -> tuple[StatusAnswer, bytes]:
        """Return a status answer to `nonce` and its signature, which prove that we are up."""
        committee = self._committee
        time_ms = round(1000 * self._runtime.wall())
        answer = StatusAnswer(self._seat.operator, Status.UP, time_ms, nonce)
        # Without a seat too: the next committee's members probe us before we take it.
        secret = self._seat.secret_in(committee) or self._seat.secrets[0]
        signature = secret.sign(answer.root(committee.network_id))
        self._key_check.note_answer(nonce, signature)
        return answer, signature

    def attest(self, claim: Claim, *, is_member: bool = False) -> Attestation:
        """Verify a claim and return our signature on it.

        `is_member`: whether the requester may use the capacity of members.

        Raises AttestationRefused: `reason` is from the closed list.
        """
        kind = self._kinds.get(type(claim))
        if kind is None:
            message = f"this operator signs no claims of kind {claim.KIND}"
            raise AttestationRefused(RefusalReason.MALFORMED, message)
        if why := self.why_abstain():
            message = f"the journal of this operator is {why}"
            raise AttestationRefused(RefusalReason.BEHIND, message)
        if not isinstance(claim, HandoverClaim | AcceptanceClaim):
            self._seat.secret(self._committee)  # of those, `admit` looks for the seat
        if isinstance(claim, StatusClaim) and self._is_decided(claim):
            self._check_key()
            return self._decide_again(claim)
        kind.admit(claim)
        self._check_key()
        committee = self._signed_for(claim)

        def evaluate() -> Outcome:
            if (refused := kind.decide(claim)) is not None:
                return refused
            signature = self._sign(claim, committee)
            if isinstance(claim, StatusClaim):
                self._on_signed(claim)
            return Outcome(signature=signature)

        root = claim.root(committee.id)
        signature = kind.evaluations.signature(root, evaluate, is_member=is_member)
        return Attestation(committee.id, signature)

    def _check_key(self) -> None:
        """Refuse while another service may sign with this operator's key."""
        if why := self._key_check.why_wait():
            message = f"the key of this operator is {why}"
            raise AttestationRefused(RefusalReason.BEHIND, message)

    def _signed_for(self, claim: Claim) -> Committee:
        """Return the committee that a claim is signed for now.

        An acceptance is signed for the next committee, everything else for the one that holds.
        Raises AttestationRefused: `unapproved`.
        """
        if isinstance(claim, AcceptanceClaim):
            return self._handover_checks.approved(claim)
        return self._committee

    def _sign(self, claim: Claim, committee: Committee) -> bytes:
        """Sign a claim that was decided for a committee, unless the log has left that one since.

        Raises AttestationRefused: `unseated`, `unapproved`; `behind`, it has to be asked again.
        """
        if self._signed_for(claim).id != committee.id:
            message = "a handover was applied meanwhile; ask again"
            raise AttestationRefused(RefusalReason.BEHIND, message)
        return self._seat.secret(committee).sign(claim.root(committee.id))

    def why_abstain(self) -> str:
        """Return why the journal prevents all signatures now; empty if it does not.

        An operator that lost its journal may have signed claims that the new one does not contain.
        After `max_age` the log applies none of these any more, and the operator cannot contradict
        them. Whether a new journal replaces a lost one is known only when the ledger was read to
        its end: the log may be lost as well.
        """
        if (left := self._gaps.seconds_left()) > 0:
            return f"incomplete: {GAP}; {_wait(left)}"
        left = self._journal_since + self._committee.rounds.max_age - self._runtime.wall()
        if left <= 0:
            return ""
        if self._has_earlier_event():
            return f"new, although the committee has known this operator before; {_wait(left)}"
        if not self._follower.has_read_all:
            return f"new, and the ledger is not read to its end yet; {_wait(left)} or until it is"
        return ""

    def _has_earlier_event(self) -> bool:
        """Whether the log has an event about this operator from before the journal was created."""
        first = next(iter(self._log.state.nodes.get(self._seat.operator, ())), None)
        # A claim that was signed with this journal can be as old as its signing span.
        rounds = self._committee.rounds
        oldest = rounds.number(self._journal_since) - rounds.most_in_signing_span
        return first is not None and first.timestamp < rounds.start(oldest)

    def seconds_ahead(self) -> int:
        """Seconds until the newest signed round begins; 0 if that is normal.

        The present can be signed nevertheless. Only in the rounds that are signed already, this
        operator repeats its decisions and signs no others.
        """
        newest = self._journal.newest_timestamp()
        ahead = 0 if newest is None else newest - int(self._runtime.wall())
        return ahead if ahead > NORMAL_LEAD_SECONDS else 0

    def log_fault(self) -> str:
        """Return why claims about the log are not signed with this log; empty if they are."""
        return self._journal.log_fault(self._root_at)

    def _root_at(self, size: int) -> bytes | None:
        return self._log.head(size).root if size <= self._log.state.size else None

    # Status: the probe is expensive, and the journal comes before a signature.

    def _is_decided(self, claim: StatusClaim) -> bool:
        """Whether a decision of the claim's round is stored. Raises AttestationRefused."""
        self._status_checks.check_certifiable(claim)
        return self._journal.recall(claim.node_id, claim.timestamp) is not None

    def _decide_again(self, claim: StatusClaim) -> Attestation:
        """Repeat the decision of a round without new checks. It takes no place and no probe.

        Raises AttestationRefused: `equivocation` if the decision was the opposite.
        """
        committee = self._committee
        self._journal.decide(claim, self._log.state.log_time)
        return Attestation(committee.id, self._sign(claim, committee))

    def _admit_status(self, claim: StatusClaim) -> None:
        # (1) The round is current according to a clock that the peers agree with.
        self._status_checks.check_time(claim.timestamp)
        # (2) The claim changes the node's status in the log.
        self._status_checks.check_change(claim)

    def _decide_status(self, claim: StatusClaim) -> Outcome | None:
        # (3) Our own probe agrees, we are not cut off, and our resolver works.
        if (refused := self._status_checks.refusal_by_probe(claim)) is not None:
            return refused
        # (4) On disk before the signature exists. Refuses if the opposite was decided meanwhile.
        self._journal.decide(claim, self._log.state.log_time)
        return None

    # Claims about the log: the journal refuses a log that does not extend the one signed for
    # before. It is told after the checks: the log is at least as long as the one that they saw.

    def _admit_checkpoint(self, claim: CheckpointClaim) -> None:
        self._status_checks.check_round(claim.timestamp)
        self._status_checks.check_time(claim.timestamp)
        self._log_claim_checks.admit_checkpoint(claim)

    def _decide_checkpoint(self, claim: CheckpointClaim) -> None:
        self._log_claim_checks.check_checkpoint(claim)
        self._journal.decide_log_claim(claim, self._log.state.size, self._root_at)

    def _decide_handover(self, claim: HandoverClaim | AcceptanceClaim) -> None:
        self._check_lost_handovers()
        self._handover_checks.check(claim)
        self._journal.use_log(self._log.state.size, self._root_at)
        self._journal.decide_handover(claim, self._committee, self._log.state.log_time)

    def _check_lost_handovers(self) -> None:
        """Refuse while a handover can be applied that the journal may have lost.

        Raises AttestationRefused: `equivocation`.
        """
        lost = self._gaps.noticed_at
        if self._has_earlier_event():
            lost = max(lost, self._journal_since)
        left = lost + NORMAL_LEAD_SECONDS - self._log.state.log_time
        if lost and left > 0:
            message = f"the journal may lack a signed handover; log time has to pass {left} s"
            raise AttestationRefused(RefusalReason.EQUIVOCATION, message)

    def _admit_downtime(self, claim: DowntimeClaim) -> None:
        self._status_checks.check_clock()  # with a clock ahead, the future would seem settled
        self._log_claim_checks.admit_downtime(claim)

    def _decide_downtime(self, claim: DowntimeClaim) -> None:
        self._log_claim_checks.check_downtime(claim)
        self._journal.decide_log_claim(claim, self._log.state.size, self._root_at)

    def _admit_period(self, claim: PeriodClaim) -> None:
        self._status_checks.check_clock()  # as for downtime
        self._log_claim_checks.admit_period(claim)

    def _decide_period(self, claim: PeriodClaim) -> None:
        if not self._journal.is_signed(claim):
            self._log_claim_checks.check_period(claim)
        self._journal.decide_log_claim(claim, self._log.state.size, self._root_at)
        self._journal.decide_period(claim, self._log.state.log_time)

    # Windows: signed in any round and as often as requested. Only the verdict is a decision.

    def _admit_window(self, claim: WindowClaim) -> None:
        self._status_checks.check_round(claim.timestamp)
        self._status_checks.check_time(claim.timestamp)
        self._window_voter.check_claim(claim)

    def _decide_window(self, claim: WindowClaim) -> None:
        windows = self._window_voter.check_claim(claim)
        self._window_voter.check_refutation(claim)
        self._journal.decide_window(claim, windows, self._log.state.size, self._root_at)


def _wait(seconds: float) -> str:
    return f"it signs nothing for {seconds:.0f} s"
