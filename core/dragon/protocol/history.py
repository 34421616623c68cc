"""Histories: immutable sequences with a cheap append, so that older states do not change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar, overload

T = TypeVar("T")


class History(Sequence[T], Generic[T]):
    """An immutable sequence, oldest item first. `appended` returns a new history.

    Successive histories share one list, and each stores its own length. Appending takes constant
    time, and older histories do not change.
    """

    __slots__ = ("_length", "_shared")

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._shared = list(items)
        self._length = len(self._shared)

    def appended(self, item: T) -> History[T]:
        """Return this history with `item` at its end."""
        following: History[T] = History()
        # Only the newest history may append to the shared list; a branch gets a copy.
        newest = len(self._shared) == self._length
        following._shared = self._shared if newest else self._shared[: self._length]
        following._shared.append(item)
        following._length = self._length + 1
        return following

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[T]: ...
    def __getitem__(self, at: int | slice) -> T | Sequence[T]:
        if isinstance(at, slice):
            return [self._shared[i] for i in range(*at.indices(self._length))]
        if not -self._length <= at < self._length:
            raise IndexError(at)
        return self._shared[at % self._length]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"History({list(self)})"
