"""Period certificates: made on request and returned with all leaves. They are no events."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from dragon.encoding import canonical
from dragon.errors import Busy, LogStopped
from dragon.log.downtime import settled_size
from dragon.log.period import report_at
from dragon.log.store import Log
from dragon.net.runtime import Runtime
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.period import PeriodClaim
from dragon.protocol.committee import Seated
from dragon.protocol.period import PeriodReport
from dragon_aggregator.certifier import Certifier

# An operator may take this long for 8,192 nodes; the whole request has 15 s.
COLLECT_SECONDS: Final = 10.0
MAX_REPORTS_KEPT: Final = 16  # that answer requests for the same period again; 1 MB each at most


@dataclass(frozen=True, slots=True)
class _Key:
    """What a certificate of a period depends on. The size follows from the period's end."""

    interval: tuple[int, int]
    size: int
    committee_id: bytes


class Periods:
    """Collects signatures on the report of our own log.

    Anyone may request them. One report for strangers and one for members is made at a time. The
    last ones are kept, and answer all who request the same period, until the committee hands over.
    """

    def __init__(self, seated: Seated, log: Log, certifier: Certifier, runtime: Runtime) -> None:
        self._seated = seated
        self._log = log
        self._certifier = certifier
        self._wall = runtime.wall
        self._monotonic = runtime.monotonic
        self._places = {True: threading.Lock(), False: threading.Lock()}  # by `is_member`
        self._lock = threading.Lock()  # guards the following
        self._kept: OrderedDict[_Key, bytes] = OrderedDict()  # in canonical JSON

    def certify(self, begin: int, end: int, *, is_member: bool = False) -> bytes:
        """Certify the report on [begin, end), Unix seconds. Returns a `PeriodReport` as JSON.

        Args: `is_member`, whether the requester may use the place of members.

        Raises:
            NotSettled: the log may still learn something about that period.
            UnsuitablePeriod: the report would have no node, or too many.
            NotCertified: too few operators signed; `answers` has each operator's answer.
            LogStopped: an alarm is raised.
            Busy: another report is in progress.
        """
        if alarm := self._log.alarm():
            raise LogStopped(alarm.detail, reason=alarm.reason)
        size = settled_size(self._log, end, self._wall())
        key = _Key((begin, end), size, self._seated.committee.id)
        if (known := self._recall(key)) is not None:
            return known
        with self._place(is_member=is_member):
            claim, leaves = report_at(self._log, key.interval, size=size)
            report = PeriodReport.of(self._collect(claim), leaves)
            return self._keep(key, canonical(report.to_json()))

    @contextmanager
    def _place(self, *, is_member: bool) -> Iterator[None]:
        place = self._places[is_member]
        if not place.acquire(blocking=False):
            raise Busy("another period certificate is in progress; try again", retry_after=1)
        try:
            yield
        finally:
            place.release()

    def _collect(self, claim: PeriodClaim) -> Certificate:
        ends = self._monotonic() + COLLECT_SECONDS
        return self._certifier.collect(claim, ends).certified("this report")

    def _recall(self, key: _Key) -> bytes | None:
        with self._lock:
            return self._kept.get(key)

    def _keep(self, key: _Key, report: bytes) -> bytes:
        with self._lock:
            self._kept[key] = report
            self._kept.move_to_end(key)
            if len(self._kept) > MAX_REPORTS_KEPT:
                self._kept.popitem(last=False)
        return report
