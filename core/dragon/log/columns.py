"""Long columns of integers, of which full blocks are stored in the log's file."""

from __future__ import annotations

import base64
import binascii
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias, overload

BLOCK_INTEGERS: Final = 1024
INTEGER_BYTES: Final = 8

# Returns a full block by its number, from 0. What it returns never changes.
ReadIntegers: TypeAlias = Callable[[int], Sequence[int]]


def _nothing(number: int) -> Sequence[int]:
    raise IndexError(number)


class Column(Sequence[int]):
    """Integers of 64 bits that are only appended.

    Full blocks may be stored elsewhere: they are read when an integer is needed. Not for several
    threads at once.
    """

    __slots__ = ("_read", "_rest", "_stored")

    def __init__(self, read: ReadIntegers = _nothing, stored: int = 0, rest: Iterable[int] = ()):
        """Args: stored: full blocks that `read` returns; rest: the integers after them."""
        self._read, self._stored, self._rest = read, stored, array("q", rest)

    def append(self, value: int) -> None:
        self._rest.append(value)

    def __len__(self) -> int:
        return self._stored * BLOCK_INTEGERS + len(self._rest)

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[int]: ...
    def __getitem__(self, at: int | slice) -> int | Sequence[int]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        if at < 0:
            at += len(self)
        first = self._stored * BLOCK_INTEGERS
        if at >= first:
            return self._rest[at - first]
        if at < 0:
            raise IndexError(at)
        return self._read(at // BLOCK_INTEGERS)[at % BLOCK_INTEGERS]

    def new_blocks(self) -> Iterator[tuple[int, bytes]]:
        """Yield number and content of each full block that is not stored yet."""
        for place in range(len(self._rest) // BLOCK_INTEGERS):
            content = self._rest[place * BLOCK_INTEGERS : (place + 1) * BLOCK_INTEGERS]
            yield self._stored + place, to_bytes(content)

    def tail(self) -> array[int]:
        """Return the integers after the last full block."""
        return self._rest[len(self._rest) // BLOCK_INTEGERS * BLOCK_INTEGERS :]

    def forget(self) -> None:
        """Forget all full blocks, which are stored from now on."""
        full = len(self._rest) // BLOCK_INTEGERS
        del self._rest[: full * BLOCK_INTEGERS]
        self._stored += full


def to_bytes(values: array[int]) -> bytes:
    """Return integers as 8 bytes each, little-endian, on every machine."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def from_bytes(content: bytes) -> array[int]:
    """Return the integers that `to_bytes` has encoded. Raises ValueError."""
    values = array("q")
    values.frombytes(content)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def to_text(values: Iterable[int]) -> str:
    """Return integers as text for a JSON document."""
    return base64.b64encode(to_bytes(array("q", values))).decode()


def from_text(text: object) -> array[int]:
    """Return the integers that `to_text` has encoded. Raises ValueError."""
    if not isinstance(text, str):
        raise ValueError("a column of integers must be text")
    try:
        return from_bytes(base64.b64decode(text, validate=True))
    except binascii.Error:
        raise ValueError("a column of integers must be base64") from None
