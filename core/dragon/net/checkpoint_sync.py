"""Start a log from a certified checkpoint instead of from the ledger's first batch.

The entries may come from any operator: they must hash to a root that a quorum has certified. The
ledger is read from the last entry on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from dragon.encoding import Json, Members
from dragon.errors import BadAnswer, DragonError, InvalidProof, Unreachable
from dragon.log.store import Log
from dragon.net.http_client import HttpClient
from dragon.protocol import merkle
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event
from dragon.protocol.lineage import Lineage
from dragon.protocol.log_entry import LogEntry, ProvenEntry
from dragon.protocol.trust import Trust

DEADLINE_SECONDS: Final = 10.0  # for one request
# For all entries of one operator; one that sends them singly could else delay a start for ever.
TOTAL_DEADLINE_SECONDS: Final = 60.0
MIN_ENTRIES_PER_SECOND: Final = 100  # a longer log has more time
PAGE_SIZE: Final = 500  # entries of one request
MAX_PAGE_BYTES: Final = 1 << 20

logger = structlog.stdlib.get_logger(__name__)


def start_from_checkpoint(
    log: Log,
    committee: Committee,
    http: HttpClient,
    operators: Iterable[str],
    *,
    monotonic: Callable[[], float],
) -> CheckpointClaim:
    """Fill an empty log up to the newest certified checkpoint of the first usable operator.

    Args:
        operators: ids of the operators, in the order in which they are asked.
        monotonic: clock in seconds, for the deadline of each operator.

    Returns:
        The checkpoint.

    Raises:
        Unreachable: no operator gave a valid checkpoint and its entries; the log is still empty.
        LogDamaged: the log is not empty.
    """
    for operator in operators:
        try:
            claim, position = _newest(committee, operator, http)
            ends = monotonic() + TOTAL_DEADLINE_SECONDS + claim.size / MIN_ENTRIES_PER_SECOND
            in_time = partial(_check_in_time, monotonic, ends)
            entries = list(_entries(committee.urls[operator], claim.size, http, in_time))
            log.begin_at(claim, entries)
        except DragonError as error:
            logger.warning("checkpoint_not_usable", operator=operator, detail=str(error))
        else:
            logger.info("started_from_checkpoint", operator=operator, position=position)
            return claim
    message = (
        f"no operator gave a valid checkpoint that the committee of epoch {committee.epoch} has "
        "certified; if the committee has changed, give its newest file as DRAGON_COMMITTEE"
    )
    raise Unreachable(message, reason="checkpoint")


@dataclass(frozen=True, slots=True)
class CertifiedLog:
    """The entries of a log up to a certified checkpoint, which are verified by its root."""

    claim: CheckpointClaim
    position: int  # of the checkpoint's own event, which the root does not cover
    committee_id: bytes  # of the committee that certified it
    signers: tuple[str, ...]
    entries: Sequence[LogEntry]
    tree: merkle.Tree


def fetch_certified(
    known: Trust | Lineage | Committee,
    url: str,
    http: HttpClient,
    *,
    monotonic: Callable[[], float],
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> CertifiedLog:
    """Fetch the log of an operator up to its newest checkpoint, and verify it.

    The operator need not be trusted: a quorum has certified the root to which the entries hash.

    Args:
        known: a verified lineage, or one committee; see `dragon.protocol.trust`.
        url: where the operator answers.
        monotonic: clock in seconds, for the deadline.
        progress: called with the number of entries that have arrived, and of all.

    Raises DragonError: no usable answer, or the entries are not those of the checkpoint.
    """
    event, position = _newest_event(known, url, http)
    claim = _checkpoint_of(event, url)
    ends = monotonic() + TOTAL_DEADLINE_SECONDS + claim.size / MIN_ENTRIES_PER_SECOND
    in_time = partial(_check_in_time, monotonic, ends)
    entries: list[LogEntry] = []
    tree = merkle.Tree()
    for entry in _entries(url, claim.size, http, in_time):
        entries.append(entry)
        tree.append(entry.leaf_hash)
        progress(len(entries), claim.size)
    if tree.root() != claim.log_root:
        raise InvalidProof("the entries are not those of the certified checkpoint")
    return CertifiedLog(claim, position, event.committee_id, event.signers, entries, tree)


def _newest(committee: Committee, operator: str, http: HttpClient) -> tuple[CheckpointClaim, int]:
    event, position = _newest_event(committee, committee.urls[operator], http)
    return _checkpoint_of(event, operator), position


def _newest_event(
    known: Trust | Lineage | Committee, url: str, http: HttpClient
) -> tuple[Event, int]:
    """Fetch and verify the newest checkpoint that an operator has applied. Raises DragonError.

    Returns:
        The event with the checkpoint, and its position in the log.
    """
    certified = Members(_get(http, f"{url}/checkpoint"), "the checkpoint").take("certified")
    if certified is None:
        raise BadAnswer("no checkpoint is certified yet")
    position = Members(certified, "the certified checkpoint").integer("position")
    event = ProvenEntry.from_json(_get(http, f"{url}/events/{position}")).entry.event
    Trust.of(known).verify(event)
    return event, position


def _checkpoint_of(event: Event, operator: str) -> CheckpointClaim:
    """Raises BadAnswer: the event is not a checkpoint."""
    if not isinstance(event.claim, CheckpointClaim):
        raise BadAnswer(f"{operator} gave an event that is not a checkpoint")
    return event.claim


def _check_in_time(monotonic: Callable[[], float], ends: float) -> None:
    if monotonic() > ends:
        raise Unreachable("the entries did not arrive in time", reason="slow")


def _entries(
    url: str, size: int, http: HttpClient, check_in_time: Callable[[], None]
) -> Iterator[LogEntry]:
    """Fetch the first `size` entries of an operator's log. Raises DragonError."""
    position = 0
    while position < size:
        check_in_time()
        page = _get(
            http, f"{url}/events", after=position - 1, limit=min(PAGE_SIZE, size - position)
        )
        listed = Members(page, "the page").list("events", most=PAGE_SIZE)
        if not listed:
            raise BadAnswer(f"the log has {position} entries, expected {size}")
        for value in listed[: size - position]:
            yield _entry(value, position)
            position += 1


def _entry(value: Json, position: int) -> LogEntry:
    members = Members(value, "the entry")
    entry = LogEntry.take(members)
    members.take("ledger_time")  # the operator's own view of the ledger: nothing proves it
    members.end()
    if entry.position != position:
        raise BadAnswer(f"the answer has entry {entry.position}, expected {position}")
    if entry.ledger_index < 1:
        raise BadAnswer(f"entry {position} states the ledger index {entry.ledger_index}")
    return entry


def _get(http: HttpClient, url: str, **params: int) -> Json:
    answer = http.get(url, deadline=DEADLINE_SECONDS, params=params, max_bytes=MAX_PAGE_BYTES)
    return answer.successful()
