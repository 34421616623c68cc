"""Committee files by their hash, from any service. The hash shows that they fit."""

from __future__ import annotations

from dragon.encoding import to_hex
from dragon.errors import DragonError
from dragon.log.store import Log
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import MAX_FILE_BYTES, Committee

DEADLINE_SECONDS = 2.0  # for one service
MAX_ASKED = 8  # services that are asked at a time; the next time, the others


class CommitteeFiles:
    """Asks operators and aggregators of the committee that holds, in turn."""

    def __init__(self, log: Log, http: HttpClient) -> None:
        self._log = log
        self._http = http
        self._next = 0  # place of the service that is asked first

    def fetch(self, committee_id: bytes) -> Committee | None:
        """Return the checked committee with this id, or None if nobody that was asked has it."""
        urls = self._urls()
        for place in range(min(MAX_ASKED, len(urls))):
            url = urls[(self._next + place) % len(urls)]
            try:
                answer = self._http.get(
                    f"{url}/objects/{to_hex(committee_id)}",
                    deadline=DEADLINE_SECONDS,
                    max_bytes=MAX_FILE_BYTES,
                )
                found = Committee.load(answer.body)
            except DragonError:
                continue
            if found.id == committee_id:
                return found
        self._next += MAX_ASKED
        return None

    def _urls(self) -> list[str]:
        committee = self._log.committee
        ranked = sorted(committee.aggregators, key=lambda each: each.rank)
        return [*(each.url for each in committee.operators), *(each.url for each in ranked)]
