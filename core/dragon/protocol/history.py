"""Histories: sequences that only grow and are values, so that every older state keeps its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, Generic, TypeAlias, TypeVar, overload

T = TypeVar("T")
# Returns a full block by its number, from 0. What it returns never changes.
ReadBlock: TypeAlias = Callable[[int], tuple[T, ...]]

BLOCK_ITEMS: Final = 128


def _nothing(number: int) -> tuple[Any, ...]:
    raise IndexError(number)


class History(Sequence[T], Generic[T]):
    """What happened to one subject, oldest first. Immutable: `appended` returns a new history.

    A history is a tuple of full blocks and a tail, which older and newer histories share. Appending
    copies the tail, and the tuple of blocks once per block, so a node that flaps for years costs
    hardly more per event. Several threads may append to the same history; each gets its own.

    The first full blocks may be stored elsewhere (`stored`): they are read when an item is needed,
    so the memory that a long history takes does not grow with its length.
    """

    __slots__ = ("_blocks", "_read", "_stored", "_tail")

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._stored = 0
        self._read: ReadBlock[T] = _nothing
        listed = tuple(items)
        full = len(listed) - len(listed) % BLOCK_ITEMS
        self._blocks = tuple(listed[i : i + BLOCK_ITEMS] for i in range(0, full, BLOCK_ITEMS))
        self._tail = listed[full:]

    def appended(self, item: T) -> History[T]:
        """Return this history with `item` at its end."""
        following: History[T] = History()
        following._stored, following._read = self._stored, self._read
        following._blocks, following._tail = self._blocks, (*self._tail, item)
        if len(following._tail) == BLOCK_ITEMS:
            following._blocks, following._tail = (*self._blocks, following._tail), ()
        return following

    @property
    def full_blocks(self) -> int:
        """The number of blocks with `BLOCK_ITEMS` items, wherever they are."""
        return self._stored + len(self._blocks)

    @property
    def tail(self) -> tuple[T, ...]:
        """The items after the last full block."""
        return self._tail

    def new_blocks(self) -> Iterator[tuple[int, tuple[T, ...]]]:
        """Yield number and items of each full block that is not stored elsewhere."""
        yield from enumerate(self._blocks, start=self._stored)

    def stored(self, read: ReadBlock[T]) -> History[T]:
        """Return this history with all full blocks left to `read`, which must return them."""
        return History.of_stored(self.full_blocks, read, self._tail)

    @classmethod
    def of_stored(cls, blocks: int, read: ReadBlock[T], tail: Iterable[T]) -> History[T]:
        """Return the history of stored full blocks and a tail of less than `BLOCK_ITEMS` items."""
        found = cls(tail)
        found._stored, found._read = blocks, read
        return found

    def __len__(self) -> int:
        return self.full_blocks * BLOCK_ITEMS + len(self._tail)

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
        if block < self._stored:
            return self._read(block)[place]
        block -= self._stored
        return self._tail[place] if block == len(self._blocks) else self._blocks[block][place]

    def __iter__(self) -> Iterator[T]:
        stored = map(self._read, range(self._stored))
        return chain.from_iterable(chain(stored, self._blocks, (self._tail,)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"History({list(self)})"
