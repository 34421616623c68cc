"""Reports peers whose status in the log is wrong, without a request from outside.

An aggregator proposes the changes that it sees itself. If it sees a peer differently from the
operators, for example because only its own connection to the peer is broken, it would never propose
that peer's change, and the operators would refuse all checkpoints of a log that their probes
contradict. So an operator reports such a peer before.
"""

from __future__ import annotations

import threading
from typing import Final

import structlog

from dragon.errors import AttestationRefused, PeerError
from dragon.log.store import Log
from dragon.protocol.committee import Committee, Seated
from dragon_operator.peer_monitor import PeerMonitor
from dragon_operator.reporter import Report, Reporter

# Rounds in which the aggregators can propose the change themselves; well below
# `log_claim_checks.CONTRADICTED_ROUNDS`, after which no checkpoint is signed.
REPORT_AFTER_ROUNDS: Final = 2

logger = structlog.stdlib.get_logger(__name__)


class PeerReports:
    """Reports contradictions between the log and this operator's probes of its peers."""

    def __init__(self, seated: Seated, log: Log, peers: PeerMonitor, reporter: Reporter) -> None:
        self._seated = seated
        self._log = log
        self._peers = peers
        self._reporter = reporter

    @property
    def _committee(self) -> Committee:
        """The committee that holds now."""
        return self._seated.committee

    def step(self) -> list[Report]:
        """Report every peer that is contradicted now. Return the delivered reports."""
        delivered: list[Report] = []
        seen = self._peers.contradictions(self._log.state, REPORT_AFTER_ROUNDS)
        for node_id, status in seen.items():
            try:
                delivered.append(self._reporter.report_own(node_id, status))
            except (AttestationRefused, PeerError) as error:
                logger.info("peer_not_reported", node_id=node_id, detail=str(error))
            else:
                logger.info("peer_reported", node_id=node_id, status=str(status))
        return delivered

    def run(self, stop: threading.Event) -> None:
        """Report once a round until `stop` is set."""
        while not stop.wait(self._committee.rounds.seconds):
            self.step()
