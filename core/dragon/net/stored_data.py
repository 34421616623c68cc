"""Compare a file with the data that a stream has already, before an upload continues.

The service lists length and SHA-256 of every chunk on its disk to the stream's owner, also of
chunks whose data has been deleted.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from dragon.encoding import Members
from dragon.errors import BadAnswer
from dragon.net.stream_client import StreamClient
from dragon.protocol.streams.chunks import MAX_CHUNK_BYTES, digest
from dragon.stark.commitment import DATA_DIGEST_BYTES

PAGE_SIZE: Final = 1000  # chunks of one request, the service's maximum


@dataclass(frozen=True, slots=True)
class StoredPart:
    """The part of a file, or of messages, that a stream has from a chunk on."""

    bytes: int  # of the file or the messages, from its start
    following: int  # sequence of the chunk after this part
    differs: bool = False  # whether that chunk exists and holds other data than the file


@dataclass(frozen=True, slots=True)
class _ChunkDigest:
    sequence: int
    length: int
    digest: bytes


def stored_part(
    client: StreamClient, stream: str, source: BinaryIO, size: int, *, first: int = 0
) -> StoredPart:
    """Compare a file with the chunks of a stream, until the file's end or a difference.

    Args:
        client: a client with the stream's token.
        stream: the stream's id, 0x….
        source: the file, positioned at its start.
        size: bytes of the file.
        first: sequence of the chunk at which the file's data should begin.

    Raises PeerError, Unauthorized, NotFound, InvalidEncoding; OSError: the file cannot be read.
    """
    done, following = 0, first
    for chunk in _digests(client, stream, first):
        if done == size:
            break
        if done + chunk.length > size or not _is_next(source, chunk):
            return StoredPart(done, following, differs=True)
        done, following = done + chunk.length, chunk.sequence + 1
    return StoredPart(done, following)


def stored_messages(
    client: StreamClient, stream: str, messages: Iterable[bytes], *, first: int = 0
) -> StoredPart:
    """Compare messages with the chunks of a stream of messages, until their end or a difference.

    Args:
        client: a client with the stream's token.
        stream: the stream's id, 0x….
        messages: the messages, in order.
        first: sequence of the chunk at which they should begin.

    Raises PeerError, Unauthorized, NotFound, InvalidEncoding, and what `messages` raises.
    """
    done, following = 0, first
    for message, chunk in zip(messages, _digests(client, stream, first), strict=False):
        if not hmac.compare_digest(digest(message), chunk.digest):
            return StoredPart(done, following, differs=True)
        done, following = done + len(message), chunk.sequence + 1
    return StoredPart(done, following)


def _is_next(source: BinaryIO, chunk: _ChunkDigest) -> bool:
    return hmac.compare_digest(digest(source.read(chunk.length)), chunk.digest)


def _digests(client: StreamClient, stream: str, first: int) -> Iterator[_ChunkDigest]:
    """Yield all chunks from `first` on. Raises BadAnswer: the list has a gap."""
    following = first
    while True:
        answer = client.get(f"/streams/{stream}/chunks", after=following - 1, limit=PAGE_SIZE)
        page = Members(answer, "the list of chunks")
        listed = page.list("chunks", most=PAGE_SIZE)
        for item in listed:
            chunk = _chunk(Members(item, "the chunk"))
            if chunk.sequence != following:
                raise BadAnswer(f"the list of chunks does not contain chunk {following}")
            yield chunk
            following += 1
        if not listed or page.take("next") is None:
            return


def _chunk(members: Members) -> _ChunkDigest:
    return _ChunkDigest(
        members.integer("sequence"),
        members.integer("length", most=MAX_CHUNK_BYTES),
        members.hex("digest", size=DATA_DIGEST_BYTES),
    )
