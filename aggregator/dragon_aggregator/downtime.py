"""Downtime certificates: made on request and returned. They are not events of the ledger."""

from __future__ import annotations

import threading
from typing import Final

from dragon.errors import Busy, LogStopped, NotCertified
from dragon.log.downtime import settled_claim
from dragon.log.store import Log
from dragon.net.runtime import Runtime
from dragon.protocol.certificate import Certificate
from dragon.protocol.committee import Committee, check_node_id
from dragon_aggregator.certifier import Certifier

MAX_CONCURRENT_CERTIFICATES: Final = 4  # beyond, requests are `busy`


class Downtime:
    """Collects signatures on the totals of our own log. Stores nothing."""

    def __init__(
        self, committee: Committee, log: Log, certifier: Certifier, runtime: Runtime
    ) -> None:
        self._committee = committee
        self._log = log
        self._certifier = certifier
        self._wall = runtime.wall
        self._monotonic = runtime.monotonic
        self._slots = threading.BoundedSemaphore(MAX_CONCURRENT_CERTIFICATES)

    def certify(self, node_id: str, begin: int, end: int) -> Certificate:
        """Certify how long the node was down in [begin, end), Unix seconds.

        Raises:
            UnknownNode: the committee does not list the node.
            NotSettled: the log may still learn something about that interval.
            NotCertified: too few operators signed; `answers` has each operator's answer.
            LogStopped: an alarm is raised.
            Busy: too many certificates are in progress.
        """
        check_node_id(self._committee, node_id)
        if alarm := self._log.alarm():
            raise LogStopped(alarm.detail, reason=alarm.reason)
        claim = settled_claim(self._log, self._committee, node_id, (begin, end), self._wall())
        if not self._slots.acquire(blocking=False):
            message = (
                f"{MAX_CONCURRENT_CERTIFICATES} downtime certificates are in progress, the maximum"
            )
            raise Busy(message)
        try:
            ends = self._monotonic() + self._committee.rounds.collect_deadline_seconds
            result = self._certifier.collect(claim, ends)
        finally:
            self._slots.release()
        if result.certificate is None:
            answers = {operator: result.outcome_of(operator) for operator in result.asked}
            raise NotCertified("too few operators signed these totals", answers=answers)
        return result.certificate
