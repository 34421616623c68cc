"""Windows of streams that are submitted but not yet in the log.

Known streams and new ones (`KnownStreams`) have separate places, so new streams, which anyone can
make, take none of the others. A new stream has a place only with its objects.

Only windows that get into the log keep a place. Nothing that a stream can do alone does: neither
repetitions, nor more windows, nor other objects. If places are wanted, those streams lose theirs at
once whose next window is not complete, or was found invalid.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from dragon import errors
from dragon.protocol.state import State
from dragon.protocol.streams.submission import Submission
from dragon_aggregator.vote_collector import Votes

MAX_KNOWN_STREAMS: Final = 64  # known streams with pending windows; beyond, `busy`
MAX_NEW_STREAMS: Final = 16  # new streams with stored objects; beyond, `busy`
MAX_NEW_WITHOUT_OBJECTS: Final = 256  # beyond, the oldest is replaced
IDLE_SECONDS: Final = 600.0  # after which a known stream can be replaced, since its last window
NEW_IDLE_SECONDS: Final = 60.0  # after which a new stream can be replaced
UPLOAD_SECONDS: Final = 5.0  # that a new stream has to upload each of its objects
RETRY_AFTER_SECONDS: Final = 5  # that a stream without a place should wait


_NO_PLACE: Final = f"{MAX_NEW_STREAMS} streams without a certified window have pending windows"


@dataclass(slots=True)
class Window:
    """One window of a stream. Its votes are each operator's last answer, for display only."""

    submission: Submission
    state: str = "announced"  # or incomplete, voting, waiting, certified, invalid, applied
    missing: tuple[bytes, ...] = ()  # SHA-256 of objects that are not stored yet
    votes: Votes = field(default_factory=dict)
    proof_bytes: int | None = None  # size of its proof, if that is stored
    tried_at: float = float("-inf")  # of the last vote, monotonic seconds

    @property
    def is_complete(self) -> bool:
        """Whether its objects are stored and it can still become certified."""
        return self.submission.objects is not None and not self.missing and self.state != "invalid"


@dataclass(slots=True)
class _Stream:
    """The pending windows of one stream."""

    since: float  # when it got its place, or the log its last window; monotonic seconds
    stored_at: float  # when its last object was stored; monotonic seconds
    begun_at: float = float("-inf")  # when a thread last began to work on it, monotonic seconds
    has_objects: bool = False
    windows: dict[int, Window] = field(default_factory=dict)


class PendingWindows:
    """Pending windows by stream and number, in memory: owners submit again after a restart."""

    def __init__(
        self,
        is_known: Callable[[bytes], bool],
        *,
        following: Callable[[bytes], int],
        is_penalized: Callable[[bytes], bool],
        monotonic: Callable[[], float],
    ) -> None:
        """Create an empty table.

        Args:
            is_known: whether a stream is known, by its id.
            following: returns the number of the stream's next window in the log.
            is_penalized: whether the stream has to wait because of an invalid window.
            monotonic: returns seconds.
        """
        self._is_known = is_known
        self._following = following
        self._is_penalized = is_penalized
        self._monotonic = monotonic
        self._lock = threading.Lock()  # guards the next two lines
        self._streams: dict[bytes, _Stream] = {}
        self._in_progress: set[bytes] = set()  # streams that a thread is working on

    def all(self) -> list[Window]:
        """Every window, by stream and then by number."""
        with self._lock:
            return [
                stream.windows[number]
                for stream in self._streams.values()
                for number in sorted(stream.windows)
            ]

    def naming(self, sha256: bytes) -> list[Window]:
        """Every window that names an object."""
        return [each for each in self.all() if sha256 in each.submission.object_kinds()]

    def get(self, stream: bytes, number: int) -> Window | None:
        with self._lock:
            found = self._streams.get(stream)
            return found.windows.get(number) if found else None

    def add(self, window: Window) -> None:
        """Add a window, which replaces another one with that number. Call it only when signed.

        Raises Busy: no place for its stream.
        """
        stream, number = window.submission.stream, window.submission.number
        with self._lock:
            if stream not in self._streams:
                self._make_room(stream)
                self._streams[stream] = _Stream(self._monotonic(), self._monotonic())
            self._streams[stream].windows[number] = window

    def admit_objects(self, stream: bytes) -> None:
        """Take a place for the objects of a new stream. Raises Busy: there is none."""
        with self._lock:
            found = self._streams.get(stream)
            if found is None or found.has_objects or self._is_known(stream):
                return
            if self._count_with_objects() >= MAX_NEW_STREAMS:
                self._replace_oldest(self._replaceable(), _NO_PLACE)
            found.has_objects = True
            found.since = found.stored_at = self._monotonic()

    def check_room(self, stream: bytes) -> None:
        """Check that the stream could have a place for objects. Raises Busy: it could not."""
        with self._lock:
            found = self._streams.get(stream)
            if self._is_known(stream) or (found and found.has_objects):
                return
            if self._count_with_objects() >= MAX_NEW_STREAMS and not self._replaceable():
                raise _busy(_NO_PLACE)

    def note_stored(self, stream: bytes) -> None:
        """Note that an object of the stream was stored."""
        with self._lock:
            if found := self._streams.get(stream):
                found.stored_at = self._monotonic()

    def counts(self) -> tuple[int, int]:
        """The number of known and of new streams with pending windows."""
        with self._lock:
            known = sum(map(self._is_known, self._streams))
            return known, len(self._streams) - known

    def _make_room(self, stream: bytes) -> None:
        """Replace a stream of the same class if all its places are taken. Raises Busy."""
        known = self._is_known(stream)
        rivals = {
            each: found
            for each, found in self._streams.items()
            if self._is_known(each) == known and (known or not found.has_objects)
        }
        if len(rivals) < (MAX_KNOWN_STREAMS if known else MAX_NEW_WITHOUT_OBJECTS):
            return
        now = self._monotonic()
        replaceable = [
            each
            for each, found in rivals.items()
            if not self._can_be_voted_on(each, found) or now - found.since >= IDLE_SECONDS
        ]
        self._replace_oldest(replaceable, f"{len(rivals)} streams have pending windows")

    def _can_be_voted_on(self, stream: bytes, found: _Stream) -> bool:
        """Whether the stream's next window is complete, and has not to wait for a penalty."""
        window = found.windows.get(self._following(stream))
        return window is not None and window.is_complete and not self._is_penalized(stream)

    def _count_with_objects(self) -> int:
        return sum(
            found.has_objects and not self._is_known(stream)
            for stream, found in self._streams.items()
        )

    def _replaceable(self) -> list[bytes]:
        """New streams with objects that are decided, or wait for something else than a vote."""
        return [
            stream
            for stream, found in self._streams.items()
            if found.has_objects and not self._is_known(stream) and self._may_replace(stream, found)
        ]

    def _may_replace(self, stream: bytes, found: _Stream) -> bool:
        now = self._monotonic()
        decided = all(window.state == "invalid" for window in found.windows.values())
        if decided or self._is_penalized(stream) or now - found.since > NEW_IDLE_SECONDS:
            return True
        is_uploading = now - found.stored_at <= UPLOAD_SECONDS
        return not is_uploading and not self._can_be_voted_on(stream, found)

    def _replace_oldest(self, replaceable: list[bytes], message: str) -> None:
        if not replaceable:
            raise _busy(message)
        del self._streams[min(replaceable, key=lambda each: self._streams[each].since)]

    def begin(self, *, known: bool, most: int) -> Iterator[bytes]:
        """Yield streams of a class that no thread is working on. The caller must `finish` each.

        The stream that has waited for longest comes first, and at most `most` are in progress.
        """
        with self._lock:
            waiting = [each for each in self._streams if self._is_known(each) == known]
            waiting.sort(key=lambda each: self._streams[each].begun_at)
        for stream in waiting:
            with self._lock:
                running = sum(self._is_known(each) == known for each in self._in_progress)
                if running >= most:
                    return
                if stream in self._in_progress or stream not in self._streams:
                    continue
                self._in_progress.add(stream)
                self._streams[stream].begun_at = self._monotonic()
            yield stream

    def finish(self, stream: bytes) -> None:
        with self._lock:
            self._in_progress.discard(stream)

    def in_order(self, stream: bytes, number: int) -> Iterator[Window]:
        """The stream's windows from `number` on, up to the first gap."""
        while (window := self.get(stream, number)) is not None:
            yield window
            number += 1

    def drop_applied(self, state: State) -> list[Window]:
        """Remove the windows that are in the log, and return them."""
        dropped: list[Window] = []
        with self._lock:
            for stream, found in list(self._streams.items()):
                windows = state.stream(stream).windows
                applied = [number for number in sorted(found.windows) if number < windows]
                if applied:
                    found.since = self._monotonic()
                dropped += [found.windows.pop(number) for number in applied]
                if not found.windows:
                    del self._streams[stream]
        return dropped


def _busy(message: str) -> errors.Busy:
    return errors.Busy(f"{message}, the maximum", retry_after=RETRY_AFTER_SECONDS)
