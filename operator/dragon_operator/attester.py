"""Attesting: an operator signs what it has just checked itself, and says why where it does not."""

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
from dragon_operator.peer_monitor import PeerMonitor
from dragon_operator.window_voter import WindowVoter

AT_ONCE: Final = 48  # attestations under way; more are `busy`
AT_ONCE_EACH: Final = 2  # of them about one node: one that hangs must not hold up the others

_SEES: Final = {Status.UP: RefusalReason.SEES_UP, Status.DOWN: RefusalReason.SEES_DOWN}


class Attester:
    """The one place where this operator's key signs what a quorum may certify."""

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
        vouching: LogClaimChecks,
        voting: WindowVoter,
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
        self._vouching = vouching
        self._voting = voting
        self._wall = wall
        # What this operator checks itself before it signs, by kind of claim.
        self._decisions: Mapping[type[Claim], Callable[[Any], None]] = {
            StatusClaim: self._decide_status,
            CheckpointClaim: self._decide_checkpoint,
            DowntimeClaim: self._decide_downtime,
            WindowClaim: self._decide_window,
        }
        self._slots = ConcurrencyLimiter(AT_ONCE, AT_ONCE_EACH)

    def answer(self, nonce: bytes) -> tuple[StatusAnswer, bytes]:
        """A signed answer for ourselves: whoever can give it is this operator, and up."""
        time_ms = round(1000 * self._wall())
        answer = StatusAnswer(self._myself, Status.UP, time_ms, nonce)
        return answer, self._secret.sign(answer.root(self._committee.id))

    def attest(self, claim: Claim) -> bytes:
        """Our signature on `claim`, if we have checked ourselves that it is true.

        Raises AttestationRefused: the reason is one of the closed list.
        """
        with self._slots.hold(ordering_key(claim)):
            decide = self._decisions.get(type(claim))
            if decide is None:
                _refuse(
                    RefusalReason.MALFORMED, f"this operator signs no claims of kind {claim.KIND}"
                )
            decide(claim)
            return self._secret.sign(claim.root(self._committee.id))

    def _decide_downtime(self, claim: DowntimeClaim) -> None:
        self._vouching.check_downtime(claim)
        self._journal.decide_downtime(claim, int(self._wall()))

    def _decide_checkpoint(self, claim: CheckpointClaim) -> None:
        rounds = self._committee.rounds
        if not rounds.starts_at(claim.timestamp):
            _refuse(RefusalReason.OFF_ROUND, f"no round starts at {claim.timestamp}")
        self._check_time(rounds.number(claim.timestamp))
        self._vouching.check_checkpoint(claim)
        last = self._log.state.checkpoint
        self._journal.decide_checkpoint(claim, last.size if last else 0)

    def _decide_window(self, claim: WindowClaim) -> None:
        """In any round, as often as asked: the verdict is the decision, not the time."""
        rounds = self._committee.rounds
        if not rounds.starts_at(claim.timestamp):
            _refuse(RefusalReason.OFF_ROUND, f"no round starts at {claim.timestamp}")
        self._check_time(rounds.number(claim.timestamp))
        self._journal.decide_window(claim, self._voting.check(claim))

    def _decide_status(self, claim: StatusClaim) -> None:
        """The dear check, our own probe, comes late; the journal last, before any signature."""
        # (1) A claim that could be certified with our signature on it.
        self._check_claim(claim)
        # (2) What was decided before stays decided: signed again, or never otherwise.
        number = self._committee.rounds.number(claim.timestamp)
        decided = self._journal.recall(claim.node_id, number)
        if decided is None:
            # (3) Now, by a clock that the peers agree with.
            self._check_time(number)
            # (4) News, not what the log says anyway.
            self._check_change(claim)
            # (5) Seen by ourselves, and we are not the ones who are cut off.
            self._check_sight(claim, number)
        # (6) On disk before the signature exists. Refuses where (2) found another decision.
        self._journal.decide(claim)

    def _check_claim(self, claim: StatusClaim) -> None:
        if claim.node_id not in self._committee.urls:
            _refuse(RefusalReason.UNKNOWN_NODE, f"the committee lists no node {claim.node_id}")
        if claim.node_id == self._myself and claim.status is Status.DOWN:
            _refuse(RefusalReason.SUBJECT, "nobody signs that it is down itself")
        if not self._committee.rounds.starts_at(claim.timestamp):
            _refuse(RefusalReason.OFF_ROUND, f"no round starts at {claim.timestamp}")

    def _check_time(self, number: int) -> None:
        if not self._committee.rounds.in_signing_span(number, self._wall()):
            _refuse(RefusalReason.OFF_ROUND, "that round is over, or far from beginning")
        if self._peers.clock_is_wrong():
            _refuse(RefusalReason.CLOCK, "the peers' clocks put ours more than 2 s off")

    def _check_change(self, claim: StatusClaim) -> None:
        last = self._log.state.last(claim.node_id)
        if last is None:
            if claim.status is Status.DOWN and not self._peers.settled:
                _refuse(RefusalReason.BEHIND, "an unknown node is down only after six rounds")
            return
        superseded = kind_of(claim).superseded(claim, self._log.state, self._committee)
        if superseded and not self._pending_otherwise(claim, last.timestamp):
            if not self._follower.caught_up and not self._log.alarm():
                _refuse(RefusalReason.BEHIND, "the ledger has not been read to its end")
            _refuse(RefusalReason.NO_CHANGE, str(superseded))

    def _pending_otherwise(self, claim: StatusClaim, applied: int) -> bool:
        """Whether we signed the opposite lately, and the log may yet come to say so."""
        since = max(int(self._wall()) - self._committee.rounds.max_age, applied + 1)
        pending = self._journal.pending(claim.node_id, since)
        return any(signed.status is not claim.status for signed in pending)

    def _check_sight(self, claim: StatusClaim, number: int) -> None:
        if claim.node_id == self._myself:
            return
        asked = [claim.node_id]
        if claim.status is Status.DOWN:
            asked += [peer for peer in self._peers.ids if peer != claim.node_id]
        results = self._prober.probe(asked)
        seen = self._settle(claim, number, results[claim.node_id])
        if seen.status is not claim.status:
            _refuse(_SEES[seen.status], f"{claim.node_id} looks {seen.status} from here")
        if claim.status is Status.DOWN and self._peers.is_blind(results, claim.node_id):
            _refuse(RefusalReason.BLIND, "too few peers answer to tell who is cut off")

    def _settle(self, claim: StatusClaim, number: int, seen: ProbeResult) -> ProbeResult:
        """A shared result that disagrees may be a second old, and the node may have changed since:
        it is looked at again, at most as often as the aggregator itself looks again."""
        rounds = self._committee.rounds
        in_span = rounds.in_signing_span(number, seen.begun_at)
        if seen.status is claim.status and in_span:
            return seen
        fresh = min(RESULT_TTL_SECONDS, rounds.reprobe_pause)
        seen = self._prober.probe([claim.node_id], fresh)[claim.node_id]
        if not rounds.in_signing_span(number, seen.begun_at):
            _refuse(RefusalReason.OFF_ROUND, "the probe began outside the round's signing span")
        return seen


def _refuse(reason: RefusalReason, message: str) -> NoReturn:
    raise AttestationRefused(reason, message)
