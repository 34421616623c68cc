"""Committee files by their hash, from any service. The hash shows that they fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from dragon.encoding import to_hex
from dragon.errors import DragonError, Unreachable
from dragon.log import committee_table
from dragon.log.store import Log
from dragon.net.committee_client import fetch_committee
from dragon.net.http_client import HttpClient
from dragon.net.runtime import Runtime
from dragon.protocol.committee import Committee
from dragon.storage.database import Database

DEADLINE_SECONDS: Final = 1.0  # for one service
TOTAL_DEADLINE_SECONDS: Final = 2.0  # for one file; the next time, other services are asked first

logger = structlog.stdlib.get_logger(__name__)


def open_log(database: Database, pinned: Sequence[Committee], runtime: Runtime) -> Log:
    """Open the log of a service that was given any committees of the network.

    A log that does not know them yet needs all files up to the newest of them. Those that are
    missing are fetched backwards: each file names the hash of the one before.

    Args:
        pinned: committees that the owner has given, oldest first.

    Raises:
        Unreachable: a new log needs a file that no service has.
        LogDamaged: as `Log`.
    """
    with database.read() as connection:
        stored = [each for each, _ in committee_table.read_all(connection)]
    known = {each.id: each for each in (*stored, *pinned)}
    newest = pinned[-1]
    if not stored or newest.epoch > stored[-1].epoch:
        try:
            known |= _fetch_earlier(newest, known, runtime)
        except Unreachable as error:
            if not stored:
                raise
            logger.warning("earlier_committee_missing", detail=str(error))
    return Log(database, newest, pinned=known.values())


def _fetch_earlier(
    newest: Committee, known: dict[bytes, Committee], runtime: Runtime
) -> dict[bytes, Committee]:
    """Return the committees before one, back to one that is known. Raises Unreachable."""
    found: dict[bytes, Committee] = {}
    committee, services = newest, _urls(newest)
    files = FileClient(lambda: services, runtime)
    while committee.epoch and (wanted := committee.previous) not in known:
        earlier = next((made for _ in services if (made := files.fetch(wanted))), None)
        if earlier is None or earlier.epoch != committee.epoch - 1:
            message = (
                f"no service of epoch {newest.epoch} has the committee of epoch "
                f"{committee.epoch - 1}, {to_hex(wanted)}; give a lineage as DRAGON_COMMITTEE"
            )
            raise Unreachable(message, reason="committee", committee=to_hex(wanted))
        found[wanted] = committee = earlier
    return found


class FileClient:
    """Asks services for committee files, in turn and in bounded time."""

    def __init__(self, urls: Callable[[], Sequence[str]], runtime: Runtime) -> None:
        """`urls`: returns the services, which come from committees only."""
        self._urls = urls
        self._http: HttpClient = runtime.http
        self._monotonic = runtime.monotonic
        self._next = 0  # place of the service that is asked first

    def fetch(self, committee_id: bytes) -> Committee | None:
        """Return the checked committee with this id, or None if nobody that was asked has it."""
        urls = self._urls()
        ends = self._monotonic() + TOTAL_DEADLINE_SECONDS
        for _ in urls:
            if (left := ends - self._monotonic()) <= 0:
                return None
            url, self._next = urls[self._next % len(urls)], self._next + 1
            if found := self._fetch_from(url, committee_id, min(DEADLINE_SECONDS, left)):
                return found
        return None

    def _fetch_from(self, url: str, committee_id: bytes, deadline: float) -> Committee | None:
        try:
            return fetch_committee(self._http, url, committee_id, deadline=deadline)
        except DragonError:
            return None


class CommitteeFiles(FileClient):
    """Asks the services of the committee that holds, and those of the newest that is pinned."""

    def __init__(self, log: Log, runtime: Runtime) -> None:
        super().__init__(lambda: _urls(log.committee, log.pinned), runtime)


def _urls(*committees: Committee) -> list[str]:
    """Return the URLs of all operators and aggregators, each once."""
    listed: list[str] = []
    for committee in committees:
        ranked = sorted(committee.aggregators, key=lambda each: each.rank)
        listed += [each.url for each in committee.operators] + [each.url for each in ranked]
    return list(dict.fromkeys(listed))
