"""Checks of claims that a node is up or down: cheap ones, and our own probe of the node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from dragon.errors import AttestationRefused
from dragon.log.follower import Follower
from dragon.log.store import Log
from dragon.net.http_client import PRIVATE_ADDRESS
from dragon.probing.lookup_faults import control_names, is_resolver_at_fault
from dragon.probing.probe_result import ProbeResult
from dragon.probing.prober import RESULT_TTL_SECONDS, Prober
from dragon.probing.streaks import needed
from dragon.probing.target_look import is_slow
from dragon.protocol.claims.base import kind_of
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.committee import Committee, Seated
from dragon.protocol.refusal import RefusalReason
from dragon_operator.evaluations import Outcome
from dragon_operator.journal import Journal
from dragon_operator.peer_monitor import WARM_UP_ROUNDS, PeerMonitor

_SEES: Final = {Status.UP: RefusalReason.SEES_UP, Status.DOWN: RefusalReason.SEES_DOWN}


@dataclass(frozen=True, slots=True)
class StatusChecks:
    """Compares a claim with the committee, with our log and with our own probes."""

    seated: Seated
    myself: str
    journal: Journal
    log: Log
    follower: Follower
    prober: Prober
    peers: PeerMonitor
    wall: Callable[[], float]

    @property
    def committee(self) -> Committee:
        """The committee that holds now."""
        return self.seated.committee

    def check_certifiable(self, claim: StatusClaim) -> None:
        """Check that the claim could be certified with our signature. Raises AttestationRefused."""
        if claim.node_id not in self.committee.urls:
            _refuse(RefusalReason.UNKNOWN_NODE, f"the committee lists no node {claim.node_id}")
        if claim.node_id == self.myself and claim.status is Status.DOWN:
            _refuse(RefusalReason.SUBJECT, "an operator does not sign that it is down itself")
        self.check_round(claim.timestamp)

    def check_round(self, timestamp: int) -> None:
        """Check that a round starts at that time. Raises AttestationRefused: `off_round`."""
        if not self.committee.rounds.starts_at(timestamp):
            _refuse(RefusalReason.OFF_ROUND, f"no round starts at {timestamp}")

    def check_time(self, timestamp: int) -> None:
        """Check that the round is current, by a clock that the peers agree with.

        Raises AttestationRefused: `off_round`, `clock`.
        """
        rounds = self.committee.rounds
        if not rounds.in_signing_span(rounds.number(timestamp), self.wall()):
            message = f"the round that starts at {timestamp} cannot be signed at this time"
            _refuse(RefusalReason.OFF_ROUND, message)
        self.check_clock()

    def check_clock(self) -> None:
        """Check that the peers agree with our clock. Raises AttestationRefused: `clock`."""
        if self.peers.clock_is_wrong():
            _refuse(RefusalReason.CLOCK, "our clock is more than 2 s off according to the peers")
        if not self.peers.clock_is_confirmed():
            needed = self.peers.confirmations_needed
            _refuse(RefusalReason.CLOCK, f"our clock is not confirmed by {needed} peers yet")

    def check_change(self, claim: StatusClaim) -> None:
        """Check that the claim changes the node's status. Raises AttestationRefused."""
        last = self.log.state.last(claim.node_id)
        if last is None:
            if claim.status is Status.DOWN and not self.peers.has_warmed_up:
                message = (
                    f"the status of {claim.node_id} is unknown, and this operator has been up for "
                    f"less than {WARM_UP_ROUNDS} rounds"
                )
                _refuse(RefusalReason.BEHIND, message)
            return
        superseded = kind_of(claim).superseded(claim, self.log.state)
        if superseded and not self._is_change_pending(claim, last.timestamp):
            if not self.follower.caught_up and not self.log.alarm():
                _refuse(RefusalReason.BEHIND, "the ledger is not read to its end")
            _refuse(RefusalReason.NO_CHANGE, str(superseded))

    def _is_change_pending(self, claim: StatusClaim, applied: int) -> bool:
        """Whether the newest earlier claim that we signed says otherwise and may still be applied.

        Then the log will have that status before this claim. By log time, and not by a clock: while
        no checkpoint is applied, nothing becomes too old for the log.
        """
        signed = self.journal.newest_before(claim.node_id, claim.timestamp)
        if signed is None or signed.status is claim.status:
            return False
        oldest = self.log.state.log_time - self.committee.rounds.max_age
        return signed.timestamp > applied and signed.timestamp >= oldest

    # Our own probe

    def refusal_by_probe(self, claim: StatusClaim) -> Outcome | None:
        """Probe the node. Return a refusal, or None if we see what the claim says.

        It waits for two probes, and of a node without an address for one more probe of others.

        Raises AttestationRefused: `off_round`.
        """
        if claim.node_id == self.myself:
            return None
        probed = [claim.node_id]
        if claim.status is Status.DOWN:
            probed += [peer for peer in self.peers.ids if peer != claim.node_id]
        results = dict(self.prober.probe(probed))
        result = results[claim.node_id] = self._confirmed(claim, results[claim.node_id])
        if not result.is_evidence:
            return self._no_evidence(result)
        if result.status is not claim.status:
            message = f"our probe found {claim.node_id} {result.status} ({result.reason})"
            return self._observed(_SEES[result.status], message, result)
        if claim.status is Status.DOWN:
            if self.peers.is_blind(results, claim.node_id):
                message = "too few peers answer: this operator may be cut off"
                return self._observed(RefusalReason.BLIND, message, *results.values())
            if refusal := self._lookup_refusal(claim.node_id, results):
                return refusal
        return self._looks_refusal(claim, result)

    def _no_evidence(self, result: ProbeResult) -> Outcome:
        """A refusal if our own look says nothing about the node."""
        message = f"this operator has not seen {result.node_id} for long enough ({result.reason})"
        return self._observed(RefusalReason.TOO_FEW_LOOKS, message, result)

    def _looks_refusal(self, claim: StatusClaim, result: ProbeResult) -> Outcome | None:
        """A refusal if fewer looks in a row support the claim than the committee file wants."""
        if self.prober.supports(claim.node_id, claim.status):
            return None
        looks = self.prober.streaks.looks(claim.node_id, claim.status)
        least = needed(self.committee, claim.node_id, claim.status)
        message = f"{looks} of {least} looks in a row have found {claim.node_id} {claim.status}"
        return self._observed(RefusalReason.TOO_FEW_LOOKS, message, result)

    def _lookup_refusal(self, node_id: str, results: dict[str, ProbeResult]) -> Outcome | None:
        """A refusal if the node has no address because our own name resolution fails."""
        names = control_names(self.committee, node_id, results[node_id])
        results |= self.prober.probe([name for name in names if name not in results])
        if not is_resolver_at_fault(self.committee, node_id, results, self.log.state):
            return None
        reason, what = RefusalReason.DNS, "cannot be resolved here"
        if results[node_id].reason == PRIVATE_ADDRESS:
            reason, what = RefusalReason.PRIVATE_ADDRESS, "has only private addresses here"
        message = (
            f"the name of {node_id} {what}, and nothing shows that the resolver of this operator "
            "works"
        )
        return self._observed(reason, message, *results.values())

    def _confirmed(self, claim: StatusClaim, result: ProbeResult) -> ProbeResult:
        """The result, or that of a new probe if it disagrees with the claim.

        A shared result may be a second old, and the node may have changed since. A node is probed
        again at most as often as an aggregator probes it again.
        """
        rounds = self.committee.rounds
        if result.status is claim.status and self._is_current(claim, result):
            return result
        max_age = min(RESULT_TTL_SECONDS, rounds.reprobe_pause_seconds)
        result = self.prober.probe([claim.node_id], max_age)[claim.node_id]
        if not self._is_current(claim, result):
            _refuse(RefusalReason.OFF_ROUND, "the probe began outside the round's signing span")
        return result

    def _is_current(self, claim: StatusClaim, result: ProbeResult) -> bool:
        """Whether a probe began when its round could be signed.

        A look at a slow target counts in the round after the one in which it began.
        """
        rounds = self.committee.rounds
        number = rounds.number(claim.timestamp)
        if rounds.in_signing_span(number, result.begun_at):
            return True
        slow = is_slow(self.committee, claim.node_id)
        return slow and rounds.in_signing_span(number - 1, result.begun_at)

    def _observed(self, reason: RefusalReason, message: str, *results: ProbeResult) -> Outcome:
        """A refusal that counts as long as an aggregator cannot have probed the node twice."""
        oldest = min(result.begun for result in results)
        until = oldest + self.committee.rounds.reprobe_pause_seconds
        return Outcome(refusal=(reason, message), counts_until=until)


def _refuse(reason: RefusalReason, message: str) -> NoReturn:
    raise AttestationRefused(reason, message)
