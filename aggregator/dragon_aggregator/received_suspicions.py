"""The suspicions of one round, and what came of each, for `GET /rounds`."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dragon.protocol.claims.status import Status
from dragon.protocol.messages import Suspicion

MAX_SUSPICIONS_OF_OPERATOR: Final = 16  # of one operator in the record of one round


class Outcome(StrEnum):
    """What came of a suspicion."""

    NO_CHANGE = "no_change"  # the status is certified already
    ABSTAINED = "abstained"  # the aggregator certifies nothing now
    BUSY = "busy"  # too many suspicions were in progress
    ASKED = "asked"  # the operators are being asked
    ALREADY_ASKED = "already_asked"  # a claim about the node was being certified already
    OUTBOX_FULL = "outbox_full"  # too many events about the node are on their way to the log
    CERTIFIED = "certified"
    NOT_CERTIFIED = "not_certified"  # the operators were asked, and no quorum signed


_NOT_ASKED: Final = (None, Outcome.NO_CHANGE, Outcome.ABSTAINED, Outcome.BUSY)


@dataclass(slots=True)
class ReceivedSuspicion:
    """One genuine suspicion."""

    operator: str  # that signed it
    node_id: str
    status: Status  # that the operator saw
    received_at: float  # Unix seconds
    outcome: Outcome | None = None  # None: not decided yet
    detail: str = ""  # why the aggregator abstained

    def decline(self, outcome: Outcome, detail: str = "") -> None:
        """Note why the operators are not asked, unless the same suspicion had them asked before."""
        if self.outcome in _NOT_ASKED:
            self.outcome, self.detail = outcome, detail


class ReceivedSuspicions:
    """The genuine suspicions of one round: a bounded number of each operator. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the next three lines
        self._kept: dict[tuple[str, str, Status], ReceivedSuspicion] = {}
        self._of_operator: Counter[str] = Counter()
        self._omitted = 0

    def add(self, suspicion: Suspicion, received_at: float) -> tuple[ReceivedSuspicion, bool]:
        """Record a suspicion. Return its record, and whether the round keeps it.

        The same suspicion has one record, however often it is received.
        """
        operator, node_id, status = suspicion.operator, suspicion.node_id, suspicion.status
        key = (operator, node_id, status)
        with self._lock:
            if (known := self._kept.get(key)) is not None:
                return known, True
            made = ReceivedSuspicion(operator, node_id, status, received_at)
            if self._of_operator[operator] >= MAX_SUSPICIONS_OF_OPERATOR:
                self._omitted += 1
                return made, False
            self._of_operator[operator] += 1
            self._kept[key] = made
            return made, True

    def all(self) -> list[ReceivedSuspicion]:
        """Return the records in the order in which the suspicions were received."""
        with self._lock:
            return list(self._kept.values())

    @property
    def omitted(self) -> int:
        """Number of suspicions beyond `MAX_SUSPICIONS_OF_OPERATOR`, which have no record."""
        return self._omitted
