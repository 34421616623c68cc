"""Chunks: the public header of a piece of data, and the commitment that hides its digest.

Sequence, time and length of a chunk are public. The digest is hidden: the header has a commitment
to digest and salt. Without a salt, short data could be guessed from its SHA-256.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Self, TypeAlias

from dragon import errors
from dragon.encoding import MAX_INTEGER, Json, Members, parse
from dragon.protocol import merkle
from dragon.protocol.shape import Hex, Integer, Shape
from dragon.stark.blocks import MAX_CHUNKS
from dragon.stark.commitment import (
    DATA_DIGEST_BYTES,
    OUTPUT_BYTES,
    READING_SALT_BYTES,
    SALT_BYTES,
    commit,
    reading_opening,
)

MAX_CHUNK_BYTES: Final = 65_536
MAX_CHUNKS_BYTES: Final = MAX_CHUNKS * 192  # encoded chunk headers of one window
SALT_KEY_BYTES: Final = 32

_LEAF: Final = re.compile(
    rb'\{"commitment":"0x([0-9a-f]{64})","length":([0-9]{1,5}),'
    rb'"received_ms":([0-9]{1,16}),"sequence":([0-9]{1,16})\}'
)

HashMany: TypeAlias = Callable[[Sequence[bytes]], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class ChunkHeader(Shape):
    """The public header of one chunk."""

    sequence: Annotated[int, Integer()]  # from 0, counted over the whole stream
    received_ms: Annotated[int, Integer()]  # Unix milliseconds by the stream service's clock
    length: Annotated[int, Integer(most=MAX_CHUNK_BYTES)]  # bytes of data; 0 for an empty message
    commitment: Annotated[bytes, Hex(size=OUTPUT_BYTES)]

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a chunk header strictly. Raises InvalidEncoding."""
        members = Members(value, "the chunk header")
        header = cls.take(members)
        members.end()
        return header

    def leaf(self) -> bytes:
        """Return the leaf in the window's tree: canonical JSON of the header.

        Written out, because a window of a stranger makes a verifier encode thousands.
        """
        return (
            f'{{"commitment":"0x{self.commitment.hex()}","length":{self.length},'
            f'"received_ms":{self.received_ms},"sequence":{self.sequence}}}'
        ).encode()


def digest(data: bytes) -> bytes:
    """Return the SHA-256 of a chunk's data."""
    return hashlib.sha256(data).digest()


def salt(
    salt_key: bytes,
    stream_id: bytes,
    sequence: int,
    data_digest: bytes,
    size: int = SALT_BYTES,
) -> bytes:
    """Return the salt of a chunk. It cannot be guessed without the stream's salt key.

    The salt is the beginning of HMAC-SHA256 with the salt key over 72 bytes: the stream's id, the
    sequence as eight bytes (big-endian) and the digest. Different data, sequences and streams have
    different salts.

    Args:
        size: bytes of the salt: 28, or 20 in a stream with readings (`READING_SALT_BYTES`).

    Raises ValueError: salt key, stream id or digest does not have 32 bytes.
    """
    if not len(salt_key) == SALT_KEY_BYTES == len(stream_id) == len(data_digest):
        raise ValueError("salt key, stream id and digest must have 32 bytes each")
    message = stream_id + sequence.to_bytes(8, "big") + data_digest
    # Not hmac.digest: it releases the GIL, and busy threads delay its return.
    return hmac.new(salt_key, message, "sha256").digest()[:size]


def opening(salt_key: bytes, stream_id: bytes, sequence: int, data_digest: bytes) -> bytes:
    """Return digest ‖ salt (60 bytes), which opens a chunk's commitment. Raises ValueError."""
    return data_digest + salt(salt_key, stream_id, sequence, data_digest)


def opening_with_reading(
    salt_key: bytes, stream_id: bytes, sequence: int, data_digest: bytes, value: int
) -> bytes:
    """Return digest ‖ salt ‖ value (60 bytes), which opens a commitment in a stream with readings.

    Args:
        value: the reading; `NO_READING` if the data has none. See `Readings.committed_value`.

    Raises ValueError; ProofRefused: the value is outside ±2^59.
    """
    short = salt(salt_key, stream_id, sequence, data_digest, READING_SALT_BYTES)
    return reading_opening(data_digest, short, value)


def digest_of(opening_: bytes) -> bytes:
    """Return the digest in an opening, 32 bytes."""
    return opening_[:DATA_DIGEST_BYTES]


def commit_one_by_one(openings: Sequence[bytes]) -> list[bytes]:
    """Return the commitments, computed in plain Python (3 ms each). Raises ProofRefused."""
    return [commit(each) for each in openings]


def chunk_headers(
    first: int,
    received: Sequence[tuple[int, int]],
    openings: Sequence[bytes],
    hash_many: HashMany = commit_one_by_one,
) -> tuple[ChunkHeader, ...]:
    """Return the headers of consecutive chunks; all commitments are computed together.

    Args:
        first: sequence of the first chunk.
        received: time (Unix milliseconds) and length of each chunk.
        openings: the opening of each chunk, 60 bytes.
        hash_many: returns the commitments of many openings; the compiled function is
            `dragon.stark.prover.blocks.hash_many`.
    """
    commitments = hash_many(openings)
    return tuple(
        ChunkHeader(sequence, received_ms, length, commitment)
        for sequence, ((received_ms, length), commitment) in enumerate(
            zip(received, commitments, strict=True), start=first
        )
    )


def tree_of(chunks: Iterable[ChunkHeader]) -> merkle.Tree:
    """Return the RFC 6962 tree over chunk headers; the window header contains its root."""
    return merkle.Tree(merkle.leaf_hash(chunk.leaf()) for chunk in chunks)


def encode_chunks(chunks: Iterable[ChunkHeader]) -> bytes:
    """Return the chunk headers of a window as one object: a canonical JSON array."""
    return b"[%s]" % b",".join(chunk.leaf() for chunk in chunks)


def chunks_from_json(value: Sequence[Json]) -> tuple[ChunkHeader, ...]:
    """Decode the chunk headers of a window. Raises InvalidEncoding."""
    if not 0 < len(value) <= MAX_CHUNKS:
        message = f"a window has 1 to {MAX_CHUNKS} chunks, not {len(value)}"
        raise errors.UnknownValue(message, member="chunks", chunks=len(value))
    return tuple(ChunkHeader.from_json(item) for item in value)


def decode_chunks(raw: bytes) -> tuple[ChunkHeader, ...]:
    """Decode the object of `encode_chunks`. Raises InvalidEncoding; TooLarge: it is too long."""
    if len(raw) > MAX_CHUNKS_BYTES:
        message = f"the chunk headers have {len(raw)} bytes; at most {MAX_CHUNKS_BYTES} are allowed"
        raise errors.TooLarge(message, bytes=len(raw))
    if (decoded := _decode_canonical(raw)) is not None:
        return decoded
    value = parse(raw)
    if not isinstance(value, list):
        raise errors.WrongType("the chunk headers must be a JSON array", member="chunks")
    return chunks_from_json(value)


def _decode_canonical(raw: bytes) -> tuple[ChunkHeader, ...] | None:
    """Decode the chunk headers if they are in canonical JSON and valid, otherwise return None.

    It takes a tenth of the time of `parse`, which decides about everything else, and names what is
    wrong. A service that encodes headers writes them in this form.
    """
    chunks = tuple(
        ChunkHeader(
            int(sequence), int(received_ms), int(length), bytes.fromhex(commitment.decode())
        )
        for commitment, length, received_ms, sequence in _LEAF.findall(raw)
    )
    if not 0 < len(chunks) <= MAX_CHUNKS or encode_chunks(chunks) != raw:
        return None
    is_valid = all(
        chunk.length <= MAX_CHUNK_BYTES
        and chunk.received_ms <= MAX_INTEGER
        and chunk.sequence <= MAX_INTEGER
        for chunk in chunks
    )
    return chunks if is_valid else None
