"""Starting late: a log from a certified checkpoint, instead of from the ledger's first batch.

The entries come from any operator and are believed because they hash to a root that a quorum has
certified. The ledger is then read on from the last of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import structlog

from dragon.encoding import Json, Members
from dragon.errors import BadAnswer, DragonError, Unreachable
from dragon.log.store import Log
from dragon.net.http_client import HttpClient
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.committee import Committee
from dragon.protocol.log_entry import LogEntry, ProvenEntry

DEADLINE: Final = 10.0  # seconds for one answer
PAGE: Final = 500
LARGEST_PAGE: Final = 1 << 20

logger = structlog.stdlib.get_logger(__name__)


def start_from_checkpoint(
    log: Log, committee: Committee, http: HttpClient, operators: Iterable[str]
) -> CheckpointClaim:
    """Fill an empty log up to the newest certified checkpoint that some operator shows.

    Raises:
        Unreachable: none of the operators gave one that holds; the log is still empty.
        LogDamaged: the log is not empty.
    """
    for operator in operators:
        try:
            claim, position = _newest(committee, operator, http)
            entries = list(_entries(committee.urls[operator], claim.size, http))
            log.begin_at(claim, entries)
        except DragonError as error:
            logger.warning("checkpoint_not_usable", operator=operator, detail=str(error))
        else:
            logger.info("started_from_checkpoint", operator=operator, position=position)
            return claim
    raise Unreachable("no operator gave a certified checkpoint that holds", reason="checkpoint")


def _newest(committee: Committee, operator: str, http: HttpClient) -> tuple[CheckpointClaim, int]:
    """The newest checkpoint that an operator has applied, verified. Raises DragonError."""
    url = committee.urls[operator]
    certified = Members(_get(http, f"{url}/checkpoint"), "the checkpoint").take("certified")
    if certified is None:
        raise BadAnswer(f"{operator} has no certified checkpoint as yet")
    position = Members(certified, "the certified checkpoint").integer("position")
    event = ProvenEntry.from_json(_get(http, f"{url}/events/{position}")).entry.event
    event.verify(committee)
    if not isinstance(event.claim, CheckpointClaim):
        raise BadAnswer(f"{operator} gave an event that is not a checkpoint")
    return event.claim, position


def _entries(url: str, size: int, http: HttpClient) -> Iterator[LogEntry]:
    """The first `size` entries of an operator's log. Raises DragonError."""
    position = 0
    while position < size:
        page = _get(http, f"{url}/events", after=position - 1, limit=min(PAGE, size - position))
        listed = Members(page, "the page").list("events", most=PAGE)
        if not listed:
            raise BadAnswer(f"the log ends at {position} of {size} entries")
        for value in listed[: size - position]:
            yield _entry(value, position)
            position += 1


def _entry(value: Json, position: int) -> LogEntry:
    members = Members(value, "the entry")
    entry = LogEntry.take(members)
    members.end()
    if entry.position != position:
        raise BadAnswer(f"entry {position} is missing")
    if entry.ledger_index < 1:
        raise BadAnswer(f"entry {position} states the ledger index {entry.ledger_index}")
    return entry


def _get(http: HttpClient, url: str, **params: int) -> Json:
    answer = http.get(url, deadline=DEADLINE, params=params, max_bytes=LARGEST_PAGE)
    return answer.successful()
