"""LogClaimChecks for the log: when an operator signs a checkpoint, or the totals of a past interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from dragon.errors import AttestationRefused, NotSettled
from dragon.log.downtime import settled_claim
from dragon.log.store import Log
from dragon.protocol.claims.base import kind_of
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee
from dragon.protocol.refusal import RefusalReason
from dragon_operator.peer_monitor import PeerMonitor

CONTRADICTED_ROUNDS: Final = 6  # how long our eyes may contradict our log


@dataclass(frozen=True, slots=True)
class LogClaimChecks:
    """Checks of claims about the log against the own log, and of the log against the own eyes."""

    committee: Committee
    log: Log
    peers: PeerMonitor
    wall: Callable[[], float]

    def check_checkpoint(self, claim: CheckpointClaim) -> None:
        """Raises AttestationRefused unless our log is the one that is claimed, and is believed."""
        self._check_not_stopped()
        state = self.log.state
        if superseded := kind_of(claim).superseded(claim, state, self.committee):
            _refuse(RefusalReason.NO_CHANGE, str(superseded))
        if claim.size > state.size:
            _refuse(RefusalReason.BEHIND, f"our log has {state.size} entries as yet")
        if self.log.checkpoint(claim.size).root != claim.log_root:
            _refuse(RefusalReason.MALFORMED, "our log has another root at that size")
        self._check_sights()

    def check_downtime(self, claim: DowntimeClaim) -> None:
        """Raises AttestationRefused unless we come to exactly the same."""
        self._check_not_stopped()
        if claim.node_id not in self.committee.urls:
            _refuse(RefusalReason.UNKNOWN_NODE, f"the committee lists no node {claim.node_id}")
        try:
            interval = (claim.begin, claim.end)
            own = settled_claim(self.log, self.committee, claim.node_id, interval, self.wall())
        except NotSettled as error:
            _refuse(RefusalReason.BEHIND, str(error))
        if own.size != claim.size:
            _refuse(RefusalReason.MALFORMED, f"that time is settled at {own.size} entries")
        if own != claim:
            _refuse(RefusalReason.MALFORMED, "our log says otherwise about that time")

    def _check_not_stopped(self) -> None:
        if alarm := self.log.alarm():
            _refuse(RefusalReason.BEHIND, f"our log has stopped: {alarm.reason}")

    def _check_sights(self) -> None:
        """A log that our own eyes have contradicted for long is not to be vouched for."""
        if seen := self.peers.contradiction(self.log.state, CONTRADICTED_ROUNDS):
            node_id, status = seen
            down = status is Status.DOWN
            reason = RefusalReason.SEES_DOWN if down else RefusalReason.SEES_UP
            _refuse(reason, f"{node_id} has looked {status} for long, and the log says otherwise")


def _refuse(reason: RefusalReason, message: str) -> NoReturn:
    raise AttestationRefused(reason, message)
