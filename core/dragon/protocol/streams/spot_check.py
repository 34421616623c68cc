"""Spot checks: chunks of certified windows that their owner discloses, chosen by nobody.

1. The windows are certified: the owner has committed to every number in them.
2. The requester fixes windows, number of chunks and a random nonce: the request.
3. The next checkpoint of the log is certified. Its root and the request together draw the chunks.

So the owner cannot foresee the chunks when it commits, and the requester cannot choose them when it
makes the request. The requester shows the request only after the checkpoint: an owner that knew it
could certify further windows until the draw suits it. To the owner, nothing proves that the request
is older than the checkpoint, or the only one. Which checkpoint is the next one leaves no choice: it
must be applied to the log, in which two checkpoints are `Rounds.checkpoint_every` seconds apart.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import comb
from typing import Annotated, ClassVar, Final, Self

from dragon import errors
from dragon.encoding import Json, Members, canonical, from_hex, parse, to_hex
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.shape import HASH, Hex, Integer, Shape
from dragon.protocol.streams.certified_window import CertifiedWindow, take_path
from dragon.protocol.streams.chunks import MAX_CHUNK_BYTES, ChunkHeader
from dragon.protocol.streams.descriptor import Descriptor
from dragon.stark.commitment import OPENING_BYTES

NONCE_BYTES: Final = 32
MAX_DRAWN: Final = 1000  # chunks of one spot check
MAX_REQUEST_BYTES: Final = 1024
MAX_ANSWER_BYTES: Final = 64 << 20
_DOMAIN: Final = b"DataDragon spot check\x00"
_WORD: Final = 1 << 64


class SpotCheckReason(enum.StrEnum):
    """Why an answer is refused as a whole, beside the reasons of `ReportReason`."""

    # The answer is to another request.
    OTHER_REQUEST = "other_request"
    # The drawing checkpoint does not verify, or the log of a later mark does not have it.
    CHECKPOINT = "checkpoint"
    # The checkpoint was certified before the request was made.
    TOO_EARLY = "too_early"
    # The checkpoint is not, or not certainly, the first one after the request.
    NOT_FIRST = "not_first"
    # The first or the last window of the request is missing, so the number of chunks is unknown.
    WINDOWS = "windows"
    # The answer discloses a chunk that was not drawn.
    NOT_DRAWN = "not_drawn"


@dataclass(frozen=True, slots=True)
class SpotCheckRequest(Shape):
    """A request to disclose chunks of a stream that are not drawn yet. Its maker keeps a copy."""

    KIND: ClassVar[str] = "spot-check-request"

    stream: Annotated[bytes, HASH]  # the stream's id
    first: Annotated[int, Integer()]  # number of the first window
    last: Annotated[int, Integer(least=lambda request: request["first"])]  # and of the last one
    chunks: Annotated[int, Integer(least=1, most=MAX_DRAWN)]  # to be drawn
    timestamp: Annotated[int, Integer()]  # Unix seconds, by the requester's clock
    nonce: Annotated[bytes, Hex(size=NONCE_BYTES)]  # random

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        return {"kind": self.KIND, **self.members()}

    def encode(self) -> bytes:
        """Return the published form in canonical JSON."""
        return canonical(self.to_json())

    @property
    def hash(self) -> bytes:
        """SHA-256 of the encoded request, 32 bytes."""
        return hashlib.sha256(self.encode()).digest()

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a request strictly. Raises InvalidEncoding."""
        members = Members(value, "the request of a spot check")
        members.word("kind", [cls.KIND])
        request = cls.take(members)
        members.end()
        return request

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Decode an encoded request. Raises InvalidEncoding; TooLarge: it is too long."""
        if len(raw) > MAX_REQUEST_BYTES:
            message = f"the request has {len(raw)} bytes; at most {MAX_REQUEST_BYTES} are allowed"
            raise errors.TooLarge(message, bytes=len(raw))
        return cls.from_json(parse(raw))


@dataclass(frozen=True, slots=True)
class DisclosedChunk:
    """A drawn chunk: its header, and its data if the owner can open it. Nothing is verified."""

    header: ChunkHeader
    path: tuple[bytes, ...]  # proof of inclusion of the chunk header in the window's tree
    opening: bytes | None = None  # None: the owner cannot open it
    data: bytes | None = None

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        return {
            "chunk": self.header.members(),
            "path": [to_hex(each) for each in self.path],
            "opening": None if self.opening is None else to_hex(self.opening),
            "data": None if self.data is None else to_hex(self.data),
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode strictly. Raises InvalidEncoding."""
        members = Members(value, "the disclosed chunk")
        disclosed = cls(
            ChunkHeader.from_json(members.take("chunk")),
            take_path(members, "path"),
            _optional(members, "opening", OPENING_BYTES),
            _optional(members, "data", range(MAX_CHUNK_BYTES + 1)),
        )
        members.end()
        return disclosed


@dataclass(frozen=True, slots=True)
class SpotCheckAnswer:
    """An owner's answer to a request. It proves nothing until it is verified."""

    KIND: ClassVar[str] = "spot-check-answer"

    request: SpotCheckRequest
    descriptor: Descriptor
    checkpoint: ProvenEntry  # that draws the chunks, with a later mark whose log has it
    # The first and the last window of the request, and those of the drawn chunks; ascending. Their
    # paths lead to the root of the checkpoint.
    windows: tuple[CertifiedWindow, ...]
    chunks: tuple[DisclosedChunk, ...]  # ascending by sequence

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        return {
            "kind": self.KIND,
            "request": self.request.to_json(),
            "descriptor": self.descriptor.to_json(),
            "checkpoint": self.checkpoint.to_json(),
            "windows": [each.members() for each in self.windows],
            "chunks": [each.to_json() for each in self.chunks],
        }

    def encode(self) -> bytes:
        """Return the published form in canonical JSON. Raises TooLarge: it is too long."""
        raw = canonical(self.to_json())
        _check_size(raw)
        return raw

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode an answer strictly. Raises InvalidEncoding, InvalidStream, UnknownKind."""
        members = Members(value, "the answer to a spot check")
        members.word("kind", [cls.KIND])
        request = SpotCheckRequest.from_json(members.take("request"))
        descriptor = Descriptor.from_json(members.take("descriptor"))
        checkpoint = ProvenEntry.from_json(members.take("checkpoint"))
        windows = members.list("windows", most=MAX_DRAWN + 2)
        chunks = members.list("chunks", most=MAX_DRAWN)
        members.end()
        answer = cls(
            request,
            descriptor,
            checkpoint,
            tuple(_window(each) for each in windows),
            tuple(DisclosedChunk.from_json(each) for each in chunks),
        )
        _check_ascending("windows", [each.header.number for each in answer.windows])
        _check_ascending("chunks", [each.header.sequence for each in answer.chunks])
        return answer

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Decode an encoded answer. Raises as `from_json`; TooLarge: it is too long."""
        _check_size(raw)
        return cls.from_json(parse(raw))


def draw(request: SpotCheckRequest, log_root: bytes, total: int) -> tuple[int, ...]:
    """Draw chunks: numbers from 0 to `total` - 1, ascending, each subset equally likely.

    The seed is SHA-256("DataDragon spot check" ‖ 0x00 ‖ SHA-256(request) ‖ root). Word i is the
    first eight bytes, big-endian, of SHA-256(seed ‖ i as eight bytes). Words from the largest
    multiple of `total` below 2^64 on are skipped, so that the remainder modulo `total` is uniform;
    a number that was drawn before is skipped, too.

    Args:
        request: states how many chunks to draw; all of them if there are not more.
        log_root: of the drawing checkpoint, 32 bytes.
        total: number of chunks in the windows of the request, at least 1.
    """
    wanted = min(request.chunks, total)
    drawn: set[int] = set()
    numbers = _numbers(request, log_root, total)
    while len(drawn) < wanted:
        drawn.add(next(numbers))
    return tuple(sorted(drawn))


def _numbers(request: SpotCheckRequest, log_root: bytes, total: int) -> Iterator[int]:
    """Yield independent numbers, uniform from 0 to `total` - 1."""
    seed = hashlib.sha256(_DOMAIN + request.hash + log_root).digest()
    limit = _WORD - _WORD % total
    for counter in range(_WORD):
        block = hashlib.sha256(seed + counter.to_bytes(8, "big")).digest()
        if (word := int.from_bytes(block[:8], "big")) < limit:
            yield word % total


def found_probability(total: int, drawn: int, wrong: int) -> Fraction:
    """Return the probability that a spot check draws at least one of the wrong chunks, exactly.

    1 - C(total - wrong, drawn) / C(total, drawn): the hypergeometric distribution. For one wrong
    chunk it is drawn / total; for a share f it is at least 1 - (1 - f)^drawn.

    Raises ValueError: not 0 <= wrong <= total, or not 0 <= drawn <= total.
    """
    if not (0 <= wrong <= total and 0 <= drawn <= total):
        raise ValueError("wrong and drawn must be from 0 to total")
    return 1 - Fraction(comb(total - wrong, drawn), comb(total, drawn))


def _window(value: Json) -> CertifiedWindow:
    members = Members(value, "the window")
    window = CertifiedWindow.take(members)
    members.end()
    return window


def _optional(members: Members, name: str, size: int | range) -> bytes | None:
    value = members.take(name)
    return None if value is None else from_hex(value, member=name, size=size)


def _check_ascending(what: str, numbers: list[int]) -> None:
    """Raises UnknownValue."""
    if numbers != sorted(set(numbers)):
        raise errors.UnknownValue(f"the {what} must be in ascending order", member=what)


def _check_size(raw: bytes) -> None:
    """Raises TooLarge."""
    if len(raw) > MAX_ANSWER_BYTES:
        message = (
            f"the answer has {len(raw)} bytes; at most {MAX_ANSWER_BYTES} are allowed, so request "
            "fewer chunks"
        )
        raise errors.TooLarge(message, bytes=len(raw))
