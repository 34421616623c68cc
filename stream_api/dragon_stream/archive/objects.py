"""What the archive needs of an object store, and the names of its objects."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from dragon.errors import ArchiveUnavailable
from dragon_stream.damage import Damaged
from dragon_stream.records import SUFFIX

PIECE_BYTES: Final = 1 << 20  # of a body that is read piece by piece, approximately
PROOFS_SUFFIX: Final = ".proofs"


class ObjectMissing(Exception):
    """The store has no object with this name."""


class ObjectDiffers(Exception):
    """The store has another object with this name; the text is a predicate."""


@dataclass(frozen=True, slots=True)
class Body:
    """An object, or a part of one."""

    size: int  # bytes of the whole object, as the store says
    pieces: Iterator[bytes]


class ObjectStore(Protocol):
    """A bucket. Nothing that it answers is trusted. All methods may be called by several threads.

    All methods raise ArchiveUnavailable if the store cannot do it now. A method ends within its
    deadline, which is the store's own.
    """

    def put(self, name: str, data: bytes) -> None:
        """Store an object, in place of one with this name. It is stored when this returns."""

    def get(self, name: str, start: int = 0, length: int | None = None) -> Body:
        """An object, or `length` bytes of it from byte `start`.

        Raises ObjectMissing, and ObjectDiffers if it ends before `start`. So do the pieces.
        """

    def size(self, name: str) -> int:
        """The bytes of an object. Raises ObjectMissing."""

    def delete(self, name: str) -> None:
        """Delete an object. Nothing happens if there is none."""

    def names(self, prefix: str) -> Iterator[str]:
        """The names of the objects below a prefix."""


class Kind(enum.StrEnum):
    """What an object holds."""

    SEGMENT = "segment"  # records of chunks: the bytes of a file `*.chunks`
    PROOFS = "proofs"  # proofs of consecutive windows


class State(enum.StrEnum):
    """The progress of an object."""

    PENDING = "pending"  # it may be in the archive, and nothing local is deleted
    STORED = "stored"  # it was read back from the archive, with its digest
    EXPIRED = "expired"  # its retention time has ended; it is deleted


@dataclass(frozen=True, slots=True)
class ArchivedObject:
    """One object of a stream."""

    stream: bytes
    kind: Kind
    first: int  # chunk or window
    last: int
    sha256: bytes
    size: int  # in bytes
    newest_ms: int  # Unix milliseconds
    state: State = State.PENDING
    is_local: bool = True

    @property
    def name(self) -> str:
        """Its name below the archive's prefix. The digest makes a repeated upload harmless."""
        suffix = SUFFIX if self.kind is Kind.SEGMENT else PROOFS_SUFFIX
        folder = "segments" if self.kind is Kind.SEGMENT else "proofs"
        return f"{self.stream.hex()}/{folder}/{self.first:016d}-{self.sha256.hex()}{suffix}"

    @property
    def place(self) -> str:
        """Its name without the digest, which may tell what is in it."""
        return self.name.rpartition("-")[0]

    @property
    def short_name(self) -> str:
        """Its name without the stream, for reports of damage."""
        return self.name.rpartition("/")[2]


def verified_pieces(store: ObjectStore, found: ArchivedObject) -> Iterator[bytes]:
    """Read an object. After the last piece it is known to have its size and digest.

    Raises ObjectMissing, ObjectDiffers, ArchiveUnavailable; ObjectDiffers at the end, too, so that
    pieces may be used only when all are read.
    """
    body = store.get(found.name)
    check_size(found, body.size)
    digest, read = hashlib.sha256(), 0
    for piece in body.pieces:
        digest.update(piece)
        read += len(piece)
        if read > found.size:
            break  # a store may send without end
        yield piece
    if read != found.size or digest.digest() != found.sha256:
        raise ObjectDiffers("has other content than its digest says")


def check_stored(store: ObjectStore, found: ArchivedObject) -> None:
    """Read an object back and compare it with its digest. Its pieces are not kept.

    Raises as `verified_pieces`.
    """
    for _ in verified_pieces(store, found):
        pass


def check_size(found: ArchivedObject, size: int) -> None:
    """Raises ObjectDiffers."""
    if size != found.size:
        raise ObjectDiffers(f"has {size} bytes instead of {found.size}")


@contextmanager
def faults_as_damage(found: ArchivedObject) -> Iterator[None]:
    """Raise Damaged if the store does not have the object, or another one of its name."""
    try:
        yield
    except ObjectMissing:
        raise _damaged(found, "is missing in the archive") from None
    except ObjectDiffers as error:
        raise _damaged(found, f"{error}, in the archive") from None


def _damaged(found: ArchivedObject, what: str) -> Damaged:
    chunk = found.first if found.kind is Kind.SEGMENT else None
    return Damaged(found.short_name, None, chunk, what)


class NoStore:
    """In place of a store, while STREAM_ARCHIVE is not set and the archive holds data."""

    def put(self, name: str, data: bytes) -> None:
        raise _not_set()

    def get(self, name: str, start: int = 0, length: int | None = None) -> Body:
        raise _not_set()

    def size(self, name: str) -> int:
        raise _not_set()

    def delete(self, name: str) -> None:
        raise _not_set()

    def names(self, prefix: str) -> Iterator[str]:
        raise _not_set()


def _not_set() -> ArchiveUnavailable:
    return ArchiveUnavailable("the data is in the archive, and STREAM_ARCHIVE is not set")
