"""Offline verification of stream reports: every window, its event, and that none is left out.

Only the committee file is needed, or the lineage of a network that has changed its committee. The
verifier computes the bounds of each window itself, from the descriptor and the signed headers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import NoReturn

from dragon import errors
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.lineage import Lineage
from dragon.protocol.streams.certified_window import (
    CertifiedLog,
    ReportReason,
    WindowChecks,
    check_stream,
)
from dragon.protocol.streams.chunks import tree_of
from dragon.protocol.streams.receipt import Proven
from dragon.protocol.streams.statements import verify_window_proof, window_statement
from dragon.protocol.streams.stream_report import (
    ReportedWindow,
    ReportHead,
    StreamReport,
    completed,
)
from dragon.protocol.streams.stream_summary import StreamSummary, Tally
from dragon.protocol.streams.window import (
    WindowHeader,
    chunks_fault,
    expected_previous,
    header_fault,
)
from dragon.protocol.streams.window_readings import (
    readings_chunks_fault,
    readings_header_fault,
)
from dragon.protocol.trust import Trust
from dragon.stark.reading_bounds import ReadingBounds


def verify_stream_report(
    report: StreamReport, known: Trust | Lineage | Committee, *, stream: bytes
) -> StreamSummary:
    """Verify a report, and return what it proves.

    Args:
        report: as `StreamReport.load` or `StreamReport.read` returns it.
        known: a verified lineage, or one committee; see `dragon.protocol.trust`.
        stream: the id of the stream that the report must be about, 32 bytes.

    Raises:
        StreamReportRefused: the first check that failed; `reason` names it, and the fact `window`
            the window.
        InvalidEncoding, InvalidStream, UnknownKind: a line does not have the form of its kind.
    """
    trust, head = Trust.of(known), report.head
    refused = errors.StreamReportRefused
    check_stream(head.descriptor, stream, trust, refused)
    log = CertifiedLog.of(head.mark, trust, refused)
    walk = _Walk(head, WindowChecks(head.descriptor, log, refused), before=head.previous)
    for each in report.windows:
        walk.take(each)
    return walk.end()


@dataclass(slots=True)
class _Walk:
    """The verification of a report's windows, one after the other."""

    head: ReportHead
    checks: WindowChecks
    before: WindowHeader | None  # header of the window before
    path: tuple[bytes, ...] = ()  # of the window before
    taken: int = 0
    tally: Tally | None = None  # None before the first window
    is_closed: bool = field(default=False)  # whether a window behind the period was met

    def take(self, line: ReportedWindow) -> None:
        """Verify the next window. Raises StreamReportRefused."""
        header = line.window.header
        self._check_place()
        self._check_order(header)
        is_behind = self._is_behind(header)
        path = self._path(line)
        claim = self.checks.check(line.window, path)
        bounds = self._bounds(header)
        if not is_behind:
            self._check_proof(line, claim)
            self.tally = self.tally or Tally(header, claim)
            self.tally.add(header, claim, bounds)
        self.taken, self.path, self.before, self.is_closed = self.taken + 1, path, header, is_behind

    def end(self) -> StreamSummary:
        """Return the summary. Raises StreamReportRefused (incomplete, period)."""
        head, tally = self.head, self.tally
        if self.taken < head.windows:
            message = f"the report ends after {self.taken} of {head.windows} windows"
            raise errors.StreamReportRefused(ReportReason.INCOMPLETE, message)
        if tally is None:
            message = "no window of the report has a chunk of the period"
            raise errors.StreamReportRefused(ReportReason.PERIOD, message)
        mark = head.mark.claim
        assert isinstance(mark, CheckpointClaim | HandoverClaim)  # noqa: S101 - verified above
        return StreamSummary(
            descriptor=head.descriptor,
            begin=head.begin,
            end=head.end,
            first=tally.first,
            last=tally.last,
            certified=(tally.first_claim.timestamp, tally.last_claim.timestamp),
            windows=tally.windows,
            chunks=tally.chunks,
            claimed=tally.claimed,
            readings=tally.readings,
            unclaimed=tuple(tally.unclaimed),
            sum=tally.sum,
            is_closed=self.is_closed,
            has_proofs=head.has_proofs,
            mark_time=mark.timestamp,
            committee=self.checks.log.committee,
        )

    def _check_place(self) -> None:
        """Check that another window may follow: one behind the period is the last one."""
        if self.is_closed or self.taken == self.head.windows:
            message = f"a window follows behind the last one, which is number {self.taken}"
            raise errors.StreamReportRefused(ReportReason.INCOMPLETE, message)

    def _check_order(self, header: WindowHeader) -> None:
        """Check that the window follows the one before, with its number, hash, chunks and times."""
        if header.previous != expected_previous(self.head.descriptor.id, self.before):
            _refuse(ReportReason.GAP, "it does not follow the window before it", header)
        if why := header_fault(header, self.before):
            _refuse(ReportReason.GAP, why, header)
        if why := readings_header_fault(self.head.descriptor.readings, header, self.before):
            _refuse(ReportReason.HEADER, why, header)

    def _is_behind(self, header: WindowHeader) -> bool:
        """Return whether the window is behind the period. Raises StreamReportRefused (period)."""
        begin_ms, end_ms = 1000 * self.head.begin, 1000 * self.head.end
        if header.last_received_ms < begin_ms:
            _refuse(ReportReason.PERIOD, "all of its chunks arrived before the period", header)
        if self.taken == 0 and self.before and self.before.last_received_ms >= begin_ms:
            message = "the window before it has a chunk of the period, and is missing"
            _refuse(ReportReason.PERIOD, message, header)
        return header.first_received_ms >= end_ms

    def _path(self, line: ReportedWindow) -> tuple[bytes, ...]:
        window, size = line.window, self.checks.log.size
        try:
            return completed(window, self.path, size)
        except (errors.InvalidProof, errors.NotFound) as error:
            message = f"the event is not entry {window.position} of the certified log: {error}"
            _refuse(ReportReason.INCLUSION, message, window.header)

    def _bounds(self, header: WindowHeader) -> ReadingBounds | None:
        try:
            statement = window_statement(self.head.descriptor, header, self.before)
        except errors.ProofRefused as error:
            _refuse(ReportReason.BOUNDS, str(error), header)
        return statement.bounds if statement else None

    def _check_proof(self, line: ReportedWindow, claim: WindowClaim) -> None:
        header, proven = line.window.header, line.proven
        if proven is None:
            if self.head.has_proofs:
                _refuse(ReportReason.NO_PROOF, "its chunk headers and proof are missing", header)
            return
        if hashlib.sha256(proven.proof).digest() != claim.proof:
            _refuse(ReportReason.OTHER_PROOF, "the operators voted on another proof", header)
        if tree_of(proven.chunks).root() != header.chunks_root:
            _refuse(ReportReason.CHUNKS, "the chunk headers do not have the signed root", header)
        readings, chunks = self.head.descriptor.readings, proven.chunks
        if why := chunks_fault(header, chunks) or readings_chunks_fault(readings, header, chunks):
            _refuse(ReportReason.CHUNKS, why, header)
        self._verify_proof(header, proven)

    def _verify_proof(self, header: WindowHeader, proven: Proven) -> None:
        descriptor = self.head.descriptor
        try:
            verify_window_proof(descriptor, header, self.before, proven.chunks, proven.proof)
        except errors.ProofRefused as error:
            message = f"the proof is not valid for the window: {error} ({error.reason})"
            _refuse(ReportReason.PROOF, message, header)


def _refuse(reason: ReportReason, message: str, header: WindowHeader) -> NoReturn:
    number = header.number
    raise errors.StreamReportRefused(reason, f"window {number}: {message}", window=number)
