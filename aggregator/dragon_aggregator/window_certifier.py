"""Has a complete window voted on, and its verdict certified."""

from __future__ import annotations

from typing import Final

import structlog

from dragon.encoding import to_hex
from dragon.log.store import Log
from dragon.net.runtime import Runtime
from dragon.node.penalties import Penalties
from dragon.node.refutation_limit import RefutationLimit
from dragon.protocol.claims.base import ordering_key
from dragon.protocol.claims.window import MAX_REFUTED, Verdict, WindowClaim
from dragon.protocol.committee import Committee, Seated
from dragon.protocol.streams.finding import Finding
from dragon.protocol.streams.submission import Submission
from dragon_aggregator.certifier import AttestationRound, Certifier
from dragon_aggregator.clock_check import ClockCheck
from dragon_aggregator.outbox import MAX_PENDING_PER_KEY, Outbox
from dragon_aggregator.pending_windows import Window
from dragon_aggregator.vote_collector import NOT_ANSWERED, VoteCollector

RETRY_SECONDS: Final = 1.0  # before a window without a quorum is voted on again

logger = structlog.stdlib.get_logger(__name__)


class WindowCertifier:
    """Proposes the claim that a quorum would sign, and puts its certificate into the outbox."""

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
        finding = self._vote_collector.collect(window.submission, window.votes)
        if finding:
            self._penalties.note(window.submission.stream, valid=finding.is_valid)
        if finding and not finding.is_valid and not self._may_refute(window.submission):
            window.state = "invalid"
            return False
        if finding and self._attest(window, finding):
            return finding.is_valid
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

    def _attest(self, window: Window, finding: Finding) -> bool:
        """Have the claim signed in this round. Return whether a quorum signed it."""
        submission, objects = window.submission, window.submission.objects
        if objects is None:
            return False
        rounds, runtime = self._committee.rounds, self._runtime
        timestamp = rounds.start(rounds.number(runtime.wall()))
        claim = finding.claim(submission.descriptor, submission.header, objects.proof, timestamp)
        result = self._certifier.collect(
            claim, runtime.monotonic() + rounds.collect_deadline_seconds
        )
        _enter_refusals(window, result)
        if result.certificate is None:
            return False
        self._outbox.add(result.certificate, not_before=0.0)
        window.state = "certified" if finding.is_valid else "invalid"
        logger.info(
            "certificate_assembled", claim=claim.to_json(), ordering_key=ordering_key(claim)
        )
        return True


def _enter_refusals(window: Window, attestation_round: AttestationRound) -> None:
    """Show an operator's refusal to sign in place of its vote."""
    for operator, answer in dict(attestation_round.answers).items():  # late ones still arrive
        vote, _ = window.votes.get(operator, NOT_ANSWERED)  # a newcomer may not have voted
        if answer.outcome not in {"signed", vote}:
            window.votes[operator] = answer.outcome, f"its vote before was: {vote}"
