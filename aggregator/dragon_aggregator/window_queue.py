"""WindowQueue on their way to a certificate: announced, complete, voted on, certified.

The aggregator decides nothing here either. It keeps what a stream's owner submits, asks every
operator what it finds, and proposes the claim that a quorum would sign. Only objects and the outbox
are on disk: an owner submits again whatever its log does not show.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import structlog

from dragon import errors
from dragon.encoding import to_hex
from dragon.log.store import Log
from dragon.net.runtime import Runtime
from dragon.protocol.claims.base import ordering_key
from dragon.protocol.claims.window import MAX_REFUTED, InvalidReason, Verdict, WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.streams.finding import Finding
from dragon.protocol.streams.submission import Submission
from dragon.storage.blobs import DESCRIPTOR_NUMBER, ObjectStore
from dragon_aggregator.certifier import AttestationRound, Certifier
from dragon_aggregator.outbox import Outbox
from dragon_aggregator.vote_collector import VoteCollector, Votes

MOST_STREAMS: Final = 64
AHEAD: Final = 64  # windows of a stream behind the last that the log has
KEPT_APPLIED: Final = 1024  # windows whose votes are remembered when the log has them
AT_ONCE: Final = 8  # streams whose windows are voted on
IDLE: Final = 600.0  # seconds after which a stream that nobody submits to makes room for another
RETRY: Final = 1.0  # seconds after a vote that came to nothing
PAUSE: Final = 0.25

logger = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class Window:
    """One window of a stream. Its votes are the last answers of each operator, for people."""

    submission: Submission
    state: str = "announced"  # or incomplete, voting, waiting, certified, invalid, applied
    missing: tuple[bytes, ...] = ()
    votes: Votes = field(default_factory=dict)
    tried_at: float = float("-inf")
    asked_at: float = float("-inf")  # when its owner, or anybody, last submitted it


class WindowQueue:
    """The windows of every stream that the log does not have yet. Owns the threads that vote."""

    def __init__(
        self,
        committee: Committee,
        *,
        certifier: Certifier,
        outbox: Outbox,
        log: Log,
        objects: ObjectStore,
        runtime: Runtime,
    ) -> None:
        self.objects = objects
        self._committee = committee
        self._certifier = certifier
        self._outbox = outbox
        self._log = log
        self._runtime = runtime
        self._lock = threading.Lock()  # guards the next three lines
        self._streams: dict[bytes, dict[int, Window]] = {}
        self._at_work: set[bytes] = set()
        self._applied: OrderedDict[bytes, Window] = OrderedDict()  # the newest, by header
        self._news = threading.Event()
        self._advancing = runtime.workers(AT_ONCE)
        self._ballots = VoteCollector(committee, runtime)
        self.counters = (self._ballots.answered,)  # for Prometheus

    # What owners submit

    def submit(self, submission: Submission) -> Window:
        """Take a window, or its announcement; what has become of it. Doing it again is no error.

        Raises:
            WrongCommittee, BadSignature: it is not the stream's word.
            Busy: too many streams, or too far ahead of the log.
            LogStopped: an alarm stands.
        """
        if (known := self._known(submission)) is not None:
            known.asked_at = self._runtime.monotonic()
            return known
        if alarm := self._log.alarm():
            raise errors.LogStopped(alarm.detail, reason=alarm.reason)
        self._check(submission)
        if self._is_refuted(submission):  # and must not stand in the way of another proof
            return Window(submission, "invalid")
        self.objects.put(submission.stream, DESCRIPTOR_NUMBER, submission.descriptor.encode())
        self.objects.put(submission.stream, submission.number, submission.header.encode())
        window = self._place(submission)
        if submission.objects is None:
            self._ballots.announce(submission)
        self._news.set()
        return window

    def store(self, sha256: bytes, body: bytes) -> None:
        """Keep an object that a submitted window names.

        Raises NotFound: none does. WrongDigest: it is another. Busy: no room for that stream.
        """
        naming = [each for each in self.waiting() if sha256 in each.submission.named()]
        if not naming:
            raise errors.NotFound("no window that was submitted names that object")
        if hashlib.sha256(body).digest() != sha256:
            raise errors.WrongDigest("the body has another SHA-256")
        self._keep_for_each(naming, body)
        for window in naming:
            self._look_for_objects(window)
        self._news.set()

    def _keep_for_each(self, naming: list[Window], body: bytes) -> None:
        """Anybody's stream may name what another one has made, and must neither keep it out by
        having no room, nor take it along when it goes."""
        refusals: list[errors.Busy] = []
        for window in naming:
            submission = window.submission
            try:
                self.objects.put(submission.stream, submission.number, body)
            except errors.Busy as busy:
                refusals.append(busy)
        if len(refusals) == len(naming):
            raise refusals[0]

    def waiting(self) -> list[Window]:
        """Every window that the log does not have yet: stream after stream, each by number."""
        with self._lock:
            return [
                windows[number] for windows in self._streams.values() for number in sorted(windows)
            ]

    def _known(self, submission: Submission) -> Window | None:
        stream, number = submission.stream, submission.number
        with self._lock:
            window = self._streams.get(stream, {}).get(number)
            applied = self._applied.get(submission.header.hash)
        if window is not None and window.submission.header != submission.header:
            window = None
        if number < self._log.state.stream(stream).windows:
            votes = (window or applied or Window(submission)).votes
            return Window(submission, "applied", votes=votes)
        if window is None:
            return None
        known = window.submission
        same = submission.objects is None or known.objects == submission.objects
        return window if same and known.descriptor == submission.descriptor else None

    def _check(self, submission: Submission) -> None:
        """Cheap before dear; nothing is kept of what is not the stream's word."""
        if submission.descriptor.committee_id != self._committee.id:
            raise errors.WrongCommittee("the stream belongs to another committee")
        windows = self._log.state.stream(submission.stream).windows
        if submission.number >= windows + AHEAD:
            raise errors.Busy(f"the log has {windows} windows of that stream as yet")
        self._make_room(submission.stream)
        if not submission.is_announced():
            raise errors.BadSignature("the header does not bear its stream's signature")
        if submission.objects is not None and not submission.is_named():
            raise errors.BadSignature("the stream itself does not name these objects")

    def _make_room(self, stream: bytes) -> None:
        """A stream of which nobody has spoken for long goes. Its owner submits again."""
        now = self._runtime.monotonic()
        with self._lock:
            if stream in self._streams or len(self._streams) < MOST_STREAMS:
                return
            self._streams = {
                each: windows
                for each, windows in self._streams.items()
                if any(now - window.asked_at < IDLE for window in windows.values())
            }
            if len(self._streams) >= MOST_STREAMS:
                raise errors.Busy(f"{MOST_STREAMS} streams have windows here already")

    def _place(self, submission: Submission) -> Window:
        window = Window(submission, asked_at=self._runtime.monotonic())
        self._look_for_objects(window)
        with self._lock:
            self._streams.setdefault(submission.stream, {})[submission.number] = window
        return window

    def _look_for_objects(self, window: Window) -> None:
        named = window.submission.named()
        window.missing = tuple(self.objects.missing(window.submission.stream, named))
        if window.submission.objects is not None:
            window.state = "incomplete" if window.missing else "voting"

    # From a window to a certificate

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._news.wait(PAUSE)
            self._news.clear()
            self.step()

    def step(self) -> None:
        """Begin whatever can be done for each stream that nobody is at work on."""
        self._settle()
        with self._lock:
            idle = [stream for stream in self._streams if stream not in self._at_work]
            self._at_work.update(idle)
        for stream in idle:
            self._advancing.submit(self._advance, stream)

    def _settle(self) -> None:
        """What the log has needs nothing more here."""
        state = self._log.state
        with self._lock:
            streams = {
                stream: {n: w for n, w in windows.items() if n >= state.stream(stream).windows}
                for stream, windows in self._streams.items()
            }
            settled = [s for s, left in streams.items() if len(left) < len(self._streams[s])]
            for stream in settled:
                for number in self._streams[stream].keys() - streams[stream].keys():
                    self._remember(self._streams[stream][number])
            self._streams = {stream: left for stream, left in streams.items() if left}
        for stream in settled:
            self.objects.release(stream, state.stream(stream).windows - 2)

    def _remember(self, window: Window) -> None:
        """For whoever asks afterwards what the operators said."""
        window.state = "applied"
        self._applied[window.submission.header.hash] = window
        while len(self._applied) > KEPT_APPLIED:
            self._applied.popitem(last=False)

    def _advance(self, stream: bytes) -> None:
        try:
            for window in self._in_order(stream):
                if not self._certify(window):
                    return
        except Exception:
            logger.exception("windows_failed", stream=stream.hex())
        finally:
            with self._lock:
                self._at_work.discard(stream)

    def _in_order(self, stream: bytes) -> Iterator[Window]:
        number = self._log.state.stream(stream).windows
        while True:
            with self._lock:
                window = self._streams.get(stream, {}).get(number)
            if window is None:
                return
            yield window
            number += 1

    def _certify(self, window: Window) -> bool:
        """Whether the window is certified as valid, so that the next one can be voted on."""
        if self._is_under_way(window):
            return window.state == "certified"
        if window.missing or window.state == "waiting":
            self._look_for_objects(window)  # others may have brought them, or displaced them
        if window.submission.objects is None or window.missing:
            return False
        now = self._runtime.monotonic()
        if now < window.tried_at + RETRY:
            return False
        window.tried_at = now
        window.votes = self._ballots.empty()
        reason = self._ballots.collect(window.submission, window.votes)
        if reason not in (None, InvalidReason.NONE) and self._has_enough_refuted(window):
            window.state = "invalid"
            return False
        certified = reason is not None and self._gather(window, reason)
        if not certified:
            window.state = "waiting"
        return certified and reason is InvalidReason.NONE

    def _is_under_way(self, window: Window) -> bool:
        """Whether the outbox has it, or the log has refuted this very proof."""
        submission, objects = window.submission, window.submission.objects
        for claim in self._outbox.claims(f"@{to_hex(submission.stream)}"):
            if isinstance(claim, WindowClaim) and claim.header == submission.header.hash:
                valid = claim.verdict is Verdict.VALID
                if valid or (objects and claim.proof == objects.proof):
                    window.state = "certified" if valid else "invalid"
                    return True
        if self._is_refuted(submission):
            window.state = "invalid"
            return True
        return False

    def _is_refuted(self, submission: Submission) -> bool:
        """Whether the log has refuted this very proof."""
        refuted = self._log.state.stream(submission.stream).refuted
        objects = submission.objects
        return objects is not None and (submission.number, objects.proof) in refuted

    def _has_enough_refuted(self, window: Window) -> bool:
        """Whether the log takes no more of it: another certificate would be sent for nothing."""
        return len(self._log.state.stream(window.submission.stream).refuted) >= MAX_REFUTED

    def _gather(self, window: Window, reason: InvalidReason) -> bool:
        """Have the claim signed in this round; the certificate goes into the outbox."""
        submission, objects = window.submission, window.submission.objects
        if objects is None:
            return False
        rounds, runtime = self._committee.rounds, self._runtime
        timestamp = rounds.start(rounds.number(runtime.wall()))
        claim = Finding(reason).claim(
            submission.descriptor, submission.header, objects.proof, timestamp
        )
        gathering = self._certifier.collect(claim, runtime.monotonic() + rounds.gather_deadline)
        self._note(window, gathering)
        if gathering.certificate is None:
            return False
        self._outbox.add(gathering.certificate, not_before=0.0)
        window.state = "certified" if reason is InvalidReason.NONE else "invalid"
        logger.info(
            "certificate_assembled", claim=claim.to_json(), ordering_key=ordering_key(claim)
        )
        return True

    def _note(self, window: Window, gathering: AttestationRound) -> None:
        """A refusal to sign is what counts of an operator that would have."""
        for operator, answer in dict(gathering.answers).items():  # late ones still arrive
            if answer.outcome != "signed":
                said, _ = window.votes[operator]
                window.votes[operator] = answer.outcome, f"it said {said} before"

    def close(self) -> None:
        self._advancing.shutdown(wait=False, cancel_futures=True)
        self._ballots.close()
