"""Computations as lists of steps, and the places in which their results are kept.

Both kinds of recordings use this: those of numbers in registers, and those of elements of F_p¹² in
blocks of registers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

Name = TypeVar("Name")  # of what a step computes


class Placed(NamedTuple, Generic[Name]):
    """A step, with the places of its operands and its result."""

    name: Name
    target: int
    operands: tuple[int, ...]


class Steps(Generic[Name]):
    """Steps in the order in which they are taken. Equal steps are taken once.

    An operand or result is the number of a step, or −1 − p for the fixed place p.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[Name, tuple[int, ...]]] = []
        self._known: dict[tuple[Name, tuple[int, ...]], int] = {}

    def take(self, name: Name, *operands: int) -> int:
        """Append a step, unless it was taken before. Returns its number."""
        step = name, operands
        if step not in self._known:
            self._known[step] = len(self._steps)
            self._steps.append(step)
        return self._known[step]

    def placed(
        self, results: Sequence[int], first_place: int, *, grouped: bool = False
    ) -> tuple[list[Placed[Name]], list[int]]:
        """The steps that are needed, with places from `first_place`, and the places of `results`.

        A place is used again as soon as nothing reads it any more (linear scan register
        allocation), so a result may have the place of an operand. Fixed places are never written.

        Args:
            results: steps or fixed places.
            first_place: steps have this place or higher ones.
            grouped: whether steps of one name shall follow each other as far as possible.
        """
        needed = self._needed(results)
        if grouped:
            needed = self._grouped(needed)
        # By step: the last one in this order that reads it; results are read after all.
        last = {each: at for at in needed for each in self._steps[at][1]}
        last |= dict.fromkeys(results, len(self._steps))
        where: dict[int, int] = {}  # by step: its place
        free: list[int] = []  # places that nothing reads any more
        placed: list[Placed[Name]] = []

        def place(number: int) -> int:
            return -1 - number if number < 0 else where[number]

        used = first_place
        for at in needed:
            name, operands = self._steps[at]
            read = tuple(map(place, operands))
            free += [where[each] for each in {*operands} if each >= 0 and last[each] == at]
            if not free:
                free.append(used)
                used += 1
            where[at] = free.pop()
            placed.append(Placed(name, where[at], read))
        return placed, [place(each) for each in results]

    def _needed(self, results: Iterable[int]) -> list[int]:
        """The numbers of the steps that these results depend on."""
        needed, left = set[int](), [each for each in results if each >= 0]
        while left:
            at = left.pop()
            if at not in needed:
                needed.add(at)
                left += self._inner(at)
        return sorted(needed)

    def _grouped(self, numbers: Iterable[int]) -> list[int]:
        """The numbers in an order in which steps of one name follow each other.

        Of all steps with known operands, those of the most frequent name come next.
        """
        users: dict[int, list[int]] = {}
        missing: dict[int, int] = {}
        ready: dict[Name, list[int]] = {}

        def make_ready(at: int) -> None:
            ready.setdefault(self._steps[at][0], []).append(at)

        for at in numbers:
            inner = self._inner(at)
            missing[at] = len(inner)
            for each in inner:
                users.setdefault(each, []).append(at)
            if not inner:
                make_ready(at)
        order: list[int] = []
        while ready:
            taken = ready.pop(max(ready, key=lambda name: len(ready[name])))
            order += taken
            for user in (user for at in taken for user in users.get(at, ())):
                missing[user] -= 1
                if not missing[user]:
                    make_ready(user)
        return order

    def _inner(self, at: int) -> set[int]:
        """The steps that produce what a step reads."""
        return {each for each in self._steps[at][1] if each >= 0}
