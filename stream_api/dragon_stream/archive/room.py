"""How much of the disk the data may take."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

MEGABYTE: Final = 1_000_000  # bytes
MAX_OBJECT_BYTES: Final = 8 << 20  # of a segment or a bundle of proofs that is made for the archive
# With 64 streams, each with a newest segment and proofs that wait for others, half of the room is
# left for what can be archived.
OBJECTS_IN_ROOM: Final = 256
FULL: Final = (
    "the disk holds as much as STREAM_LOCAL_MB allows, and its data is not certified or not "
    "archived yet"
)
FREED_PARTS: Final = 8  # deletion begins when all but one of these parts of the room are used


class Room:
    """The bytes of data and proofs on disk, beside the setting that bounds them."""

    def __init__(self, limit: int | None) -> None:
        """`limit`: in bytes; None: without an archive nothing is bounded."""
        self.limit = limit
        self._lock = threading.Lock()  # guards the following attributes
        self._accepted: Callable[[], int] = lambda: 0
        self._measured = 0
        self._accepted_then = 0

    @property
    def object_bytes(self) -> int | None:
        """The size at which a segment or a bundle of proofs is full; None without a limit."""
        return None if self.limit is None else min(MAX_OBJECT_BYTES, self.limit // OBJECTS_IN_ROOM)

    @property
    def used(self) -> int:
        """The bytes of the last measurement, and what was accepted since."""
        with self._lock:
            return self._measured + self._accepted() - self._accepted_then

    @property
    def excess(self) -> int:
        """The bytes that should be deleted to leave a part of the room free."""
        if self.limit is None:
            return 0
        return max(0, self.used - self.limit + self.limit // FREED_PARTS)

    def watch(self, accepted: Callable[[], int]) -> None:
        """`accepted`: counts the bytes that all streams have accepted."""
        with self._lock:
            self._accepted = accepted
            self._accepted_then = accepted()

    def measure(self, count: Callable[[], int]) -> None:
        """Count what is on disk."""
        accepted = self._accepted()  # before counting: what arrives meanwhile counts twice
        counted = count()
        with self._lock:
            self._measured, self._accepted_then = counted, accepted

    def freed(self, size: int) -> None:
        """Note that bytes were deleted."""
        with self._lock:
            self._measured -= size

    def is_free(self) -> bool:
        """Whether more data may be accepted."""
        return self.limit is None or self.used < self.limit
