"""Applies what the log says about windows: certified, invalid, or gone from the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from dragon.encoding import to_hex
from dragon.log.follower import Follower
from dragon.log.index_tables import Applied, StreamRecords
from dragon.log.store import Log
from dragon.protocol.claims.window import InvalidReason, Verdict, WindowClaim
from dragon.protocol.streams.statements import statement_of
from dragon_stream.damage import Damage
from dragon_stream.events import Events
from dragon_stream.store import Store, WindowRow
from dragon_stream.stream_tables import FILE
from dragon_stream.streams import Stream, Streams
from dragon_stream.unfinished_windows import WindowSummary

MAX_LOOKAHEAD: Final = 16  # unfinished windows of a stream that are processed at once
MAX_PROOFS_PER_WINDOW: Final = 3  # proofs of a window, if each is refuted; then it is invalid
_PAGE: Final = 4 * MAX_LOOKAHEAD  # log entries read at a time

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Compares unfinished windows with the service's copy of the log."""

    store: Store
    log: Log
    follower: Follower
    records: StreamRecords
    events: Events

    def check_age(self, stream: Stream) -> Damage | None:
        """Return the damage if the log has windows of this stream that the database lacks."""
        logged = self.log.state.stream(stream.id).windows
        last = stream.sealer.last
        known = last.number + 1 if last else 0
        if logged <= known:
            return None
        what = (
            f"has {known} windows of the stream, and the ledger has {logged}: it is an old copy, "
            "or another service uses the same key"
        )
        return Damage(FILE, None, None, what)

    def update(
        self, streams: Streams, stream: Stream, unfinished: Sequence[WindowSummary]
    ) -> list[WindowRow] | None:
        """Store what the log says about unfinished windows, and stop streams that cannot continue.

        Returns:
            The windows that changed, or None if the log says nothing new.
        """
        logged = self.log.state.stream(stream.id)
        if not unfinished:
            return []
        first = unfinished[0].number
        if logged.windows > first:
            return self._certify_all(streams, stream, unfinished)
        if logged.refuted:
            return self._refute(streams, stream, unfinished[0])
        if not logged.windows and first and self.follower.caught_up and not self.log.alarm():
            streams.stop(
                stream, "the ledger was reset and no longer contains the windows of this stream"
            )
        return None

    def _certify_all(
        self, streams: Streams, stream: Stream, unfinished: Sequence[WindowSummary]
    ) -> list[WindowRow]:
        applied = self.records.windows(stream.id, unfinished[0].number, limit=_PAGE)
        certified = []
        for summary in unfinished:
            found = _find(applied, summary.number, Verdict.VALID)
            row = self.store.window(stream.id, summary.number) if found else None
            if found is None or row is None:
                continue
            position, claim = found
            if claim.header != row.header.hash:
                reason = f"the ledger has another window {summary.number} of this stream"
                streams.stop(stream, reason)
                break
            if claim.statement != statement_of(stream.keys.descriptor, row.header):
                reason = f"the ledger states another claim about window {summary.number}"
                streams.stop(stream, reason)
                break
            self._certify(row, position, claim)
            certified.append(row)
        return certified

    def _certify(self, row: WindowRow, position: int, claim: WindowClaim) -> None:
        self.store.certify(row.stream, row.number, position)
        facts = {"window": row.number, "position": position, "timestamp": claim.timestamp}
        self.events.publish(row.stream, "certified", **facts)
        logger.info("window_certified", stream=to_hex(row.stream), number=row.number)

    def _refute(
        self, streams: Streams, stream: Stream, summary: WindowSummary
    ) -> list[WindowRow] | None:
        """Note that a quorum found our proof, or the window itself, invalid.

        Only a proof can be replaced. Any other fault is in the window, which never changes.
        """
        row = self.store.window(stream.id, summary.number)
        if row is None or row.proof is None:
            return None
        digest = hashlib.sha256(row.proof).digest()
        if (summary.number, digest) not in self.log.state.stream(stream.id).refuted:
            return None
        applied = self.records.windows(stream.id, summary.number, limit=_PAGE)
        found = _find(applied, summary.number, Verdict.INVALID, digest)
        reason = found[1].reason if found else InvalidReason.STARK
        final = reason is not InvalidReason.STARK or row.proofs >= MAX_PROOFS_PER_WINDOW
        self.store.refute(stream.id, summary.number, final=final)
        self.events.publish(stream.id, "invalid", window=summary.number, reason=str(reason))
        if final:
            streams.stop(stream, f"window {summary.number} was found invalid ({reason})")
        return [row]


def _find(
    applied: Sequence[Applied[WindowClaim]],
    number: int,
    verdict: Verdict,
    proof: bytes | None = None,
) -> tuple[int, WindowClaim] | None:
    """The log position and claim on that window, with that verdict and that proof if given."""
    for entry in applied:
        claim = entry.claim
        if (claim.number, claim.verdict) == (number, verdict) and proof in {None, claim.proof}:
            return entry.position, claim
    return None
