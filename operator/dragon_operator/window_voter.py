"""Voting on windows: an operator verifies what a stream submits, and stores the verdict.

Nothing is signed here. `Attester` signs a claim if it states the stored verdict.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn, Self

import structlog

from dragon.errors import AttestationRefused, Busy, NotListed
from dragon.log.known_streams import KnownStreams
from dragon.log.store import Log
from dragon.net.blob_client import ObjectClient, Wanted
from dragon.node.refutation_limit import RefutationLimit
from dragon.protocol.claims.window import Verdict, WindowClaim
from dragon.protocol.committee import Committee, Seated
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams.chunks import MAX_CHUNKS_BYTES
from dragon.protocol.streams.finding import MAX_PROOF_BYTES, check_announced
from dragon.protocol.streams.submission import Submission, WindowObjects
from dragon.protocol.streams.window import MAX_HEADER_BYTES, WindowHeader
from dragon.storage.blobs import DESCRIPTOR_NUMBER, ObjectStore
from dragon_operator.concurrency_limiter import ConcurrencyLimiter
from dragon_operator.rate_limiter import RateLimiter
from dragon_operator.verdict_store import VerdictStore, WindowVerdict
from dragon_operator.verification_scheduler import VerificationScheduler
from dragon_operator.window_case import WindowCase
from dragon_operator.window_journal import WindowJournal
from dragon_operator.window_verifier import WindowVerifier

MAX_CONCURRENT_FETCHES: Final = 16  # windows of known streams whose objects are being fetched
MAX_CONCURRENT_NEW_FETCHES: Final = 4  # windows of new streams whose objects are being fetched
MAX_CONCURRENT_FETCHES_PER_STREAM: Final = 2
MAX_LOOKAHEAD: Final = 64  # windows of a stream from the next one in the log on
MAX_PENDING_VERDICTS: Final = 256  # stored verdicts on windows of one stream
MAX_NEW_VERDICTS: Final = 4096  # stored verdicts on windows of all new streams
TIDY_INTERVAL_SECONDS: Final = 5.0  # between two deletions of what the log has

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Limits of concurrent fetches, separate for known and new streams."""

    known: ConcurrencyLimiter
    new: ConcurrencyLimiter

    @classmethod
    def create(cls) -> Self:
        most, per_stream = MAX_CONCURRENT_FETCHES, MAX_CONCURRENT_FETCHES_PER_STREAM
        return cls(
            ConcurrencyLimiter(most, per_stream),
            ConcurrencyLimiter(MAX_CONCURRENT_NEW_FETCHES, per_stream),
        )


@dataclass(frozen=True, slots=True)
class WindowVoter:
    """Verifies windows of streams. All its state is in the database and the object store."""

    seated: Seated
    log: Log
    objects: ObjectStore
    verdicts: VerdictStore
    decisions: WindowJournal
    rate_limiter: RateLimiter
    peers: ObjectClient
    wall: Callable[[], float]
    known_streams: KnownStreams
    fetches: FetchLimits
    verifications: VerificationScheduler
    refutations: RefutationLimit
    verifier: WindowVerifier

    @property
    def committee(self) -> Committee:
        """The committee that holds now."""
        return self.seated.committee

    def vote(self, submission: Submission) -> WindowVerdict | None:
        """Return the verdict on a window; None if only its header was submitted.

        Raises AttestationRefused: the window cannot be judged now; `reason` says why.
        """
        self._check_listed(submission.stream)
        if (known := self._recall(submission)) is not None:
            return known
        is_new = not self.known_streams.is_known(submission.stream)
        if is_new and submission.objects is not None:
            self.verifications.check(submission.stream)  # cheaper than the signatures
        # Before anything is charged: only messages signed by the stream may use its limits.
        self._check_signed(submission)
        if submission.objects is None:
            self._announce(submission)
            return None
        self.verifications.check(submission.stream)
        return self._judge(submission, submission.objects)

    def check_claim(self, claim: WindowClaim) -> int:
        """Check that a claim states our stored verdict and that the log can apply it next.

        Returns the number of windows of the stream in the log. Raises AttestationRefused.
        """
        windows = self._windows(claim.stream)
        if alarm := self.log.alarm():
            _refuse(RefusalReason.BEHIND, f"our log has stopped: {alarm.reason}")
        if claim.number < windows and claim.verdict is Verdict.VALID:
            _refuse(RefusalReason.NO_CHANGE, _in_log(claim.number, windows))
        verdict = self.verdicts.recall(claim.stream, claim.number, claim.header, claim.proof)
        if verdict is None:
            _refuse(RefusalReason.BEHIND, "this operator has not verified that window and proof")
        if not verdict.is_claimed(claim):
            _refuse(RefusalReason.MALFORMED, f"our finding differs: {verdict.summary}")
        self._check_predecessor(claim.stream, claim.previous)
        return windows

    def may_sign_with_vote(self, stream: bytes, verdict: WindowVerdict) -> bool:
        """Whether a verdict may be signed before the aggregator asks for it.

        Not an invalid one of a new stream: it would be charged to `refutations` whether or not the
        aggregator's own limit, which is lower, lets it be certified.
        """
        return verdict.finding.is_valid or self.known_streams.is_known(stream)

    def check_refutation(self, claim: WindowClaim) -> None:
        """Refuse to sign too many invalid windows of new streams.

        Raises AttestationRefused: `busy`.
        """
        if claim.verdict is Verdict.VALID:
            return
        if not self.refutations.admits(claim.stream, claim.number, claim.proof):
            message = "too many invalid windows of streams without a certified window were signed"
            _refuse(RefusalReason.BUSY, message)

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(TIDY_INTERVAL_SECONDS):
            self.tidy()

    def tidy(self) -> None:
        """Delete verdicts and release objects of windows that are in the log.

        Of new streams, whose windows may never get there, a bounded number is kept.
        """
        self.decisions.prune(self.known_streams.is_known, self._windows)
        streams = self.verdicts.streams()
        new = [stream for stream in streams if not self.known_streams.is_known(stream)]
        self.verdicts.bound(new, MAX_NEW_VERDICTS)
        for stream in streams:
            if windows := self._windows(stream):
                self.verdicts.forget(stream, windows)
                self.objects.release(stream, windows - 2)  # the last header verifies the next

    def _windows(self, stream: bytes) -> int:
        """The number of windows of a stream in the log."""
        return self.log.state.stream(stream).windows

    def _check_listed(self, stream: bytes) -> None:
        try:
            self.known_streams.check_listed(stream)
        except NotListed as error:
            _refuse(RefusalReason.BUSY, str(error))

    def _recall(self, submission: Submission) -> WindowVerdict | None:
        """The stored verdict, if any. Costs no verification and none of the stream's tokens."""
        header, named = submission.header, submission.objects
        if named is None:
            return None
        return self.verdicts.recall(header.stream, header.number, header.hash, named.proof)

    def _check_signed(self, submission: Submission) -> None:
        """Check that the stream signed the whole submission and that its number is in range."""
        header = submission.header
        windows = self._windows(header.stream)
        if header.number < windows:
            _refuse(RefusalReason.NO_CHANGE, _in_log(header.number, windows))
        if header.number >= windows + MAX_LOOKAHEAD:
            message = f"window {header.number} is too far ahead: the log has {windows} windows"
            _refuse(RefusalReason.BEHIND, message)
        check_announced(
            submission.descriptor,
            header,
            submission.header_signature,
            now_ms=round(1000 * self.wall()),
            network_id=self.committee.network_id,
        )
        if submission.objects is not None and not submission.are_objects_signed():
            _refuse(RefusalReason.MALFORMED, "the stream did not sign these object hashes")

    def _announce(self, submission: Submission) -> None:
        header = submission.header
        if self.objects.missing(header.stream, [header.hash]):
            self.rate_limiter.announce(header.stream, header.hash)
            self._store_header(submission)

    def _store_header(self, submission: Submission) -> None:
        """Store descriptor and header. They are on disk before there is a verdict."""
        header = submission.header
        self._store_later(header.stream, DESCRIPTOR_NUMBER, submission.descriptor.encode())
        self._store_later(header.stream, header.number, header.encode())

    # Verdict

    def _judge(self, submission: Submission, named: WindowObjects) -> WindowVerdict:
        header = submission.header
        is_announced = not self.objects.missing(header.stream, [header.hash])
        if not is_announced:
            self.rate_limiter.take(header.stream, header.hash)
        is_known = self.known_streams.is_known(header.stream)
        fetches = self.fetches.known if is_known else self.fetches.new
        with fetches.hold(header.stream.hex()):
            previous = self._previous(header)
            self.rate_limiter.take(header.stream, named.root(self.committee.network_id))
            self._check_pending(header.stream)
            raw_chunks, proof = self._objects(submission, named)
        if not is_announced:  # not before: a window without objects costs us no write
            self._store_header(submission)
        self.objects.write_waiting(header.hash)
        case = WindowCase(
            submission.descriptor,
            header,
            submission.header_signature,
            raw_chunks,
            proof,
            previous=previous,
            now_ms=round(1000 * self.wall()),
            network_id=self.committee.network_id,
        )
        with self.verifications.turn(header.stream) as charge:
            finding = self.verifier.judge(case, charge)
        self.verifications.note(header.stream, valid=finding.is_valid)
        return self._keep(WindowVerdict.of(submission, named.proof, finding))

    def _check_pending(self, stream: bytes) -> None:
        if self.verdicts.count(stream) >= MAX_PENDING_VERDICTS:
            message = f"{MAX_PENDING_VERDICTS} verdicts on this stream are pending, the maximum"
            _refuse(RefusalReason.BUSY, message)

    def _keep(self, verdict: WindowVerdict) -> WindowVerdict:
        self.verdicts.keep(verdict)
        logger.info(
            "window_judged",
            stream=verdict.stream.hex(),
            number=verdict.number,
            verdict=str(verdict.finding.verdict),
            reason=str(verdict.finding.reason),
            statement=verdict.statement and str(verdict.statement),
            detail=verdict.finding.detail,
        )
        return verdict

    def _previous(self, header: WindowHeader) -> WindowHeader | None:
        """The header of the window before; None for the first. Raises AttestationRefused."""
        self._check_predecessor(header.stream, header.previous)
        if header.previous == header.stream:
            return None
        raw = self.objects.get(header.previous)
        raw = raw or self.peers.fetch(header.previous, MAX_HEADER_BYTES)
        if raw is None:
            _refuse(RefusalReason.BEHIND, "no service has the header of the previous window")
        return WindowHeader.decode(raw)

    def _check_predecessor(self, stream: bytes, previous: bytes) -> None:
        """Check that a chain of windows, valid to us, leads from `previous` to the log's last one.

        The log could never apply a window that continues from anything else.
        """
        last = self.log.state.stream(stream).last
        expected = last.header if last else stream
        for _ in range(MAX_LOOKAHEAD):
            if previous == expected:
                return
            verdict = self.verdicts.valid(stream, previous)
            if verdict is None:
                break
            previous = verdict.previous
        _refuse(RefusalReason.BEHIND, "this operator has not found the previous window valid")

    def _objects(self, submission: Submission, named: WindowObjects) -> tuple[bytes, bytes]:
        """The chunk headers and the proof, from our store or another service.

        Those that were fetched are stored in one transaction, also if the other one is missing.
        Raises AttestationRefused: `behind`, `busy`.
        """
        wanted = (
            Wanted(named.chunks, MAX_CHUNKS_BYTES),
            Wanted(named.proof, MAX_PROOF_BYTES),
        )
        chunks, proof = (self.objects.get(each.sha256) for each in wanted)
        fetched: tuple[bytes | None, bytes | None] = None, None
        if chunks is None and proof is None:
            fetched = self.peers.fetch_both(*wanted)
        elif chunks is None:
            fetched = self.peers.fetch(*wanted[0]), None
        elif proof is None:
            fetched = None, self.peers.fetch(*wanted[1])
        if bodies := [body for body in fetched if body is not None]:
            if len(bodies) == len(wanted):
                self._store_header(submission)  # written together with them
            self._store(submission.stream, submission.number, *bodies)
        return (
            _present(chunks, fetched[0], "chunk headers"),
            _present(proof, fetched[1], "proof"),
        )

    def _store(self, stream: bytes, number: int, *bodies: bytes) -> None:
        try:
            self.objects.put(stream, number, *bodies)
        except Busy as error:
            _refuse(RefusalReason.BUSY, str(error))

    def _store_later(self, stream: bytes, number: int, body: bytes) -> None:
        """Store an object with the next ones: after a crash, the header comes again."""
        try:
            self.objects.put_later(stream, number, body)
        except Busy as error:
            _refuse(RefusalReason.BUSY, str(error))


def _present(stored: bytes | None, fetched: bytes | None, kind: str) -> bytes:
    """The object. Raises AttestationRefused: `behind`."""
    body = stored if stored is not None else fetched
    if body is None:
        _refuse(RefusalReason.BEHIND, f"no aggregator or operator has the window's {kind}")
    return body


def _in_log(number: int, windows: int) -> str:
    return f"window {number} is already in the log, which has {windows} windows of this stream"


def _refuse(reason: RefusalReason, message: str) -> NoReturn:
    raise AttestationRefused(reason, message)
