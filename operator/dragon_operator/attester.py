"""Attesting: an operator signs a claim only after it has verified the claim itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from dragon.errors import AttestationRefused
from dragon.log.follower import Follower
from dragon.log.store import Log
from dragon.probing.prober import RESULT_TTL_SECONDS, Prober, ProbeResult
from dragon.protocol import bls
from dragon.protocol.claims.base import Claim, kind_of, ordering_key
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.messages import StatusAnswer
from dragon.protocol.refusal import RefusalReason
from dragon_operator.concurrency_limiter import ConcurrencyLimiter
from dragon_operator.journal import Journal
from dragon_operator.log_claim_checks import LogClaimChecks
from dragon_operator.peer_monitor import WARM_UP_ROUNDS, PeerMonitor
from dragon_operator.window_voter import WindowVoter

MAX_CONCURRENT_ATTESTATIONS: Final = 48  # beyond, claims are `busy`
MAX_CONCURRENT_PER_SUBJECT: Final = 2  # so that a node that hangs does not block other claims
# A round is signed up to 2 s before its start, by a clock that may be 2 s ahead.
NORMAL_LEAD_SECONDS: Final = 4

_SEES: Final = {Status.UP: RefusalReason.SEES_UP, Status.DOWN: RefusalReason.SEES_DOWN}


class Attester:
    """The only place where this operator's key signs what a quorum may certify."""

    def __init__(
        self,
        committee: Committee,
        myself: str,
        secret: bls.SecretKey,
        *,
        journal: Journal,
        log: Log,
        follower: Follower,
        prober: Prober,
        peers: PeerMonitor,
        log_claim_checks: LogClaimChecks,
        window_voter: WindowVoter,
        wall: Callable[[], float],
    ) -> None:
        self._committee = committee
        self._myself = myself
        self._secret = secret
        self._journal = journal
        self._log = log
        self._follower = follower
        self._prober = prober
        self._peers = peers
        self._log_claim_checks = log_claim_checks
        self._window_voter = window_voter
        self._wall = wall
        # The checks before a signature, by kind of claim. Each ends with an entry in the journal.
        self._decisions: Mapping[type[Claim], Callable[[Any], None]] = {
            StatusClaim: self._decide_status,
            CheckpointClaim: self._decide_checkpoint,
            DowntimeClaim: self._decide_downtime,
            WindowClaim: self._decide_window,
        }
        self._concurrency_limiter = ConcurrencyLimiter(
            MAX_CONCURRENT_ATTESTATIONS, MAX_CONCURRENT_PER_SUBJECT
        )

    def answer(self, nonce: bytes) -> tuple[StatusAnswer, bytes]:
        """Return a status answer to `nonce` and its signature, which prove that we are up."""
        time_ms = round(1000 * self._wall())
        answer = StatusAnswer(self._myself, Status.UP, time_ms, nonce)
        return answer, self._secret.sign(answer.root(self._committee.id))

    def attest(self, claim: Claim) -> bytes:
        """Verify a claim and return our signature on it.

        Raises AttestationRefused: `reason` is from the closed list.
        """
        with self._concurrency_limiter.hold(ordering_key(claim)):
            decide = self._decisions.get(type(claim))
            if decide is None:
                message = f"this operator signs no claims of kind {claim.KIND}"
                _refuse(RefusalReason.MALFORMED, message)
            decide(claim)
            return self._secret.sign(claim.root(self._committee.id))

    def seconds_ahead(self) -> int:
        """Seconds until the newest signed round begins; 0 if that is normal.

        The present can be signed nevertheless. Only in the rounds that are signed already, this
        operator repeats its decisions and signs no others.
        """
        newest = self._journal.newest_timestamp()
        ahead = 0 if newest is None else newest - int(self._wall())
        return ahead if ahead > NORMAL_LEAD_SECONDS else 0

    def log_fault(self) -> str:
        """Return why claims about the log are not signed with this log; empty if they are."""
        return self._journal.log_fault(self._root_at)

    def _use_log(self) -> None:
        """Refuse a log that does not extend the one signed for before.

        Called after the checks, so that it is at least as long as the log that they saw.
        """
        self._journal.use_log(self._log.state.size, self._root_at)

    def _root_at(self, size: int) -> bytes | None:
        return self._log.head(size).root if size <= self._log.state.size else None

    def _decide_downtime(self, claim: DowntimeClaim) -> None:
        self._check_clock()  # with a clock ahead, totals of the future would seem settled
        self._log_claim_checks.check_downtime(claim)
        self._use_log()
        self._journal.decide_downtime(claim, self._log.state.log_time(self._committee))

    def _decide_checkpoint(self, claim: CheckpointClaim) -> None:
        self._check_round(claim.timestamp)
        self._check_time(claim.timestamp)
        self._log_claim_checks.check_checkpoint(claim)
        last = self._log.state.checkpoint
        self._use_log()
        self._journal.decide_checkpoint(claim, last.size if last else 0)

    def _decide_window(self, claim: WindowClaim) -> None:
        """Sign in any round and as often as requested: only the verdict is a decision."""
        self._check_round(claim.timestamp)
        self._check_time(claim.timestamp)
        windows = self._window_voter.check_claim(claim)
        self._use_log()
        self._journal.decide_window(claim, windows)

    def _decide_status(self, claim: StatusClaim) -> None:
        """Check in this order: the probe is expensive, and the journal comes before a signature."""
        # (1) The claim could be certified with our signature.
        self._check_certifiable(claim)
        # (2) A decision of this round is repeated without new checks.
        number = self._committee.rounds.number(claim.timestamp)
        decided = self._journal.recall(claim.node_id, number)
        if decided is None:
            # (3) The round is current according to a clock that the peers agree with.
            self._check_time(claim.timestamp)
            # (4) The claim changes the node's status in the log.
            self._check_change(claim)
            # (5) Our own probe agrees, and we are not cut off ourselves.
            self._check_probe(claim, number)
        # (6) On disk before the signature exists. Refuses if (2) found the opposite decision.
        self._journal.decide(claim, self._log.state.log_time(self._committee))

    def _check_certifiable(self, claim: StatusClaim) -> None:
        if claim.node_id not in self._committee.urls:
            _refuse(RefusalReason.UNKNOWN_NODE, f"the committee lists no node {claim.node_id}")
        if claim.node_id == self._myself and claim.status is Status.DOWN:
            _refuse(RefusalReason.SUBJECT, "an operator does not sign that it is down itself")
        self._check_round(claim.timestamp)

    def _check_round(self, timestamp: int) -> None:
        if not self._committee.rounds.starts_at(timestamp):
            _refuse(RefusalReason.OFF_ROUND, f"no round starts at {timestamp}")

    def _check_time(self, timestamp: int) -> None:
        rounds = self._committee.rounds
        if not rounds.in_signing_span(rounds.number(timestamp), self._wall()):
            message = f"the round that starts at {timestamp} cannot be signed at this time"
            _refuse(RefusalReason.OFF_ROUND, message)
        self._check_clock()

    def _check_clock(self) -> None:
        if self._peers.clock_is_wrong():
            _refuse(RefusalReason.CLOCK, "our clock is more than 2 s off according to the peers")
        if not self._peers.clock_is_confirmed():
            needed = self._peers.confirmations_needed
            _refuse(RefusalReason.CLOCK, f"our clock is not confirmed by {needed} peers yet")

    def _check_change(self, claim: StatusClaim) -> None:
        last = self._log.state.last(claim.node_id)
        if last is None:
            if claim.status is Status.DOWN and not self._peers.has_warmed_up:
                message = (
                    f"the status of {claim.node_id} is unknown, and this operator has been up for "
                    f"less than {WARM_UP_ROUNDS} rounds"
                )
                _refuse(RefusalReason.BEHIND, message)
            return
        superseded = kind_of(claim).superseded(claim, self._log.state, self._committee)
        if superseded and not self._is_change_pending(claim, last.timestamp):
            if not self._follower.caught_up and not self._log.alarm():
                _refuse(RefusalReason.BEHIND, "the ledger is not read to its end")
            _refuse(RefusalReason.NO_CHANGE, str(superseded))

    def _is_change_pending(self, claim: StatusClaim, applied: int) -> bool:
        """Whether the newest earlier claim that we signed says otherwise and may still be applied.

        Then the log will have that status before this claim. By log time, and not by a clock: while
        no checkpoint is applied, nothing becomes too old for the log.
        """
        signed = self._journal.newest_before(claim.node_id, claim.timestamp)
        if signed is None or signed.status is claim.status:
            return False
        oldest = self._log.state.log_time(self._committee) - self._committee.rounds.max_age
        return signed.timestamp > applied and signed.timestamp >= oldest

    def _check_probe(self, claim: StatusClaim, number: int) -> None:
        if claim.node_id == self._myself:
            return
        probed = [claim.node_id]
        if claim.status is Status.DOWN:
            probed += [peer for peer in self._peers.ids if peer != claim.node_id]
        results = self._prober.probe(probed)
        result = self._confirmed(claim, number, results[claim.node_id])
        if result.status is not claim.status:
            message = f"our probe found {claim.node_id} {result.status} ({result.reason})"
            _refuse(_SEES[result.status], message)
        if claim.status is Status.DOWN and self._peers.is_blind(results, claim.node_id):
            _refuse(RefusalReason.BLIND, "too few peers answer: this operator may be cut off")

    def _confirmed(self, claim: StatusClaim, number: int, result: ProbeResult) -> ProbeResult:
        """The result, or that of a new probe if it disagrees with the claim.

        A shared result may be a second old, and the node may have changed since. A node is probed
        again at most as often as an aggregator probes it again.
        """
        rounds = self._committee.rounds
        in_span = rounds.in_signing_span(number, result.begun_at)
        if result.status is claim.status and in_span:
            return result
        max_age = min(RESULT_TTL_SECONDS, rounds.reprobe_pause_seconds)
        result = self._prober.probe([claim.node_id], max_age)[claim.node_id]
        if not rounds.in_signing_span(number, result.begun_at):
            _refuse(RefusalReason.OFF_ROUND, "the probe began outside the round's signing span")
        return result


def _refuse(reason: RefusalReason, message: str) -> NoReturn:
    raise AttestationRefused(reason, message)
