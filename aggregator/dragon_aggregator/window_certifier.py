"""Has a complete window voted on, and its verdict certified."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import structlog

from dragon.encoding import to_hex
from dragon.log.store import Log
from dragon.net.runtime import Runtime
from dragon.node.penalties import Penalties
from dragon.node.refutation_limit import RefutationLimit
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.base import ordering_key
from dragon.protocol.claims.window import MAX_REFUTED, Verdict, WindowClaim
from dragon.protocol.committee import Committee, Seated
from dragon.protocol.streams.submission import Submission
from dragon_aggregator.ballot_box import Agreement
from dragon_aggregator.certifier import NO_SIGNATURES, AttestationRound, Certifier
from dragon_aggregator.clock_check import ClockCheck
from dragon_aggregator.outbox import MAX_PENDING_PER_KEY, Outbox
from dragon_aggregator.pending_windows import Window
from dragon_aggregator.vote_collector import NOT_ANSWERED, VoteCollector

RETRY_SECONDS: Final = 1.0  # before a window without a quorum is voted on again
# For signatures that did not come with the votes; the next vote asks for all. An operator that
# votes and then does not answer could otherwise delay a window for half a round.
GATHER_SECONDS: Final = 2.0

logger = structlog.stdlib.get_logger(__name__)


class WindowCertifier:
    """Has windows voted on and signed, and puts the certificates into the outbox."""

    def __init__(
        self,
        seated: Seated,
        *,
        vote_collector: VoteCollector,
        certifier: Certifier,
        outbox: Outbox,
        log: Log,
        clock: ClockCheck,
        penalties: Penalties,
        refutations: RefutationLimit,
        runtime: Runtime,
    ) -> None:
        self._seated = seated
        self._vote_collector = vote_collector
        self._certifier = certifier
        self._outbox = outbox
        self._log = log
        self._clock = clock
        self._penalties = penalties
        self._refutations = refutations
        self._runtime = runtime

    @property
    def _committee(self) -> Committee:
        """The committee that holds now."""
        return self._seated.committee

    def certify(self, window: Window) -> bool:
        """Have a complete window certified, at most once per RETRY_SECONDS.

        Returns whether it is certified as valid, so that the next window can be voted on.
        """
        if self._clock.fault or self._is_lane_full(window):
            window.state = "waiting"  # with a wrong clock for a round, or for the ledger
            return False
        now = self._runtime.monotonic()
        if now < window.tried_at + RETRY_SECONDS:
            return False
        window.tried_at = now
        window.votes = {**self._vote_collector.empty(), **window.votes}  # until the next answers
        agreement = self._vote_collector.collect(
            window.submission, window.votes, self._round_start()
        )
        if agreement is None:
            window.state = "waiting"
            return False
        valid = agreement.finding.is_valid
        self._penalties.note(window.submission.stream, valid=valid)
        if not valid and not self._may_refute(window.submission):
            window.state = "invalid"
            return False
        if self._attest(window, agreement):
            return valid
        window.state = "waiting"
        return False

    def is_decided(self, window: Window) -> bool:
        """Whether a certificate is in the outbox, or the log has refuted this proof.

        Sets the state of a decided window.
        """
        submission, objects = window.submission, window.submission.objects
        for claim in self._outbox.claims(f"@{to_hex(submission.stream)}"):
            if isinstance(claim, WindowClaim) and claim.header == submission.header.hash:
                valid = claim.verdict is Verdict.VALID
                if valid or (objects and claim.proof == objects.proof):
                    window.state = "certified" if valid else "invalid"
                    return True
        if self.is_refuted(submission):
            window.state = "invalid"
            return True
        return False

    def is_refuted(self, submission: Submission) -> bool:
        """Whether the log has refuted this proof."""
        refuted = self._log.state.stream(submission.stream).refuted
        objects = submission.objects
        return objects is not None and (submission.number, objects.proof) in refuted

    def _is_lane_full(self, window: Window) -> bool:
        """Whether as many events on the stream wait as the outbox holds.

        While the ledger stands still, anyone's stream could fill it with invalid proofs else.
        """
        key = f"@{to_hex(window.submission.stream)}"
        return len(self._outbox.claims(key)) >= MAX_PENDING_PER_KEY

    def _may_refute(self, submission: Submission) -> bool:
        """Whether the log applies another refutation of the stream, and it may be certified."""
        refuted, objects = self._log.state.stream(submission.stream).refuted, submission.objects
        if objects is None or len(refuted) >= MAX_REFUTED:
            return False
        return self._refutations.admits(submission.stream, submission.number, objects.proof)

    def _round_start(self) -> int:
        """The start of the current round, Unix seconds."""
        rounds = self._committee.rounds
        return rounds.start(rounds.number(self._runtime.wall()))

    def _attest(self, window: Window, agreement: Agreement) -> bool:
        """Put the certificate into the outbox. Return whether a quorum has signed the claim."""
        certified = agreement.certificate
        if certified is None:
            certified = self._gather(window, agreement)
        else:
            self._certifier.certified(certified)
        if certified is None:
            return False
        claim = certified.claim
        self._outbox.add(certified, not_before=0.0)
        window.state = "certified" if agreement.finding.is_valid else "invalid"
        logger.info(
            "certificate_assembled", claim=claim.to_json(), ordering_key=ordering_key(claim)
        )
        return True

    def _gather(self, window: Window, agreement: Agreement) -> Certificate | None:
        """Request the signatures that did not come with the votes.

        On the claim of the vote, or on that of the current round if another one has begun since.
        """
        claim, signed, now = agreement.claim, agreement.signatures, self._round_start()
        if claim.timestamp != now:
            claim, signed = replace(claim, timestamp=now), NO_SIGNATURES
        most = min(GATHER_SECONDS, self._committee.rounds.collect_deadline_seconds)
        ends = self._runtime.monotonic() + most
        result = self._certifier.collect(claim, ends, signed=signed)
        _enter_refusals(window, result)
        return result.certificate


def _enter_refusals(window: Window, attestation_round: AttestationRound) -> None:
    """Show an operator's refusal to sign in place of its vote."""
    for operator, answer in dict(attestation_round.answers).items():  # late ones still arrive
        vote, _ = window.votes.get(operator, NOT_ANSWERED)  # a newcomer may not have voted
        if answer.outcome not in {"signed", vote}:
            window.votes[operator] = answer.outcome, f"its vote before was: {vote}"
