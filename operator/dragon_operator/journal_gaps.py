"""Notices that the journal lacks what this operator has signed.

Every decision is in the journal before its signature exists. So if an applied certificate has this
operator's signature and the journal does not contain the decision, an old copy of the journal was
put back, or somebody else signs with the key. The journal then counts like a new one that replaces
a lost one: nothing is signed for `max_age`, and no handover before log time has passed that moment.

Only what the log shows can be noticed. Endorsements are not an operator's, and verdicts on windows
may have been deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, cast

import structlog
from sqlalchemy import Connection, text

from dragon.encoding import to_hex
from dragon.log.store import Log
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.base import Claim, EventClaim
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.claims.status import StatusClaim
from dragon.protocol.event import Event
from dragon.protocol.handover import Handover
from dragon.protocol.log_entry import LogEntry
from dragon.storage.database import Database

START_ENTRIES: Final = 256  # the newest entries of the log, which are compared at the start
LEAD_SECONDS: Final = 4  # a claim is signed up to 2 s early, by a clock that may be 2 s ahead

_NOTICED: Final = text("SELECT noticed_at FROM journal_gap")
_NOTE: Final = text("REPLACE INTO journal_gap VALUES (1, :now)")
_SINCE: Final = text("SELECT since FROM journal_owner")
_FLOOR: Final = text("SELECT timestamp FROM journal_floor")
_STATUS: Final = text(
    "SELECT status FROM journal_status WHERE node_id = :node_id AND timestamp = :timestamp"
)
_LOG_SIZE: Final = text("SELECT size FROM journal_log")
# The row of an epoch is deleted in the transaction that adds the row of a later one.
_HANDOVER: Final = text(
    "SELECT epoch, next, timestamp FROM journal_handover WHERE epoch >= :epoch "
    "ORDER BY epoch LIMIT 1"
)

# Those of all other kinds are never missing: see `_is_known`.
_COMPARED: Final = (StatusClaim, CheckpointClaim, HandoverClaim)

logger = structlog.stdlib.get_logger(__name__)


class JournalGaps:
    """Compares applied certificates with the journal. Any thread may ask for the result."""

    def __init__(
        self, journal: Database, operator: str, log: Log, wall: Callable[[], float]
    ) -> None:
        """`journal`: the file of the journal."""
        self._journal = journal
        self._operator = operator
        self._log = log
        self._wall = wall
        self._noticed_at = self._read_noticed()
        self.position: int | None = None  # of the newest such certificate since the start

    @property
    def noticed_at(self) -> int:
        """When a gap was noticed last, Unix seconds; 0 if never."""
        return self._noticed_at

    def seconds_left(self) -> float:
        """Return for how long nothing may be signed because of a gap; 0 or less if one may."""
        if not self._noticed_at:
            return 0.0
        return self._noticed_at + self._log.committee.rounds.max_age - self._wall()

    def check_newest(self) -> None:
        """Compare the newest entries of the log with the journal, at the start."""
        self.check(self._log.entries(self._log.state.size - 1 - START_ENTRIES, START_ENTRIES))

    def check(self, entries: Sequence[LogEntry]) -> None:
        """Compare applied entries with the journal; note a gap on disk and in the service's log."""
        signed = [each for each in entries if self._must_know(each.event)]
        if not signed:
            return
        with self._journal.read() as connection:
            since = int(connection.execute(_SINCE).scalar() or 0)
            begun = max(since, self._noticed_at) + LEAD_SECONDS if since or self._noticed_at else 0
            missing = [
                entry
                for entry in signed
                if cast("EventClaim", entry.event.claim).timestamp > begun
                and not _is_known(connection, entry.event.claim)
            ]
        if missing:
            self._note(missing[-1].position, missing[-1].event.claim)

    def _note(self, position: int, claim: Claim) -> None:
        now = int(self._wall())
        with self._journal.write() as connection:
            connection.execute(_NOTE, {"now": now})
        self._noticed_at, self.position = now, position
        logger.error("journal_incomplete", position=position, claim=claim.to_json())

    def _read_noticed(self) -> int:
        with self._journal.read() as connection:
            return int(connection.execute(_NOTICED).scalar() or 0)

    def _must_know(self, event: Event) -> bool:
        """Whether this operator has signed an event of a kind that the journal is compared with."""
        return isinstance(event.claim, _COMPARED) and self._has_signed(event)

    def _has_signed(self, event: Event) -> bool:
        accepted = event.acceptance.signers if isinstance(event, Handover) else ()
        signers = event.signers if isinstance(event, (Certificate, Handover)) else ()
        return self._operator in signers or self._operator in accepted


def _is_known(connection: Connection, claim: Claim) -> bool:
    """Whether the journal contains the decision to sign `claim`, or may have deleted it."""
    if isinstance(claim, StatusClaim):
        floor = connection.execute(_FLOOR).scalar()
        if floor is not None and claim.timestamp < floor:
            return True
        place = {"node_id": claim.node_id, "timestamp": claim.timestamp}
        return connection.execute(_STATUS, place).scalar() == claim.status
    if isinstance(claim, CheckpointClaim | HandoverClaim):
        size = connection.execute(_LOG_SIZE).scalar()
        if size is None or size < claim.size:
            return False
    if isinstance(claim, HandoverClaim):
        row = connection.execute(_HANDOVER, {"epoch": claim.epoch}).first()
        if row is None or row.epoch > claim.epoch:
            return row is not None
        return bool(row.next == to_hex(claim.next) and row.timestamp >= claim.timestamp)
    return True
