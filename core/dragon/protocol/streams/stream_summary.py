"""What a verified stream report says about its period, for programs and in words.

All statements are about committed readings. That a committed reading is the number in the data is
checked when a chunk is disclosed, see `dragon.protocol.streams.spot_check`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from dragon.encoding import Json, to_hex
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.reading_sums import NoSum
from dragon.protocol.streams.reading_text import decimal_text
from dragon.protocol.streams.readings import Readings
from dragon.protocol.streams.window import WindowHeader
from dragon.stark.reading_bounds import ReadingBounds


@dataclass(frozen=True, slots=True)
class UnclaimedWindow:
    """A window of a stream with readings that claims nothing about them."""

    number: int
    chunks: int
    first_received_ms: int  # Unix milliseconds, by the owner's clock
    last_received_ms: int

    def to_json(self) -> dict[str, Json]:
        """Return the window for programs."""
        return {
            "window": self.number,
            "chunks": self.chunks,
            "first_received_ms": self.first_received_ms,
            "last_received_ms": self.last_received_ms,
        }


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """What a verified report proves about the windows of its period."""

    descriptor: Descriptor
    begin: int  # Unix seconds: the period that was asked for …
    end: int  # … ends before then
    first: WindowHeader
    last: WindowHeader
    certified: tuple[int, int]  # Unix seconds: rounds in which the two were certified
    windows: int
    chunks: int
    claimed: int  # windows with the claim
    readings: int  # committed readings in them, a carried one counted once
    unclaimed: tuple[UnclaimedWindow, ...]  # every window without the claim
    sum: tuple[int, int] | None  # of all committed readings in windows with the claim
    is_closed: bool  # whether a later window shows that the period has no further one
    has_proofs: bool  # whether the proof of every window was verified, and not only the votes
    mark_time: int  # Unix seconds: the round in which the log was certified
    committee: Committee  # that vouches for the log

    def to_json(self) -> dict[str, Json]:
        """Return the summary for programs. Readings and sums are integers as in the descriptor."""
        readings, total = self.descriptor.readings, self.sum
        return {
            "stream": to_hex(self.descriptor.id),
            "name": self.descriptor.name,  # self-chosen, not unique
            "from": self.begin,
            "to": self.end,
            "first_window": self.first.number,
            "last_window": self.last.number,
            "first_received_ms": self.first.first_received_ms,
            "last_received_ms": self.last.last_received_ms,
            "first_certified": self.certified[0],
            "last_certified": self.certified[1],
            "windows": self.windows,
            "chunks": self.chunks,
            "windows_with_claim": self.claimed,
            "committed_readings": self.readings,
            "windows_without_claim": [each.to_json() for each in self.unclaimed],
            "readings": readings.to_json() if readings else None,
            "sum": {"low": str(total[0]), "high": str(total[1])} if total else None,
            "is_closed": self.is_closed,
            "proofs": self.has_proofs,
            "checkpoint": self.mark_time,
        }


@dataclass(slots=True)
class Tally:
    """Adds up the verified windows of a period, one after the other."""

    first: WindowHeader
    first_claim: WindowClaim
    last: WindowHeader = field(init=False)
    last_claim: WindowClaim = field(init=False)
    windows: int = 0
    chunks: int = 0
    claimed: int = 0
    readings: int = 0
    unclaimed: list[UnclaimedWindow] = field(default_factory=list)
    sum_low: int = 0
    sum_high: int = 0

    def add(self, header: WindowHeader, claim: WindowClaim, bounds: ReadingBounds | None) -> None:
        """Add a window. Args: `bounds`, those of its statement; None: it claims nothing."""
        self.last, self.last_claim = header, claim
        self.windows, self.chunks = self.windows + 1, self.chunks + header.count
        if bounds is not None:
            self.claimed, self.readings = self.claimed + 1, self.readings + header.count
            self.sum_low += bounds.sum_low
            self.sum_high += bounds.sum_high
        elif header.claim is not None:
            times = header.first_received_ms, header.last_received_ms
            self.unclaimed.append(UnclaimedWindow(header.number, header.count, *times))

    @property
    def sum(self) -> tuple[int, int] | None:
        """The interval of the sum of all readings in windows with the claim; None without any."""
        return (self.sum_low, self.sum_high) if self.claimed else None


def sentence(summary: StreamSummary) -> str:
    """Return in one sentence what is proven. It names every window without the claim.

    The writer of a report can end it early. Only a later window shows that none is missing.
    """
    end = "" if summary.is_closed else "; whether more windows of the period followed is not shown"
    return f"{_proven(summary)}{end}."


def _proven(summary: StreamSummary) -> str:
    first, last = summary.first.number, summary.last.number
    which = f"Window {first}" if first == last else f"Windows {first} to {last} without a gap"
    said = f"{which} of stream {to_hex(summary.descriptor.id)}"
    readings = summary.descriptor.readings
    if readings is None:
        chunks = _count(summary.chunks, "chunk")
        return f"{said} with {chunks} are certified; this stream makes no claim about readings"
    if not summary.claimed:
        return f"{said} are certified, and none of them carries a claim about its readings"
    where = f"in the {_count(summary.claimed, 'window')} with the claim, "
    count = _count(summary.readings, "committed reading")
    parts = [f"every one of {count} is {bounds_of(readings)}", *_sum(summary, readings)]
    ends = "no window is without the claim"
    if summary.unclaimed:
        ends = f"without the claim: {windows_text(summary.unclaimed)}"
    stated = f"{said}: {where if summary.unclaimed else ''}{', and '.join(parts)}"
    return f"{stated}; {ends}"


def windows_text(windows: Iterable[UnclaimedWindow]) -> str:
    """Return numbers of windows and their chunks, neighbours together."""
    listed = list(windows)
    runs = [
        [each for _, each in run]
        for _, run in groupby(enumerate(listed), key=lambda pair: pair[1].number - pair[0])
    ]
    return ", ".join(_run(run) for run in runs)


def _run(run: list[UnclaimedWindow]) -> str:
    chunks = _count(sum(each.chunks for each in run), "chunk")
    if len(run) == 1:
        return f"window {run[0].number} ({chunks})"
    return f"windows {run[0].number} to {run[-1].number} ({chunks})"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def bounds_of(readings: Readings) -> str:
    """Return what the claim of a window says about each committed reading, after "is"."""
    low, high = _text(readings, readings.low), _text(readings, readings.high)
    return f"from {low} to {high} {readings.unit}{_steps(readings)}"


def _steps(readings: Readings) -> str:
    """Return what is said about the steps between readings; empty if nothing is."""
    width = readings.high - readings.low
    parts = []
    if readings.fall < width:
        parts.append(_step(readings, readings.fall, "below", "above"))
    if readings.rise < width:
        parts.append(_step(readings, readings.rise, "above", "below"))
    return f", each {' and '.join(parts)} the one before" if parts else ""


def _step(readings: Readings, most: int, way: str, other: str) -> str:
    if most == 0:
        return f"not {way}"
    if most < 0:
        return f"at least {_text(readings, -most)} {readings.unit} {other}"
    return f"at most {_text(readings, most)} {readings.unit} {way}"


def _sum(summary: StreamSummary, readings: Readings) -> Iterator[str]:
    if summary.sum is None or isinstance(readings.sum, NoSum):
        return
    low, high = (_text(readings, each) for each in summary.sum)
    unit = readings.unit
    yield (
        f"their sum is {low} {unit}" if low == high else f"their sum is from {low} to {high} {unit}"
    )


def _text(readings: Readings, value: int) -> str:
    return decimal_text(value, readings.rule.scale)
