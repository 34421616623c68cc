"""Windows: consecutive chunks with one signed header. Each window names the previous one.

This module finds faults in headers and chunk headers. `dragon.protocol.streams.finding` decides
which faults make a window invalid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Annotated, ClassVar, Final, Self

from dragon import errors
from dragon.encoding import Json, Members, canonical, parse
from dragon.protocol import bls
from dragon.protocol.shape import HASH, Decimal, Hex, Integer, SignedShape, Word
from dragon.protocol.streams.chunks import ChunkHeader, tree_of
from dragon.protocol.streams.closing import Closing, HeaderClaim
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.reading_sums import MAX_SUM
from dragon.protocol.streams.window_readings import readings_chunks_fault, readings_header_fault
from dragon.stark.blocks import MAX_CHUNKS, window_outputs

MAX_HEADER_BYTES: Final = 1024


@dataclass(frozen=True)
class WindowHeader(SignedShape):
    """The header of one window. A stream must not sign two headers for one window."""

    KIND: ClassVar[str] = "stream-header"

    stream: Annotated[bytes, HASH]  # the stream's id
    number: Annotated[int, Integer()]  # from 0
    previous: Annotated[bytes, HASH]  # hash of the previous header; the stream's id for number 0
    first: Annotated[int, Integer()]  # sequence of the first chunk
    count: Annotated[int, Integer(least=1, most=MAX_CHUNKS)]  # number of chunks
    first_received_ms: Annotated[int, Integer()]  # Unix milliseconds, of the first chunk
    last_received_ms: Annotated[int, Integer()]  # Unix milliseconds, of the last chunk
    chunks_root: Annotated[bytes, Hex(name="root")]  # RFC 6962, over the chunk headers
    # The following members are absent in streams without readings.
    claim: Annotated[
        HeaderClaim | None, Word(words=list(HeaderClaim), type=HeaderClaim, optional=True)
    ] = None
    # The last commitment, if the descriptor says `carry`. The next window's proof begins with it.
    last: Annotated[bytes | None, Hex(size=32, optional=True)] = None
    # The lower end of the sum's interval, where the descriptor leaves it to the header.
    stated: Annotated[
        int | None, Decimal(name="sum", least=-MAX_SUM, most=MAX_SUM, optional=True)
    ] = None

    @property
    def next_first(self) -> int:
        """The sequence of the first chunk of the next window."""
        return self.first + self.count

    def encode(self) -> bytes:
        """Return the header as an object, in canonical JSON."""
        return canonical(self.members())

    @cached_property
    def hash(self) -> bytes:
        """SHA-256 of the encoded header. The next window, the proof and the votes refer to it."""
        return hashlib.sha256(self.encode()).digest()

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a header strictly, without judging its content. Raises InvalidEncoding."""
        members = Members(value, "the window header")
        header = cls.take(members)
        members.end()
        return header

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Decode an encoded header. Raises InvalidEncoding; TooLarge: it is too long."""
        if len(raw) > MAX_HEADER_BYTES:
            message = (
                f"the window header has {len(raw)} bytes; at most {MAX_HEADER_BYTES} are allowed"
            )
            raise errors.TooLarge(message, bytes=len(raw))
        return cls.from_json(parse(raw))


def close(
    descriptor: Descriptor,
    previous: WindowHeader | None,
    chunks: Sequence[ChunkHeader],
    closing: Closing | None = None,
) -> WindowHeader:
    """Return the header of the window with `chunks` that follows `previous`.

    Args:
        previous: the previous window's header; None for the stream's first window.
        chunks: from 1 to `MAX_CHUNKS` chunk headers.
        closing: what the window claims about its readings, see
            `dragon.protocol.streams.closing.decide`; None in a stream without readings.

    Raises ValueError: the chunks cannot follow; the window would be certified as invalid.
    """
    if not 0 < len(chunks) <= MAX_CHUNKS:
        raise ValueError(f"a window has 1 to {MAX_CHUNKS} chunks, not {len(chunks)}")
    header = WindowHeader(
        descriptor.id,
        previous.number + 1 if previous else 0,
        previous.hash if previous else descriptor.id,
        chunks[0].sequence,
        len(chunks),
        chunks[0].received_ms,
        chunks[-1].received_ms,
        tree_of(chunks).root(),
        closing.claim if closing else None,
        chunks[-1].commitment if descriptor.readings and descriptor.readings.carry else None,
        closing.stated if closing else None,
    )
    readings = descriptor.readings
    if why := (
        header_fault(header, previous)
        or readings_header_fault(readings, header, previous)
        or chunks_fault(header, chunks)
        or readings_chunks_fault(readings, header, chunks)
    ):
        raise ValueError(why)
    return header


def sign(header: WindowHeader, descriptor: Descriptor, secret: bls.SecretKey) -> bytes:
    """Return the signature with the stream's header key, 96 bytes."""
    return secret.sign(header.root(descriptor.network_id))


def is_signed(header: WindowHeader, descriptor: Descriptor, signature: bytes) -> bool:
    """Return whether the header belongs to this stream and has its signature."""
    if header.stream != descriptor.id:
        return False
    return is_signed_root(descriptor.header_key, header.root(descriptor.network_id), signature)


@lru_cache(maxsize=4096)
def is_signed_root(key: bls.PublicKey, root: bytes, signature: bytes) -> bool:
    """Return whether a stream's header key signed this root. Expensive, so results are cached.

    One signature is checked several times: with the announcement, the objects and the finding.
    """
    return bls.is_signed(key, root, signature)


def expected_previous(stream_id: bytes, previous: WindowHeader | None) -> bytes:
    """Return the value of `previous` in the header of the window that follows `previous`."""
    return previous.hash if previous else stream_id


def header_fault(header: WindowHeader, previous: WindowHeader | None) -> str:
    """Return what contradicts itself, or the previous header, in a header; "" if nothing does.

    The header must name `previous` (the stream's id if `previous` is None).
    """
    if header.last_received_ms < header.first_received_ms:
        return (
            f"its last chunk has an earlier time ({header.last_received_ms} ms) than its first "
            f"({header.first_received_ms} ms)"
        )
    number, first, since = 0, 0, 0
    if previous:
        number, first = previous.number + 1, previous.next_first
        since = previous.last_received_ms
        if previous.stream != header.stream:
            return "the previous window belongs to another stream"
    if header.number != number:
        return f"its number must be {number}, not {header.number}"
    if header.first != first:
        return f"its first chunk must be chunk {first}, not {header.first}"
    if header.first_received_ms < since:
        return (
            f"its first chunk has an earlier time ({header.first_received_ms} ms) than the last "
            f"chunk of the previous window ({since} ms)"
        )
    return ""


def chunks_fault(header: WindowHeader, chunks: Sequence[ChunkHeader]) -> str:
    """Return what contradicts the header, or itself, in chunk headers; "" if nothing does.

    The chunk headers must have the header's root. Otherwise they prove nothing about the header.
    """
    if len(chunks) != header.count:
        return f"the header states {header.count} chunks, but there are {len(chunks)}"
    for sequence, chunk in enumerate(chunks, start=header.first):
        if chunk.sequence != sequence:
            return f"chunk {chunk.sequence} is in the place of chunk {sequence}"
    for one, other in pairwise(chunks):
        if other.received_ms < one.received_ms:
            return f"chunk {other.sequence} has an earlier time than the chunk before it"
    times = chunks[0].received_ms, chunks[-1].received_ms
    if times != (header.first_received_ms, header.last_received_ms):
        return "the times of the first and last chunk differ from those in the header"
    return ""


def outputs(descriptor: Descriptor, chunks: Sequence[ChunkHeader]) -> list[bytes]:
    """Return the outputs of the statement that a window's proof is about.

    The prover knows the identity's secret and the opening of every commitment. The message of the
    proof is the header's hash.

    Raises ProofRefused (input): a commitment is malformed, or equals the identity.
    """
    return window_outputs(descriptor.identity, [chunk.commitment for chunk in chunks])
