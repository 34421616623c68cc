"""Downtime certificates: made on request and returned. They are not events of the ledger."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from dragon.errors import Busy, LogStopped
from dragon.log.downtime import settled_claim
from dragon.log.store import Log
from dragon.net.runtime import Runtime
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.committee import Committee, Seated
from dragon_aggregator.certifier import Certifier

MAX_CONCURRENT_CERTIFICATES: Final = 4  # beyond, requests are `busy`
MAX_CERTIFICATES_KEPT: Final = 256  # that answer requests for the same claim again


class Downtime:
    """Collects signatures on the totals of our own log.

    Anyone may request them. A certificate is kept and returned to all who request the same claim,
    until its committee hands over: the next one signs the same totals anew. While it is made, it
    has a place that no other request for it takes.
    """

    def __init__(self, seated: Seated, log: Log, certifier: Certifier, runtime: Runtime) -> None:
        self._seated = seated
        self._log = log
        self._certifier = certifier
        self._wall = runtime.wall
        self._monotonic = runtime.monotonic
        self._lock = threading.Lock()  # guards the following
        self._active: set[DowntimeClaim] = set()
        self._kept: OrderedDict[DowntimeClaim, Certificate] = OrderedDict()

    @property
    def _committee(self) -> Committee:
        """The committee that holds now."""
        return self._seated.committee

    def certify(self, node_id: str, begin: int, end: int) -> Certificate:
        """Certify how long the node was down in [begin, end), Unix seconds.

        Raises:
            UnknownNode: no committee of the log has listed the node.
            NotSettled: the log may still learn something about that interval.
            NotCertified: too few operators signed; `answers` has each operator's answer.
            LogStopped: an alarm is raised.
            Busy: this certificate, or too many others, are in progress.
        """
        self._log.state.check_node(node_id)
        if alarm := self._log.alarm():
            raise LogStopped(alarm.detail, reason=alarm.reason)
        claim = settled_claim(self._log, node_id, (begin, end), self._wall())
        if (known := self._begin(claim)) is not None:
            return known
        try:
            return self._keep(claim, self._collect(claim))
        finally:
            with self._lock:
                self._active.discard(claim)

    def _begin(self, claim: DowntimeClaim) -> Certificate | None:
        """Return the certificate if there is one, else take a place. Raises Busy."""
        with self._lock:
            known = self._kept.get(claim)
            if known is not None and known.committee_id == self._committee.id:
                return known
            if claim in self._active:
                raise Busy("this certificate is in progress; request it again")
            if len(self._active) >= MAX_CONCURRENT_CERTIFICATES:
                message = (
                    f"{MAX_CONCURRENT_CERTIFICATES} downtime certificates are in progress, the "
                    "maximum"
                )
                raise Busy(message)
            self._active.add(claim)
        return None

    def _collect(self, claim: DowntimeClaim) -> Certificate:
        ends = self._monotonic() + self._committee.rounds.collect_deadline_seconds
        return self._certifier.collect(claim, ends).certified("these totals")

    def _keep(self, claim: DowntimeClaim, certificate: Certificate) -> Certificate:
        with self._lock:
            self._kept[claim] = certificate
            self._kept.move_to_end(claim)
            if len(self._kept) > MAX_CERTIFICATES_KEPT:
                self._kept.popitem(last=False)
        return certificate
