"""Collect evidence: ask all operators, at once, what they have recorded about a node.

Nothing that an operator answers is believed: what does not verify is left out, and the file says
so. The file holds no word of the collector except who was asked and did not answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from dragon.encoding import canonical
from dragon.errors import DragonError, PeerError, TooLarge
from dragon.net.evidence_client import fetch_event, fetch_records, fetch_transitions
from dragon.net.http_client import HttpClient
from dragon.protocol.claims.status import StatusClaim
from dragon.protocol.committee import Committee
from dragon.protocol.evidence.file import (
    MAX_DETAIL_CHARACTERS,
    MAX_EVIDENCE_BYTES,
    Collected,
    Evidence,
    OperatorRecords,
    Outcome,
)
from dragon.protocol.evidence.verification import verify_records
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.trust import Trust

EVENT_BYTES: Final = 1 << 20  # of a file, for all but the operators' records
MAX_CONCURRENT: Final = 16  # operators that are asked at once


@dataclass(frozen=True, slots=True)
class Collector:
    """Asks the operators of a network about one node. `trust`: what the user believes."""

    trust: Trust
    http: HttpClient
    node_id: str

    def transition(self, time: int, around: int) -> tuple[ProvenEntry | None, int]:
        """Return the verified change of status nearest to a time, and when it was.

        Args:
            time: Unix seconds.
            around: seconds by which it may be earlier or later.

        Returns None and `time` if nobody has one.
        """
        urls = self._urls(self.trust.newest)
        with ThreadPoolExecutor(MAX_CONCURRENT) as executor:
            answers = executor.map(lambda url: self._transitions(url, time), urls.values())
            found = {
                (abs(timestamp - time), position, url)
                for url, said in zip(urls.values(), answers, strict=True)
                for timestamp, position in said
                if abs(timestamp - time) <= around
            }
        for _, position, url in sorted(found):
            event = self._event(url, position)
            claim = event.entry.event.claim if event else None
            if isinstance(claim, StatusClaim) and abs(claim.timestamp - time) <= around:
                return event, claim.timestamp
        return None, time

    def collect(self, event: ProvenEntry | None, begin: int, end: int, *, now: int) -> Evidence:
        """Return the evidence of an interval, from every operator that may have some.

        Args:
            begin, end: Unix seconds.
            now: Unix seconds, for the file.
        """
        urls = self._urls(self.trust.newest)
        if event:
            signed_for = self.trust.lineage.named(event.entry.event.committee_id)
            urls = {**self._urls(signed_for), **urls}
        names = sorted(urls)
        share = (MAX_EVIDENCE_BYTES - EVENT_BYTES) // len(names)
        with ThreadPoolExecutor(MAX_CONCURRENT) as executor:
            found = executor.map(
                lambda name: self._ask(name, urls[name], (begin, end), share), names
            )
            return Evidence(self.node_id, begin, end, now, event, tuple(found))

    @staticmethod
    def _urls(committee: Committee) -> Mapping[str, str]:
        return {each.id: each.url for each in committee.operators}

    def _transitions(self, url: str, time: int) -> list[tuple[int, int]]:
        try:
            return fetch_transitions(self.http, url, self.node_id, time)
        except PeerError:
            return []

    def _event(self, url: str, position: int) -> ProvenEntry | None:
        """Return an event of the node that verifies; None if the operator has none there."""
        try:
            found = fetch_event(self.http, url, position)
            found.verify(self.trust)
        except DragonError:
            return None
        claim = found.entry.event.claim
        return found if isinstance(claim, StatusClaim) and claim.node_id == self.node_id else None

    def _ask(self, operator: str, url: str, period: tuple[int, int], most: int) -> Collected:
        """Ask one operator. `most`: bytes that it may take of the file."""
        nothing, (begin, end) = OperatorRecords(operator), period
        try:
            found = fetch_records(self.http, url, operator, self.node_id, begin=begin, end=end)
            if (size := len(canonical(found.to_json()))) > most:
                raise TooLarge(f"{operator} has {size} bytes of records of that time")
            verify_records(found, self.node_id, self.trust)
        except PeerError as error:
            return Collected(Outcome.NO_ANSWER, nothing, _short(error))
        except DragonError as error:
            return Collected(Outcome.INVALID, nothing, _short(error))
        if not found.records:
            return Collected(Outcome.NO_RECORDS, nothing)
        return Collected(Outcome.RECORDS, found)


def _short(error: DragonError) -> str:
    text = f"{error.name}: {error}"[:MAX_DETAIL_CHARACTERS]
    return text.encode("utf-8", "replace").decode()
