"""Histories: sequences that only grow and are values, so that every older state keeps its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, Generic, TypeVar, overload

T = TypeVar("T")

BLOCK_ITEMS: Final = 128


class History(Sequence[T], Generic[T]):
    """What happened to one subject, oldest first. Immutable: `appended` returns a new history.

    A history is a tuple of full blocks and a tail, which older and newer histories share. Appending
    copies the tail, and the tuple of blocks once per block, so a node that flaps for years costs
    hardly more per event. Several threads may append to the same history; each gets its own.
    """

    __slots__ = ("_blocks", "_tail")

    def __init__(self, items: Iterable[T] = ()) -> None:
        listed = tuple(items)
        full = len(listed) - len(listed) % BLOCK_ITEMS
        self._blocks = tuple(listed[i : i + BLOCK_ITEMS] for i in range(0, full, BLOCK_ITEMS))
        self._tail = listed[full:]

    def appended(self, item: T) -> History[T]:
        """Return this history with `item` at its end."""
        following: History[T] = History()
        following._blocks, following._tail = self._blocks, (*self._tail, item)
        if len(following._tail) == BLOCK_ITEMS:
            following._blocks, following._tail = (*self._blocks, following._tail), ()
        return following

    def __len__(self) -> int:
        return len(self._blocks) * BLOCK_ITEMS + len(self._tail)

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[T]: ...
    def __getitem__(self, at: int | slice) -> T | Sequence[T]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        if not -len(self) <= at < len(self):
            raise IndexError(at)
        block, place = divmod(at % len(self), BLOCK_ITEMS)
        return self._tail[place] if block == len(self._blocks) else self._blocks[block][place]

    def __iter__(self) -> Iterator[T]:
        return chain.from_iterable((*self._blocks, self._tail))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"History({list(self)})"
