"""Spans of time over which the history keeps sums, and blocks of consecutive spans."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final, NamedTuple, cast

_SUMS: Final = struct.Struct("<IIII")
_MOST: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Span:
    """One resolution of the history."""

    seconds: int
    per_block: int  # spans in one row
    kept_seconds: int

    @property
    def block_seconds(self) -> int:
        return self.seconds * self.per_block

    @property
    def max_blocks(self) -> int:
        """The largest number of blocks of one series that are kept, the newest one included."""
        return self.kept_seconds // self.block_seconds + 2

    def block_of(self, time: int) -> int:
        """Return the begin of the block that contains a time (Unix seconds)."""
        return time - time % self.block_seconds

    def begin_of(self, time: int) -> int:
        """Return the begin of the span that contains a time (Unix seconds)."""
        return time - time % self.seconds


MINUTE: Final = Span(60, 60, 86_400)
HOUR: Final = Span(3600, 24, 90 * 86_400)
DAY: Final = Span(86_400, 32, 2 * 365 * 86_400)
SPANS: Final = (MINUTE, HOUR, DAY)


def span_for(seconds: int) -> Span:
    """Return the finest span that covers a period of this length."""
    return next((each for each in SPANS if each.kept_seconds >= seconds), DAY)


class Sums(NamedTuple):
    """What is known of one span: for example probes, failed probes and milliseconds."""

    number: int = 0
    failed: int = 0
    total: int = 0  # over all that did not fail
    most: int = 0

    def plus(self, other: Sums) -> Sums:
        """Return the sums of both. They stop growing at what a row can hold."""
        return Sums(
            min(_MOST, self.number + other.number),
            min(_MOST, self.failed + other.failed),
            min(_MOST, self.total + other.total),
            max(self.most, min(_MOST, other.most)),
        )


class Block:
    """The sums of all spans of one block."""

    def __init__(self, span: Span, begin: int, packed: object = None) -> None:
        """Args: `packed`, the stored sums; None for a new block."""
        size = _SUMS.size * span.per_block
        self.span, self.begin = span, begin
        # A row of a wrong form is damage. Its sums are lost, and nothing else depends on them.
        is_whole = isinstance(packed, bytes) and len(packed) == size
        self._packed = bytearray(cast("bytes", packed) if is_whole else size)

    def add(self, time: int, sums: Sums) -> None:
        """Add sums to the span that contains a time of this block."""
        at = self._offset(time)
        _SUMS.pack_into(
            self._packed, at, *Sums._make(_SUMS.unpack_from(self._packed, at)).plus(sums)
        )

    def _offset(self, time: int) -> int:
        return _SUMS.size * ((time - self.begin) // self.span.seconds)

    def packed(self) -> bytes:
        return bytes(self._packed)

    def sums(self) -> Iterator[tuple[int, Sums]]:
        """Yield the begin (Unix seconds) and the sums of each span that has any."""
        times = count(self.begin, self.span.seconds)
        for time, values in zip(times, _SUMS.iter_unpack(self._packed), strict=False):
            if values[0]:
                yield time, Sums._make(values)

    def add_all(self, other: Block) -> None:
        """Add the sums of another block of the same span and begin."""
        for time, sums in other.sums():
            self.add(time, sums)

    def total(self, since: int = 0) -> Sums:
        """Return the sums of all spans that do not begin before a time (Unix seconds)."""
        first = min(self.span.per_block, max(0, -(-(since - self.begin) // self.span.seconds)))
        found = struct.unpack(
            f"<{4 * (self.span.per_block - first)}I", self._packed[_SUMS.size * first :]
        )
        number, failed, total = (min(_MOST, sum(found[place::4])) for place in range(3))
        return Sums(number, failed, total, max(found[3::4], default=0))

    def add_to(self, points: Points) -> None:
        """Add the sums to equally long steps. Sums outside of them are left out."""
        for place, values in enumerate(_SUMS.iter_unpack(self._packed)):
            if values[0]:
                at = (self.begin + place * self.span.seconds - points.first) // points.step
                if 0 <= at < len(points.numbers):
                    points.numbers[at] += values[0]
                    points.failed[at] += values[1]
                    points.totals[at] += values[2]
                    points.most[at] = max(points.most[at], values[3])


class Points:
    """Sums over equally long steps, such as the points of a chart."""

    def __init__(self, first: int, step: int, count: int) -> None:
        """Args: `first`, the begin of the first step (Unix seconds); `step`, in seconds."""
        self.first, self.step = first, step
        self.numbers = [0] * count
        self.failed = [0] * count
        self.totals = [0] * count
        self.most = [0] * count

    def means(self) -> Iterator[int | None]:
        """Yield the mean of what did not fail, for each step."""
        for number, failed, total in zip(self.numbers, self.failed, self.totals, strict=True):
            yield round(total / (number - failed)) if number > failed else None
