"""Windows on their way to a certificate: announced, complete, voted on, certified.

The aggregator decides nothing. It stores what a stream's owner submits, requests every operator's
vote, and proposes the claim that a quorum would sign. Only objects and the outbox are on disk: an
owner submits again every window that is not in its log.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from typing import Final

import structlog

from dragon import errors
from dragon.log.known_streams import KnownStreams
from dragon.log.store import Log
from dragon.net.runtime import Runtime
from dragon.node.penalties import Penalties
from dragon.node.refutation_limit import AGGREGATOR_RATE, RefutationLimit
from dragon.protocol.committee import Committee, Seated
from dragon.protocol.streams.submission import Submission
from dragon.storage.blobs import DESCRIPTOR_NUMBER, ObjectStore
from dragon_aggregator.certifier import Certifier
from dragon_aggregator.clock_check import ClockCheck
from dragon_aggregator.decided_windows import DecidedWindows
from dragon_aggregator.outbox import Outbox
from dragon_aggregator.pending_windows import PendingWindows, Window
from dragon_aggregator.postponed_announcements import PostponedAnnouncements
from dragon_aggregator.vote_collector import VoteCollector
from dragon_aggregator.window_certifier import WindowCertifier

MAX_LOOKAHEAD: Final = 64  # windows of a stream from the next one in the log on
MAX_NEW_LOOKAHEAD: Final = 16  # windows of a new stream, from the first one on
MAX_CONCURRENT_STREAMS: Final = 8  # known streams whose windows are voted on at a time
MAX_CONCURRENT_NEW: Final = 2  # new streams whose windows are voted on at a time
POLL_SECONDS: Final = 0.25  # between two steps without a submission

logger = structlog.stdlib.get_logger(__name__)


class WindowQueue:
    """Accepts windows and moves them on. Runs the threads that have windows voted on."""

    def __init__(
        self,
        seated: Seated,
        *,
        certifier: Certifier,
        outbox: Outbox,
        log: Log,
        objects: ObjectStore,
        clock: ClockCheck,
        known_streams: KnownStreams,
        runtime: Runtime,
    ) -> None:
        self.objects = objects
        self.decided = DecidedWindows()
        self._seated = seated
        self._log = log
        self._known_streams = known_streams
        self._penalties = Penalties(known_streams.is_known, runtime.monotonic)
        self._windows = PendingWindows(
            known_streams.is_known,
            following=lambda stream: log.state.stream(stream).windows,
            is_penalized=lambda stream: self._penalties.left(stream) > 0,
            monotonic=runtime.monotonic,
        )
        self._vote_collector = VoteCollector(seated, runtime, known_streams.is_known, log.verified)
        self._window_certifier = WindowCertifier(
            seated,
            vote_collector=self._vote_collector,
            certifier=certifier,
            outbox=outbox,
            log=log,
            clock=clock,
            penalties=self._penalties,
            refutations=RefutationLimit(AGGREGATOR_RATE, known_streams.is_known, runtime.monotonic),
            runtime=runtime,
        )
        self._postponed = PostponedAnnouncements(self._vote_collector.announce, runtime.monotonic)
        self._submitted = threading.Event()
        self._workers = runtime.workers(MAX_CONCURRENT_STREAMS)
        self._new_workers = runtime.workers(MAX_CONCURRENT_NEW)
        self.counters = (self._vote_collector.answered,)  # for Prometheus

    @property
    def _committee(self) -> Committee:
        """The committee that holds now."""
        return self._seated.committee

    def pending(self) -> list[Window]:
        """Every window that is not in the log, by stream and then by number."""
        return self._windows.all()

    def streams(self) -> tuple[int, int]:
        """The number of known and of new streams with pending windows."""
        return self._windows.counts()

    # Submissions

    def submit(self, submission: Submission) -> Window:
        """Accept a window or its announcement, and return its state. May be repeated.

        Raises:
            NotListed: the aggregator accepts listed streams only.
            WrongCommittee, BadSignature: the stream did not sign the submission.
            Busy: too many streams, or too far ahead of the log.
            LogStopped: an alarm is raised.
        """
        if (known := self._known(submission)) is not None:
            return known
        if alarm := self._log.alarm():
            raise errors.LogStopped(alarm.detail, reason=alarm.reason)
        self._check(submission)
        if self._window_certifier.is_refuted(submission):  # must not block another proof
            return Window(submission, "invalid")
        window = Window(submission)
        self._update_missing(window)
        self._windows.add(window)
        is_known = self._known_streams.is_known(submission.stream)
        if is_known:
            self._store_header(submission)  # of a new stream, when its objects come
        if submission.objects is not None:
            self._postponed.cancel(submission)
        elif is_known:
            self._postponed.add(submission)
        else:
            self._vote_collector.announce(submission)
        self._submitted.set()
        return window

    def store(self, sha256: bytes, body: bytes) -> None:
        """Store an object that a submitted window names.

        Raises:
            NotFound: no window names it.
            WrongDigest: the body has another SHA-256.
            Busy: no room for the stream's objects.
        """
        naming = self._windows.naming(sha256)
        if not naming:
            raise errors.NotFound("no submitted window names this object")
        if hashlib.sha256(body).digest() != sha256:
            raise errors.WrongDigest("the body has another SHA-256 than the path names")
        self._store_for_each(naming, body)
        for window in naming:
            self._update_missing(window)
        self._submitted.set()

    def _store_for_each(self, naming: list[Window], body: bytes) -> None:
        """Store the object for every stream that names it.

        So a stream without room does not prevent another one from storing the same object, and an
        object does not disappear when one of its streams is evicted.
        """
        refusals: list[errors.Busy] = []
        for window in naming:
            submission = window.submission
            try:
                self._windows.admit_objects(submission.stream)
                self._store_header(submission)
                if self._put(window, body):
                    self._windows.note_stored(submission.stream)
            except errors.Busy as busy:
                refusals.append(busy)
        if len(refusals) == len(naming):
            raise refusals[0]

    def _put(self, window: Window, body: bytes) -> bool:
        """Store an object; the last one of a window writes the others to the disk as well."""
        submission = window.submission
        is_last = not set(window.missing) - {hashlib.sha256(body).digest()}
        put = self.objects.put if is_last else self.objects.put_later
        return put(submission.stream, submission.number, body)

    def _store_header(self, submission: Submission) -> None:
        stream, descriptor = submission.stream, submission.descriptor.encode()
        self.objects.put_later(stream, DESCRIPTOR_NUMBER, descriptor)
        self.objects.put_later(stream, submission.number, submission.header.encode())

    def _known(self, submission: Submission) -> Window | None:
        """The window that was submitted before with the same content, or is in the log."""
        stream, number = submission.stream, submission.number
        window = self._windows.get(stream, number)
        if window is not None and window.submission.header != submission.header:
            window = None
        if number < self._log.state.stream(stream).windows:
            before = window or self.decided.applied(submission.header.hash) or Window(submission)
            return replace(before, state="applied", missing=())
        if window is None:
            return None
        known = window.submission
        same = submission.objects is None or known.objects == submission.objects
        return window if same and known.descriptor == submission.descriptor else None

    def _check(self, submission: Submission) -> None:
        """Check cheap rules first. Nothing is stored unless the stream signed it."""
        self._known_streams.check_listed(submission.stream)
        if submission.descriptor.network_id != self._committee.network_id:
            raise errors.WrongCommittee("the stream belongs to another network")
        windows = self._log.state.stream(submission.stream).windows
        is_known = self._known_streams.is_known(submission.stream)
        if submission.number >= windows + (MAX_LOOKAHEAD if is_known else MAX_NEW_LOOKAHEAD):
            message = f"window {submission.number} is too far ahead: the log has {windows} windows"
            raise errors.Busy(message)
        if submission.objects is not None:
            self._windows.check_room(submission.stream)  # cheaper than the signatures
        if not submission.is_header_signed():
            raise errors.BadSignature("the header is not signed by its stream")
        if submission.objects is not None and not submission.are_objects_signed():
            raise errors.BadSignature("the object hashes are not signed by the stream")

    def _update_missing(self, window: Window) -> None:
        window.missing = self._missing(window.submission)
        if (objects := window.submission.objects) is not None:
            window.state = "incomplete" if window.missing else "voting"
            if window.proof_bytes is None and objects.proof not in window.missing:
                window.proof_bytes = self.objects.length(objects.proof)

    def _missing(self, submission: Submission) -> tuple[bytes, ...]:
        """The named objects that are not stored. If there are none, all are on disk."""
        stream, named = submission.stream, submission.object_kinds()
        if missing := self.objects.missing(stream, named):
            return tuple(missing)
        # Two uploads at the same time: neither was the last one, so both objects wait in memory.
        self.objects.write_waiting(*named)
        return tuple(self.objects.missing(stream, named))

    # Certification

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._submitted.wait(POLL_SECONDS)
            self._submitted.clear()
            self.step()

    def step(self) -> None:
        """Drop windows that are in the log, and begin work on every stream without a thread.

        Passes on announcements if the objects of the window have not followed.
        """
        self._postponed.send_due()
        state = self._log.state
        dropped = self._windows.drop_applied(state)
        for window in dropped:
            window.state = "applied"
            self.decided.add(window)
        for stream in {window.submission.stream for window in dropped}:
            self.objects.release(stream, state.stream(stream).windows - 2)
        for stream in self._windows.begin(known=True, most=MAX_CONCURRENT_STREAMS):
            self._workers.submit(self._advance, stream)
        for stream in self._windows.begin(known=False, most=MAX_CONCURRENT_NEW):
            self._new_workers.submit(self._advance, stream)

    def close(self) -> None:
        for workers in (self._workers, self._new_workers):
            workers.shutdown(wait=False, cancel_futures=True)
        self._vote_collector.close()

    def _advance(self, stream: bytes) -> None:
        try:
            if self._penalties.left(stream):
                return
            following = self._log.state.stream(stream).windows
            for window in self._windows.in_order(stream, following):
                if not self._certify(window):
                    return
        except Exception:
            logger.exception("windows_failed", stream=stream.hex())
        finally:
            self._windows.finish(stream)

    def _certify(self, window: Window) -> bool:
        """Whether the window is certified as valid, so that the next one can be voted on."""
        if not self._window_certifier.is_decided(window):
            if window.missing or window.state == "waiting":
                self._update_missing(window)  # objects may have been stored or evicted since
            if window.submission.objects is None or window.missing:
                return False
            if self._window_certifier.certify(window):
                return True
            if not self._window_certifier.is_decided(window):
                return False
        if window.state == "invalid":
            self.decided.add(window)  # now: its owner may replace it with another proof
        return window.state == "certified"
