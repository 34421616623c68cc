"""Damage to a stream's data on disk: what is damaged, and who is told."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Final

import structlog

from dragon.encoding import to_hex
from dragon_stream.events import Events
from dragon_stream.records import SUFFIX

NO_STREAM: Final = b""  # in place of a stream's id: the damage belongs to none that is known
MAX_DAMAGES_KEPT: Final = 16  # of each stream, for `/readyz` and the events socket

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Damage:
    """One place on disk that contradicts what was stored there."""

    file: str  # name of the file in the stream's folder, or `windows.db`
    offset: int | None  # byte in that file
    chunk: int | None  # the first chunk that is affected
    what: str  # a predicate: "does not have its digest"

    def __str__(self) -> str:
        place = "" if self.offset is None else f" at byte {self.offset}"
        chunk = "" if self.chunk is None else f", chunk {self.chunk}"
        return f"{self.file}{place}{chunk}: {self.what}"

    def without_sizes(self) -> Damage:
        """What everybody may know of the damage in a stream with readings.

        A place in a segment, and a segment's name, tell how much data lies before it, and so how
        long the numbers in it are. `dragon stream check` tells the owner the place.
        """
        if not self.file.endswith(SUFFIX):
            return replace(self, offset=None)
        what = "is damaged; run `dragon stream check` on the data folder to find the place"
        return Damage(f"*{SUFFIX}", None, None, what)

    def facts(self) -> dict[str, object]:
        return {
            "file": self.file,
            "offset": self.offset,
            "chunk": self.chunk,
            "what": self.what,
        }


class Damaged(Exception):
    """Raised where damage is found; its callers turn it into a typed error or a report."""

    def __init__(self, file: str, offset: int | None, chunk: int | None, what: str) -> None:
        self.damage = Damage(file, offset, chunk, what)
        super().__init__(str(self.damage))


class DamageReports:
    """The damage that was found since the start. Each place is reported once."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._lock = threading.Lock()  # guards the following attributes
        self._found: dict[bytes, list[Damage]] = {}
        self.count = 0  # reported places, of all streams

    def report(self, stream: bytes, damage: Damage) -> None:
        """Log damage, and send the event `damaged` to the stream's listeners."""
        with self._lock:
            known = self._found.setdefault(stream, [])
            if damage in known or len(known) >= MAX_DAMAGES_KEPT:
                return
            known.append(damage)
            self.count += 1
        logger.error("stream_damaged", stream=to_hex(stream), **damage.facts())
        self._events.publish(stream, "damaged", **damage.facts())

    def of(self, stream: bytes) -> list[Damage]:
        """The damage of one stream, in the order in which it was found."""
        with self._lock:
            return list(self._found.get(stream, ()))
