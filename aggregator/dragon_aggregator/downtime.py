"""Downtime certificates: answers to whoever asks, signed by a quorum, and no events."""

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

AT_ONCE: Final = 4


class Downtime:
    """Gathers signatures on the totals that the own log comes to. Keeps nothing."""

    def __init__(
        self, committee: Committee, log: Log, certifier: Certifier, runtime: Runtime
    ) -> None:
        self._committee = committee
        self._log = log
        self._certifier = certifier
        self._wall = runtime.wall
        self._monotonic = runtime.monotonic
        self._slots = threading.BoundedSemaphore(AT_ONCE)

    def certify(self, node_id: str, begin: int, end: int) -> Certificate:
        """A quorum's word on how long the node was down in [begin, end), Unix seconds.

        Raises:
            UnknownNode: the committee does not list it.
            NotSettled: the logs may still learn something about that time.
            NotCertified: too few operators signed; `answers` says what each one said.
            LogStopped: an alarm stands.
            Busy: too many at once.
        """
        check_node_id(self._committee, node_id)
        if alarm := self._log.alarm():
            raise LogStopped(alarm.detail, reason=alarm.reason)
        claim = settled_claim(self._log, self._committee, node_id, (begin, end), self._wall())
        if not self._slots.acquire(blocking=False):
            raise Busy("too many downtime certificates are being gathered")
        try:
            ends = self._monotonic() + self._committee.rounds.gather_deadline
            gathering = self._certifier.collect(claim, ends)
        finally:
            self._slots.release()
        if gathering.certificate is None:
            answers = {operator: gathering.outcome_of(operator) for operator in gathering.asked}
            raise NotCertified("too few operators signed these totals", answers=answers)
        return gathering.certificate
