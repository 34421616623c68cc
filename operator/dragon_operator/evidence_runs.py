"""Runs of equal looks and equal refusals, in memory, and the records that follow from them.

Each change gives a record at once. Equal looks, and equal refusals in later rounds, only extend
their run; the whole run becomes a second record when it ends. A run of looks ends with a different
look, a run of refusals after an hour, and both when the log says that the node's status has
changed. So strangers, who may ask for the same claims in every round, leave two records an hour for
each answer.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection
from dataclasses import replace
from typing import Final, TypeAlias

from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.evidence.record import (
    ATTESTED,
    MAX_DETAIL_CHARACTERS,
    MAX_REASON_CHARACTERS,
    NO_RECORD,
    AnswerRecord,
    LookRecord,
    Record,
)

LOOK_RUN_SECONDS: Final = 6 * 3600  # after which a run of equal looks is recorded and begins anew
ANSWER_RUN_SECONDS: Final = 3600  # after which a run of equal refusals ends
SIGNED_KEPT: Final = 32  # newest rounds per node for which a signature is known to be recorded

_AnswerKey: TypeAlias = tuple[str, Status, str]  # node, claimed status, answer


class Runs:
    """The runs of one operator. Not thread-safe.

    Records come out without their number and predecessor, which `EvidenceRecorder` adds.
    """

    def __init__(self) -> None:
        self._looks: dict[str, LookRecord] = {}
        self._answers: dict[_AnswerKey, AnswerRecord] = {}
        self._signed: dict[str, OrderedDict[tuple[int, Status], None]] = {}
        self._new: deque[Record] = deque()

    def take(self) -> list[Record]:
        """Return the records since the last call, oldest first."""
        taken = list(self._new)
        self._new.clear()
        return taken

    def add_look(
        self, node_id: str, status: Status, reason: str, detail: str, time_ms: int
    ) -> None:
        """Note that a probe which began at that time (Unix milliseconds) had this result."""
        reason, detail = _cut(reason, MAX_REASON_CHARACTERS), _cut(detail, MAX_DETAIL_CHARACTERS)
        known = self._looks.get(node_id)
        if known is not None and (known.status, known.reason) == (status, reason):
            first, last = min(known.first_ms, time_ms), max(known.last_ms, time_ms)
            known = replace(known, first_ms=first, last_ms=last, count=known.count + 1)
            self._looks[node_id] = known
            return
        self._end_looks(node_id)
        record = LookRecord(node_id, 0, NO_RECORD, time_ms, time_ms, 1, status, reason, detail)
        self._looks[node_id] = record
        self._new.append(record)

    def add_answer(self, claim: StatusClaim, answer: str, detail: str, time_ms: int) -> None:
        """Note the answer to a claim; the same answer for the same round is noted once."""
        timestamp, detail = claim.timestamp, _cut(detail, MAX_DETAIL_CHARACTERS)
        record = AnswerRecord(
            claim.node_id, 0, NO_RECORD, time_ms, time_ms, 1,
            claim.status, answer, timestamp, timestamp, detail,
        )  # fmt: skip
        if answer == ATTESTED:
            if self._is_first_signature(claim):
                self._new.append(record)
            return
        key = (claim.node_id, claim.status, answer)
        if (known := self._answers.get(key)) is None:
            self._answers[key] = record
            self._new.append(record)
        elif timestamp > known.last_timestamp:
            last_ms = max(known.last_ms, time_ms)
            self._answers[key] = replace(
                known, last_ms=last_ms, count=known.count + 1, last_timestamp=timestamp
            )

    def end_node(self, node_id: str) -> None:
        """End all runs about a node, because its status has changed in the log."""
        if (looks := self._looks.get(node_id)) is not None and looks.count > 1:
            self._end_looks(node_id)
        for key in [key for key in self._answers if key[0] == node_id]:
            self._end_answers(key)

    def end_old(self, now_ms: int, listed: Collection[str]) -> None:
        """End the runs that are old enough, and those about nodes that are not listed any more."""
        for node_id, looks in list(self._looks.items()):
            is_old = looks.count > 1 and now_ms - looks.first_ms >= 1000 * LOOK_RUN_SECONDS
            if is_old or node_id not in listed:
                self._end_looks(node_id)
        for key, answers in list(self._answers.items()):
            age_ms = now_ms - answers.first_ms
            if key[0] not in listed or age_ms >= 1000 * ANSWER_RUN_SECONDS:
                self._end_answers(key)
        for node_id in [each for each in self._signed if each not in listed]:
            del self._signed[node_id]

    def end_all(self) -> None:
        """End all runs, because the operator stops."""
        self.end_old(0, ())

    def _is_first_signature(self, claim: StatusClaim) -> bool:
        known = self._signed.setdefault(claim.node_id, OrderedDict())
        key = (claim.timestamp, claim.status)
        if key in known:
            return False
        known[key] = None
        if len(known) > SIGNED_KEPT:
            known.popitem(last=False)
        return True

    def _end_looks(self, node_id: str) -> None:
        """Record a run of looks, unless its first record says all of it."""
        record = self._looks.pop(node_id, None)
        if record is not None and record.count > 1:
            self._new.append(record)

    def _end_answers(self, key: _AnswerKey) -> None:
        record = self._answers.pop(key)
        if record.count > 1:
            self._new.append(record)


def _cut(text: str, most: int) -> str:
    """Return the beginning of a text, in which every character has an encoding."""
    return text[:most].encode("utf-8", "replace").decode()
