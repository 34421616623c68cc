"""Windows: consecutive chunks under one signed header, each window linked to the one before.

What can be wrong with a header or with the chunk headers under it is found here; who may conclude
what from that is decided in `dragon.protocol.streams.finding`.
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
from dragon.protocol.shape import HASH, Hex, Integer, SignedShape
from dragon.protocol.streams.chunks import ChunkHeader, tree_of
from dragon.protocol.streams.descriptor import Descriptor
from dragon.stark.blocks import MAX_CHUNKS, window_outputs

MAX_HEADER_BYTES: Final = 1024


@dataclass(frozen=True)
class WindowHeader(SignedShape):
    """What a stream's owner says of one window, and never says otherwise."""

    KIND: ClassVar[str] = "stream-header"

    stream: Annotated[bytes, HASH]  # the stream's id
    number: Annotated[int, Integer()]  # from 0
    previous: Annotated[bytes, HASH]  # hash of the header before; the stream's id for number 0
    first: Annotated[int, Integer()]  # sequence of the first chunk
    count: Annotated[int, Integer(least=1, most=MAX_CHUNKS)]  # chunks
    first_received_ms: Annotated[int, Integer()]
    last_received_ms: Annotated[int, Integer()]
    chunks_root: Annotated[bytes, Hex(name="root")]  # RFC 6962, over the chunk headers

    @property
    def next_first(self) -> int:
        """The sequence of the first chunk behind this window."""
        return self.first + self.count

    def encode(self) -> bytes:
        """The header as an object: its SHA-256 is its hash."""
        return canonical(self.members())

    @cached_property
    def hash(self) -> bytes:
        """What the next window, the proof and the votes name this one by."""
        return hashlib.sha256(self.encode()).digest()

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Strict decoding; whether it makes sense is another question. Raises InvalidEncoding."""
        members = Members(value, "the window header")
        header = cls.take(members)
        members.end()
        return header

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Raises InvalidEncoding; TooLarge: no window header has so many bytes."""
        if len(raw) > MAX_HEADER_BYTES:
            message = f"a window header has at most {MAX_HEADER_BYTES} bytes"
            raise errors.TooLarge(message, bytes=len(raw))
        return cls.from_json(parse(raw))


def close(
    descriptor: Descriptor, previous: WindowHeader | None, chunks: Sequence[ChunkHeader]
) -> WindowHeader:
    """The header of the window that follows `previous` (None: the stream's first) with `chunks`.

    Raises ValueError: the chunks are none that could follow. It would be certified as invalid.
    """
    if not 0 < len(chunks) <= MAX_CHUNKS:
        raise ValueError(f"a window has 1 to {MAX_CHUNKS} chunks")
    header = WindowHeader(
        descriptor.id,
        previous.number + 1 if previous else 0,
        previous.hash if previous else descriptor.id,
        chunks[0].sequence,
        len(chunks),
        chunks[0].received_ms,
        chunks[-1].received_ms,
        tree_of(chunks).root(),
    )
    if why := header_fault(header, previous) or chunks_fault(header, chunks):
        raise ValueError(why)
    return header


def sign(header: WindowHeader, descriptor: Descriptor, secret: bls.SecretKey) -> bytes:
    """The signature of the stream's header key, 96 bytes."""
    return secret.sign(header.root(descriptor.committee_id))


def is_signed(header: WindowHeader, descriptor: Descriptor, signature: bytes) -> bool:
    """Whether the header is of this stream and bears its signature."""
    if header.stream != descriptor.id:
        return False
    return is_word(descriptor.header_key, header.root(descriptor.committee_id), signature)


@lru_cache(maxsize=4096)
def is_word(key: bls.PublicKey, root: bytes, signature: bytes) -> bool:
    """Whether a stream's header key has signed that root. Dear, and remembered: a stream's word
    comes with the announcement, with the objects, and again before the judgement."""
    return bls.is_signed(key, root, signature)


def expected_previous(stream_id: bytes, previous: WindowHeader | None) -> bytes:
    """What a window that follows `previous` names as the one before it."""
    return previous.hash if previous else stream_id


def header_fault(header: WindowHeader, previous: WindowHeader | None) -> str:
    """What contradicts itself in a header, or contradicts the window before; "" if nothing does.

    Only for a header that names `previous` (or, for None, the stream's id) as the one before it.
    """
    if header.last_received_ms < header.first_received_ms:
        return "its last chunk came before its first"
    number, first, since = 0, 0, 0
    if previous:
        number, first = previous.number + 1, previous.next_first
        since = previous.last_received_ms
        if previous.stream != header.stream:
            return "it follows a window of another stream"
    if header.number != number:
        return f"it has number {header.number} and follows number {number - 1}"
    if header.first != first:
        return f"it begins with chunk {header.first}, and chunk {first} comes next"
    if header.first_received_ms < since:
        return "its first chunk came before the last one of the window before"
    return ""


def chunks_fault(header: WindowHeader, chunks: Sequence[ChunkHeader]) -> str:
    """What contradicts the header, or itself, in the chunk headers under its root; "" if nothing.

    Only for chunk headers whose root is the header's: others prove nothing against it.
    """
    if len(chunks) != header.count:
        return f"the header counts {header.count} chunks, and there are {len(chunks)}"
    for sequence, chunk in enumerate(chunks, start=header.first):
        if chunk.sequence != sequence:
            return f"chunk {chunk.sequence} stands in the place of {sequence}"
    for one, other in pairwise(chunks):
        if other.received_ms < one.received_ms:
            return f"chunk {other.sequence} came before the one in front of it"
    times = chunks[0].received_ms, chunks[-1].received_ms
    if times != (header.first_received_ms, header.last_received_ms):
        return "the header gives other times for its first and last chunk"
    return ""


def outputs(descriptor: Descriptor, chunks: Sequence[ChunkHeader]) -> list[bytes]:
    """What is proven: that somebody knows the identity's secret and every opening.

    The message that the proof is bound to is the header's hash.

    Raises ProofRefused (input): a commitment is none, or is the identity.
    """
    return window_outputs(descriptor.identity, [chunk.commitment for chunk in chunks])
