"""WindowVoter on windows: an operator verifies once what a stream names, and remembers what it found.

Nothing here signs. What was found becomes a signature in `Attester`, when a claim says the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

import structlog

from dragon.errors import AttestationRefused, Busy, DragonError
from dragon.log.store import Log
from dragon.net.blob_client import ObjectClient
from dragon.protocol.claims.window import Verdict, WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams.chunks import MAX_CHUNKS_BYTES, ChunkHeader, decode_chunks
from dragon.protocol.streams.finding import MAX_PROOF_BYTES, Finding, check_announced, judge
from dragon.protocol.streams.submission import Submission, WindowObjects
from dragon.protocol.streams.window import MAX_HEADER_BYTES, WindowHeader
from dragon.storage.blobs import DESCRIPTOR_NUMBER, ObjectStore
from dragon_operator.concurrency_limiter import ConcurrencyLimiter
from dragon_operator.rate_limiter import RateLimiter
from dragon_operator.verdict_store import VerdictStore, WindowVerdict

AT_ONCE: Final = 8  # windows that are looked at; more are `busy`
AT_ONCE_EACH: Final = 2  # of them of one stream
AHEAD: Final = 64  # windows of a stream behind the last that the log has
MOST_FOUND: Final = 256  # verdicts on windows of a stream that are not settled
TIDY_EVERY: Final = 5.0  # seconds

logger = structlog.stdlib.get_logger(__name__)

_LARGEST: Final = {"chunks": MAX_CHUNKS_BYTES, "proof": MAX_PROOF_BYTES}


@dataclass(frozen=True, slots=True)
class WindowVoter:
    """What an operator does with a window. All that it keeps is in its files."""

    committee: Committee
    log: Log
    objects: ObjectStore
    verdicts: VerdictStore
    admission: RateLimiter
    peers: ObjectClient
    wall: Callable[[], float]
    slots: ConcurrencyLimiter

    def look(self, submission: Submission) -> WindowVerdict | None:
        """The verdict on a window; None where only its header is known as yet.

        Raises AttestationRefused: there is no verdict, and the reason says why not.
        """
        self.admission.check_listed(submission.stream)
        if (found := self._recall(submission)) is not None:
            return found
        self._check_word(submission)  # first, so that nobody else takes the stream's slots
        with self.slots.hold(submission.stream.hex()):
            self._announce(submission)
            if submission.objects is None:
                return None
            return self._judge(submission, submission.objects)

    def check(self, claim: WindowClaim) -> int:
        """Whether a claim says what was found here, of a window that the log may take next.

        Returns how many windows of the stream the log has. Raises AttestationRefused.
        """
        windows = self.log.state.stream(claim.stream).windows
        if alarm := self.log.alarm():
            _refuse(RefusalReason.BEHIND, f"our log has stopped: {alarm.reason}")
        if claim.number < windows and claim.verdict is Verdict.VALID:
            _refuse(RefusalReason.NO_CHANGE, f"the log has {windows} windows of that stream")
        found = self.verdicts.recall(claim.stream, claim.number, claim.header, claim.proof)
        if found is None:
            _refuse(RefusalReason.BEHIND, "this operator has not looked at that window")
        if not found.is_claimed(claim):
            _refuse(RefusalReason.MALFORMED, f"we found it {found.verdict} ({found.reason})")
        self._check_link(claim.stream, claim.previous)
        return windows

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(TIDY_EVERY):
            self.tidy()

    def tidy(self) -> None:
        """What the log has is settled: its verdicts are history, its objects may go."""
        for stream in self.verdicts.streams():
            if windows := self.log.state.stream(stream).windows:
                self.verdicts.settle(stream, windows)
                self.objects.release(stream, windows - 2)  # the next one is held against the last

    def _recall(self, submission: Submission) -> WindowVerdict | None:
        """Asked again, it costs nothing: neither a check nor any of the stream's share."""
        header, named = submission.header, submission.objects
        if named is None:
            return None
        return self.verdicts.recall(header.stream, header.number, header.hash, named.proof)

    def _check_word(self, submission: Submission) -> None:
        """Whether all of it is the stream's own word, on a window that may be next."""
        header = submission.header
        windows = self.log.state.stream(header.stream).windows
        if not windows <= header.number < windows + AHEAD:
            reason = RefusalReason.NO_CHANGE if header.number < windows else RefusalReason.BEHIND
            _refuse(reason, f"the log has {windows} windows of that stream")
        check_announced(
            submission.descriptor,
            header,
            submission.header_signature,
            now_ms=round(1000 * self.wall()),
            committee_id=self.committee.id,
        )
        if submission.objects is not None and not submission.is_named():
            _refuse(RefusalReason.MALFORMED, "the stream itself does not name these objects")

    def _announce(self, submission: Submission) -> None:
        """Keep a header that its stream has signed, and the descriptor."""
        header = submission.header
        if not self.objects.missing(header.stream, [header.hash]):
            return
        self.admission.take(header.stream, header.hash)
        self._keep(header.stream, DESCRIPTOR_NUMBER, submission.descriptor.encode())
        self._keep(header.stream, header.number, header.encode())

    # Finding

    def _judge(self, submission: Submission, named: WindowObjects) -> WindowVerdict:
        header = submission.header
        previous = self._previous(header)
        self.admission.take(header.stream, named.root(self.committee.id))
        if self.verdicts.count(header.stream) >= MOST_FOUND:
            _refuse(RefusalReason.BUSY, f"{MOST_FOUND} verdicts on that stream are not settled")
        chunks = self._chunks(submission, named)
        proof = self._object(submission, named.proof, "proof")
        judgement = judge(
            submission.descriptor,
            header,
            submission.header_signature,
            chunks,
            proof,
            previous=previous,
            now_ms=round(1000 * self.wall()),
            committee_id=self.committee.id,
        )
        return self._remember(WindowVerdict.of(submission, named.proof, judgement), judgement)

    def _remember(self, found: WindowVerdict, judgement: Finding) -> WindowVerdict:
        self.verdicts.keep(found)
        logger.info(
            "window_judged",
            stream=found.stream.hex(),
            number=found.number,
            verdict=str(found.verdict),
            reason=str(found.reason),
            detail=judgement.detail,
        )
        return found

    def _previous(self, header: WindowHeader) -> WindowHeader | None:
        """The header that this one says it follows. Raises AttestationRefused: `behind`."""
        self._check_link(header.stream, header.previous)
        if header.previous == header.stream:
            return None
        raw = self.objects.get(header.previous)
        raw = raw or self.peers.fetch(header.previous, MAX_HEADER_BYTES)
        if raw is None:
            _refuse(RefusalReason.BEHIND, "nobody has the header of the window before")
        return WindowHeader.decode(raw)

    def _check_link(self, stream: bytes, previous: bytes) -> None:
        """Whether `previous` is the log's last window of the stream, or was found valid here and
        leads back to that. Votes on anything else could never be applied."""
        last = self.log.state.stream(stream).last
        expected = last.header if last else stream
        for _ in range(AHEAD):
            if previous == expected:
                return
            found = self.verdicts.valid(stream, previous)
            if found is None:
                break
            previous = found.previous
        _refuse(RefusalReason.BEHIND, "it follows a window that is not known to be valid here")

    def _chunks(self, submission: Submission, named: WindowObjects) -> tuple[ChunkHeader, ...]:
        raw = self._object(submission, named.chunks, "chunks")
        try:
            return decode_chunks(raw)
        except DragonError as error:
            _refuse(RefusalReason.MALFORMED, f"these are no chunk headers: {error}")

    def _object(self, submission: Submission, sha256: bytes, kind: str) -> bytes:
        """Raises AttestationRefused: `behind`, nobody of the committee has it."""
        if (known := self.objects.get(sha256)) is not None:
            return known
        fetched = self.peers.fetch(sha256, _LARGEST[kind])
        if fetched is None:
            _refuse(RefusalReason.BEHIND, f"nobody of the committee has the window's {kind}")
        self._keep(submission.stream, submission.number, fetched)
        return fetched

    def _keep(self, stream: bytes, number: int, body: bytes) -> None:
        try:
            self.objects.put(stream, number, body)
        except Busy as error:
            _refuse(RefusalReason.BUSY, str(error))


def _refuse(reason: RefusalReason, message: str) -> NoReturn:
    raise AttestationRefused(reason, message)
