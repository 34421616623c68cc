"""Stream reports: files that show what is certified of a stream over a period.

A report has one line of canonical JSON for itself (`ReportHead`) and one for each window, so that
reports of any length are written and verified in bounded memory. All windows are proven by one mark
of the log. Paths of neighbouring entries end alike: a window states only the hashes by which its
path differs from that of the window before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import takewhile
from typing import ClassVar, Final, Self

from dragon import errors
from dragon.encoding import Json, Members, canonical, parse, to_hex
from dragon.protocol import merkle
from dragon.protocol.handover import SignedMark, decode_mark
from dragon.protocol.streams.certified_window import CertifiedWindow
from dragon.protocol.streams.chunks import chunks_from_json
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.finding import MAX_PROOF_BYTES
from dragon.protocol.streams.receipt import Proven
from dragon.protocol.streams.window import WindowHeader
from dragon.stark.blocks import MAX_CHUNKS

MAX_LINE_BYTES: Final = 2 << 20  # enough for the chunk headers and the proof of the largest window
MAX_WINDOWS: Final = 1 << 24  # of one report
MAX_LOADED_BYTES: Final = 64 << 20  # of a report that is read as a whole

ReadLine = Callable[[int], bytes]  # returns the next line, of at most so many bytes; b"" at the end


@dataclass(frozen=True, slots=True)
class ReportedWindow:
    """One line of a report. Nothing of it is verified."""

    window: CertifiedWindow  # its `inclusion` lacks the end that the window before has, too
    proven: Proven | None = None  # chunk headers and proof

    def encode(self) -> bytes:
        """Return the line, in canonical JSON."""
        value = self.window.members()
        if self.proven:
            value["chunks"] = [chunk.members() for chunk in self.proven.chunks]
            value["proof"] = to_hex(self.proven.proof)
        return canonical(value) + b"\n"

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a line strictly. Raises InvalidEncoding, UnknownKind."""
        members = Members(value, "the window")
        window, proven = CertifiedWindow.take(members), None
        if "chunks" in members or "proof" in members:
            chunks = chunks_from_json(members.list("chunks", most=MAX_CHUNKS))
            proven = Proven(chunks, members.hex("proof", size=range(MAX_PROOF_BYTES + 1)))
        members.end()
        return cls(window, proven)


@dataclass(frozen=True, slots=True)
class ReportHead:
    """The first line of a report: its stream, its period, and the mark of the log."""

    KIND: ClassVar[str] = "stream-report"

    descriptor: Descriptor
    begin: int  # Unix seconds: windows with a chunk that arrived from then …
    end: int  # … until before then
    windows: int  # lines that follow
    has_proofs: bool  # whether every window of the period has its chunk headers and its proof
    previous: WindowHeader | None  # header of the window before; None: the report begins with 0
    mark: SignedMark  # a certified checkpoint, or a handover

    def encode(self) -> bytes:
        """Return the line, in canonical JSON."""
        value: dict[str, Json] = {
            "kind": self.KIND,
            "descriptor": self.descriptor.to_json(),
            "from": self.begin,
            "to": self.end,
            "windows": self.windows,
            "proofs": self.has_proofs,
            "previous": self.previous.members() if self.previous else None,
            "mark": self.mark.to_json(),
        }
        return canonical(value) + b"\n"

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode the line strictly. Raises InvalidEncoding, InvalidStream, UnknownKind."""
        members = Members(value, "the stream report")
        members.word("kind", [cls.KIND])
        descriptor = Descriptor.from_json(members.take("descriptor"))
        begin = members.integer("from")
        end = members.integer("to", least=begin + 1)
        count = members.integer("windows", least=1, most=MAX_WINDOWS)
        has_proofs, previous = members.boolean("proofs"), members.take("previous")
        mark = decode_mark(members.take("mark"))
        members.end()
        before = None if previous is None else WindowHeader.from_json(previous)
        return cls(descriptor, begin, end, count, has_proofs, before, mark)


@dataclass(frozen=True, slots=True)
class StreamReport:
    """A report on a period of a stream. It proves nothing until it is verified.

    `windows` are those that have a chunk of the period, and behind them, if there is one, the next
    window, which shows that the period has no further one. Of a report that was opened with `read`
    they are read while they are iterated, which is possible once.
    """

    head: ReportHead
    windows: Iterable[ReportedWindow]

    @classmethod
    def load(cls, raw: bytes) -> Self:
        """Decode a whole report strictly.

        Raises InvalidEncoding, InvalidStream, UnknownKind; TooLarge: use `read`.
        """
        if len(raw) > MAX_LOADED_BYTES:
            message = f"the report has {len(raw)} bytes; at most {MAX_LOADED_BYTES} are loaded"
            raise errors.TooLarge(message, bytes=len(raw))
        report = cls.read(BytesIO(raw).readline)
        return cls(report.head, tuple(report.windows))

    @classmethod
    def read(cls, read_line: ReadLine) -> Self:
        """Begin to read a report of any length, in bounded memory.

        Iterating `windows` raises InvalidEncoding and UnknownKind as well.

        Args: `read_line`, as the method `readline` of a file that was opened as binary.

        Raises InvalidEncoding, InvalidStream, UnknownKind.
        """
        head = ReportHead.from_json(_value(read_line(MAX_LINE_BYTES + 1), 1))
        return cls(head, _windows(read_line))

    def encode(self) -> Iterator[bytes]:
        """Yield the lines of the file."""
        yield self.head.encode()
        for each in self.windows:
            yield each.encode()


def is_report(beginning: bytes) -> bool:
    """Return whether a file that begins so claims to be a stream report."""
    line = beginning.split(b"\n", 1)[0]
    try:
        value = parse(line)
    except errors.InvalidEncoding:
        return False
    return isinstance(value, dict) and value.get("kind") == ReportHead.KIND


def _windows(read_line: ReadLine) -> Iterator[ReportedWindow]:
    number = 1
    while line := read_line(MAX_LINE_BYTES + 1):
        number += 1
        yield _in_line(number, line)


def _in_line(number: int, line: bytes) -> ReportedWindow:
    try:
        return ReportedWindow.from_json(_value(line, number))
    except errors.DragonError as error:
        error.facts["line"] = number
        raise


def _value(line: bytes, number: int) -> Json:
    """Decode a line. Raises InvalidEncoding: its message names the line, and its facts too."""
    try:
        return _checked(line)
    except errors.InvalidEncoding as error:
        error.args = (f"line {number}: {error}",)
        error.facts["line"] = number
        raise


def _checked(line: bytes) -> Json:
    if len(line) > MAX_LINE_BYTES:
        raise errors.TooLarge(f"a line has at most {MAX_LINE_BYTES} bytes")
    value = parse(line)
    if canonical(value) + b"\n" != line:
        raise errors.NotCanonical("the line is not canonical JSON that ends with a line feed")
    return value


@dataclass(slots=True)
class Shortener:
    """Shortens the paths of consecutive windows by the end that the one before has, too."""

    _before: tuple[bytes, ...] = ()

    def shortened(self, window: CertifiedWindow) -> CertifiedWindow:
        """Return the next window with the beginning of its whole path."""
        path, before = window.inclusion, self._before
        pairs = takewhile(
            lambda pair: pair[0] == pair[1], zip(reversed(path), reversed(before), strict=False)
        )
        self._before = path
        return replace(window, inclusion=path[: len(path) - len(list(pairs))])


def completed(window: CertifiedWindow, before: Sequence[bytes], size: int) -> tuple[bytes, ...]:
    """Return the whole path of a window, with the end of the path before.

    Args:
        before: the whole path of the window before; empty for the first one.
        size: of the log.

    Raises NotFound: the position is not below `size`. InvalidProof: the path has a wrong length.
    """
    length = merkle.path_length(window.position, size)
    if not 0 <= (missing := length - len(window.inclusion)) <= len(before):
        message = "the path is too long" if missing < 0 else "the path is too short"
        raise errors.InvalidProof(message, index=window.position, size=size)
    return (*window.inclusion, *before[len(before) - missing :])
