"""Checks of claims about the log: checkpoints, downtime, and reports on periods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from dragon.errors import AttestationRefused, NotSettled, UnknownNode, UnsuitablePeriod
from dragon.log.downtime import claim_at, settled_size
from dragon.log.period import nodes_of, report_at
from dragon.log.store import Log
from dragon.protocol.claims.base import kind_of
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.handover import AcceptanceClaim, HandoverClaim
from dragon.protocol.claims.period import PeriodClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.refusal import RefusalReason
from dragon_operator.peer_monitor import PeerMonitor

CONTRADICTED_ROUNDS: Final = 6  # how long our probes may contradict our log


@dataclass(frozen=True, slots=True)
class LogClaimChecks:
    """Compares claims with our own log, and our own log with our own probes."""

    log: Log
    peers: PeerMonitor
    wall: Callable[[], float]

    def admit_checkpoint(self, claim: CheckpointClaim) -> None:
        """Raise AttestationRefused unless our log has the claimed root and it is due. Cheap."""
        self._check_not_stopped()
        state = self.log.state
        if superseded := kind_of(claim).superseded(claim, state):
            _refuse(RefusalReason.NO_CHANGE, str(superseded))
        self._check_root(claim)

    def check_checkpoint(self, claim: CheckpointClaim) -> None:
        """Raise AttestationRefused unless our log has the claimed root and our probes agree."""
        self._check_not_stopped()
        self._check_root(claim)
        self.check_sights()

    def admit_handover(self, claim: HandoverClaim | AcceptanceClaim) -> None:
        """Raise AttestationRefused unless our log has the claimed root and the last mark. Cheap.

        Unlike a checkpoint, a handover need not wait twelve rounds.
        """
        self._check_not_stopped()
        state = self.log.state
        last = state.mark
        if (last and claim.size <= last.position) or claim.timestamp <= state.log_time:
            _refuse(RefusalReason.NO_CHANGE, "the handover does not contain the last mark")
        self._check_root(claim)

    def admit_downtime(self, claim: DowntimeClaim) -> None:
        """Raise AttestationRefused unless the claim is about the log that settles its end. Cheap.

        The totals are not computed.
        """
        self._check_not_stopped()
        try:
            self.log.state.check_node(claim.node_id)
        except UnknownNode as error:
            _refuse(RefusalReason.UNKNOWN_NODE, str(error))
        self._check_settled(claim)

    def check_downtime(self, claim: DowntimeClaim) -> None:
        """Raise AttestationRefused unless our log gives exactly the claimed totals."""
        self._check_not_stopped()
        interval = (claim.begin, claim.end)
        ours = claim_at(self.log, claim.node_id, interval, size=claim.size)
        if ours != claim:
            _refuse(RefusalReason.MALFORMED, "our log gives other totals for that interval")

    def admit_period(self, claim: PeriodClaim) -> None:
        """Raise AttestationRefused unless the claim is about the log that settles its end. Cheap.

        The report is not computed, but its nodes are counted.
        """
        self._check_not_stopped()
        self._check_settled(claim)
        try:
            nodes = nodes_of(self.log, (claim.begin, claim.end), claim.size)
        except UnsuitablePeriod as error:
            _refuse(RefusalReason.MALFORMED, str(error))
        if len(nodes) != claim.nodes:
            message = f"that period has {len(nodes)} nodes, not {claim.nodes}"
            _refuse(RefusalReason.MALFORMED, message)

    def check_period(self, claim: PeriodClaim) -> None:
        """Raise AttestationRefused unless our log gives exactly the claimed report."""
        self._check_not_stopped()
        ours, _ = report_at(self.log, (claim.begin, claim.end), size=claim.size)
        if ours != claim:
            _refuse(RefusalReason.MALFORMED, "our log gives another report on that period")

    def _check_settled(self, claim: DowntimeClaim | PeriodClaim) -> None:
        """Check that the claim is about the log that settles the end of its interval."""
        try:
            size = settled_size(self.log, claim.end, self.wall())
        except NotSettled as error:
            _refuse(RefusalReason.BEHIND, str(error))
        if size != claim.size:
            _refuse(
                RefusalReason.MALFORMED,
                f"that interval is settled at {size} entries, not {claim.size}",
            )
        self._check_root(claim)

    def _check_root(
        self, claim: CheckpointClaim | DowntimeClaim | PeriodClaim | HandoverClaim | AcceptanceClaim
    ) -> None:
        if claim.size > (size := self.log.state.size):
            _refuse(RefusalReason.BEHIND, f"our log has only {size} entries, not {claim.size}")
        if self.log.head(claim.size).root != claim.log_root:
            _refuse(RefusalReason.MALFORMED, f"our log has another root at size {claim.size}")

    def _check_not_stopped(self) -> None:
        if alarm := self.log.alarm():
            _refuse(RefusalReason.BEHIND, f"our log has stopped: {alarm.reason}")

    def check_sights(self) -> None:
        """Refuse to certify a log that our own probes have contradicted for several rounds.

        Raises AttestationRefused.
        """
        seen = self.peers.contradictions(self.log.state, CONTRADICTED_ROUNDS)
        for node_id, status in seen.items():
            down = status is Status.DOWN
            reason = RefusalReason.SEES_DOWN if down else RefusalReason.SEES_UP
            message = (
                f"our probes have found {node_id} {status} for over {CONTRADICTED_ROUNDS} rounds, "
                "unlike our log"
            )
            _refuse(reason, message)


def _refuse(reason: RefusalReason, message: str) -> NoReturn:
    raise AttestationRefused(reason, message)
