"""Chunks: what is told of a piece of data, and how it is hidden.

Sequence, time and length of a chunk are open. Its digest is not: what stands in the header is a
commitment to digest and salt. A bare SHA-256 of a short reading would be found by guessing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Self, TypeAlias

from dragon import errors
from dragon.encoding import Json, Members, canonical, parse
from dragon.protocol import merkle
from dragon.protocol.shape import Hex, Integer, Shape
from dragon.stark.blocks import MAX_CHUNKS
from dragon.stark.commitment import DATA_DIGEST_BYTES, OUTPUT_BYTES, SALT_BYTES, commit

MAX_CHUNK_BYTES: Final = 65_536
MAX_CHUNKS_BYTES: Final = MAX_CHUNKS * 192  # of the chunk headers of one window, as an object
SALT_KEY_BYTES: Final = 32

HashMany: TypeAlias = Callable[[Sequence[bytes]], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class ChunkHeader(Shape):
    """What everybody may know of one chunk."""

    sequence: Annotated[int, Integer()]  # from 0, over the whole stream
    received_ms: Annotated[int, Integer()]  # Unix milliseconds by the stream service's clock
    length: Annotated[int, Integer(most=MAX_CHUNK_BYTES)]  # bytes of data; 0 for an empty message
    commitment: Annotated[bytes, Hex(size=OUTPUT_BYTES)]

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Strict decoding. Raises InvalidEncoding."""
        members = Members(value, "the chunk header")
        header = cls.take(members)
        members.end()
        return header

    def leaf(self) -> bytes:
        """The leaf under the window's root: canonical JSON of the header."""
        return canonical(self.members())


def digest(data: bytes) -> bytes:
    """The SHA-256 of a chunk's data."""
    return hashlib.sha256(data).digest()


def salt(salt_key: bytes, stream_id: bytes, sequence: int, data_digest: bytes) -> bytes:
    """28 bytes: what nobody can guess without the stream's salt key, and the same every time.

    The first 28 bytes of HMAC-SHA256 under the salt key over the stream's id, the sequence as
    eight bytes, big endian, and the digest: 72 bytes in all. Other data, another place or another
    stream has another salt, so none is ever used twice.

    Raises ValueError: salt key, id or digest have not 32 bytes each.
    """
    if not len(salt_key) == SALT_KEY_BYTES == len(stream_id) == len(data_digest):
        raise ValueError("salt key, stream id and digest have 32 bytes each")
    message = stream_id + sequence.to_bytes(8, "big") + data_digest
    # not hmac.digest: it lets go of the interpreter, and beside busy threads waits to have it again
    return hmac.new(salt_key, message, "sha256").digest()[:SALT_BYTES]


def opening(salt_key: bytes, stream_id: bytes, sequence: int, data_digest: bytes) -> bytes:
    """The 60 bytes digest ‖ salt that open a chunk's commitment. Raises ValueError."""
    return data_digest + salt(salt_key, stream_id, sequence, data_digest)


def digest_of(opening_: bytes) -> bytes:
    """The digest that an opening discloses."""
    return opening_[:DATA_DIGEST_BYTES]


def commit_one_by_one(openings: Sequence[bytes]) -> list[bytes]:
    """The commitments, in plain Python: 3 ms each. Raises ProofRefused (input)."""
    return [commit(each) for each in openings]


def chunk_headers(
    first: int,
    received: Sequence[tuple[int, int]],
    openings: Sequence[bytes],
    hash_many: HashMany = commit_one_by_one,
) -> tuple[ChunkHeader, ...]:
    """The headers of consecutive chunks, their commitments made at once.

    Args:
        first: the first chunk's sequence.
        received: time (Unix milliseconds) and length of each chunk.
        openings: of each chunk, 60 bytes.
        hash_many: the commitments of many openings; `dragon.stark.prover.blocks.hash_many` is the
            compiled one.
    """
    commitments = hash_many(openings)
    return tuple(
        ChunkHeader(sequence, received_ms, length, commitment)
        for sequence, ((received_ms, length), commitment) in enumerate(
            zip(received, commitments, strict=True), start=first
        )
    )


def tree_of(chunks: Iterable[ChunkHeader]) -> merkle.Tree:
    """The RFC 6962 tree over the chunk headers; its root stands in the window header."""
    return merkle.Tree(merkle.leaf_hash(chunk.leaf()) for chunk in chunks)


def encode_chunks(chunks: Iterable[ChunkHeader]) -> bytes:
    """The chunk headers of a window as one object: the canonical JSON array."""
    return canonical([chunk.members() for chunk in chunks])


def chunks_from_json(value: Sequence[Json]) -> tuple[ChunkHeader, ...]:
    """Raises InvalidEncoding: one is no chunk header, or no window has so many or so few."""
    if not 0 < len(value) <= MAX_CHUNKS:
        message = f"a window has 1 to {MAX_CHUNKS} chunks"
        raise errors.UnknownValue(message, member="chunks", chunks=len(value))
    return tuple(ChunkHeader.from_json(item) for item in value)


def decode_chunks(raw: bytes) -> tuple[ChunkHeader, ...]:
    """Raises InvalidEncoding; TooLarge: no window's chunk headers take so many bytes."""
    if len(raw) > MAX_CHUNKS_BYTES:
        message = f"the chunk headers of a window take at most {MAX_CHUNKS_BYTES} bytes"
        raise errors.TooLarge(message, bytes=len(raw))
    value = parse(raw)
    if not isinstance(value, list):
        raise errors.WrongType("the chunk headers are a list", member="chunks")
    return chunks_from_json(value)
