"""Certified, refuted, or gone from the ledger: only the own log says what became of a window."""

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
from dragon_stream.events import Events
from dragon_stream.store import Store, WindowRow, WindowSummary
from dragon_stream.streams import Stream, Streams

AHEAD: Final = 16  # windows of a stream that are on their way at once
MOST_PROOFS: Final = 3  # for one window, if those before were refuted

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Settlement:
    """Compares what is unfinished with the log."""

    store: Store
    log: Log
    follower: Follower
    records: StreamRecords
    events: Events

    def look(
        self, streams: Streams, stream: Stream, heads: Sequence[WindowSummary]
    ) -> list[WindowRow] | None:
        """Those of these unfinished windows of which the log has spoken since; None: it has said
        nothing new."""
        known = self.log.state.stream(stream.id)
        if not heads:
            return []
        first = heads[0].number
        if known.windows > first:
            return self._certified(streams, stream, heads)
        if known.refuted:
            return self._refuted(streams, stream, heads[0])
        if not known.windows and first and self.follower.caught_up and not self.log.alarm():
            streams.stop(stream, "the ledger has begun anew, without the windows of this stream")
        return None

    def _certified(
        self, streams: Streams, stream: Stream, heads: Sequence[WindowSummary]
    ) -> list[WindowRow]:
        applied = self.records.windows(stream.id, heads[0].number, limit=4 * AHEAD)
        settled = []
        for head in heads:
            found = _find(applied, head.number, Verdict.VALID)
            row = self.store.window(stream.id, head.number) if found else None
            if found is None or row is None:
                continue
            position, claim = found
            if claim.header != row.header.hash:
                streams.stop(stream, f"the ledger has another window {head.number} of this stream")
                break
            self._certify(row, position, claim)
            settled.append(row)
        return settled

    def _certify(self, row: WindowRow, position: int, claim: WindowClaim) -> None:
        self.store.certify(row.stream, row.number, position)
        told = {"window": row.number, "position": position, "timestamp": claim.timestamp}
        self.events.tell(row.stream, "certified", **told)
        logger.info("window_certified", stream=to_hex(row.stream), number=row.number)

    def _refuted(
        self, streams: Streams, stream: Stream, head: WindowSummary
    ) -> list[WindowRow] | None:
        """The majority has found our proof invalid, or the window itself."""
        row = self.store.window(stream.id, head.number)
        if row is None or row.proof is None:
            return None
        digest = hashlib.sha256(row.proof).digest()
        if (head.number, digest) not in self.log.state.stream(stream.id).refuted:
            return None
        applied = self.records.windows(stream.id, head.number, limit=4 * AHEAD)
        found = _find(applied, head.number, Verdict.INVALID, digest)
        reason = found[1].reason if found else InvalidReason.STARK
        final = reason is not InvalidReason.STARK or row.proofs >= MOST_PROOFS
        self.store.refute(stream.id, head.number, final=final)
        self.events.tell(stream.id, "invalid", window=head.number, reason=str(reason))
        if final:
            streams.stop(stream, f"window {head.number} was found invalid ({reason})")
        return [row]


def _find(
    applied: Sequence[Applied[WindowClaim]],
    number: int,
    verdict: Verdict,
    proof: bytes | None = None,
) -> tuple[int, WindowClaim] | None:
    for each in applied:
        claim = each.claim
        if (claim.number, claim.verdict) == (number, verdict) and proof in {None, claim.proof}:
            return each.position, claim
    return None
