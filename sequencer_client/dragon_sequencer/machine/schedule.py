"""Schedules: which pieces of the library run, one after the other, and on which registers."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from dragon_sequencer import pairing
from dragon_sequencer.machine.library import (
    F12_REGISTERS,
    LINE_REGISTERS,
    POINT_REGISTERS,
    Library,
)
from dragon_sequencer.machine.steps import Placed, Steps
from dragon_sequencer.pairing import GENERATOR_LINES, SQUARINGS
from dragon_sequencer.weighted_sum import WINDOW

SHAPE: Final = tuple(map(len, GENERATOR_LINES))  # of all lines: how many are in each group
PAIR_REGISTERS: Final = 2 + LINE_REGISTERS * sum(SHAPE)  # a point of G1, and lines
MULTIPLES: Final = (1 << WINDOW) - 1  # of each point of a sum that are computed first
_MAX_TABLES: Final = 64  # schedules of multiples that are kept, 350 bytes each


class Schedule:
    """A list of calls that grows.

    Attributes:
        calls: see `Processor.run`.
        registers: the number of registers that the calls need.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self.calls: Final[array[int]] = array("I")
        self.registers = library.first_free

    def call(self, name: str, base: int = 0) -> None:
        """Append a call of a piece."""
        piece = self._library[name]
        self.calls.extend((piece.start, piece.stop, base))
        self.registers = max(self.registers, base + piece.reach)

    def append(self, other: Schedule) -> None:
        """Append the calls of another schedule of the same library."""
        self.calls.extend(other.calls)
        self.registers = max(self.registers, other.registers)


class Blocks:
    """Arithmetic in F_p¹² that is written down: an element is the number of a step.

    It has the interface `pairing.Field`. Elements are kept in blocks of twelve registers.
    """

    ARGUMENT: Final = -1  # the element in block 0

    def __init__(self) -> None:
        self._steps = Steps[str]()

    def multiply(self, f: int, g: int, /) -> int:
        return self._steps.take("multiply", f, g)

    def square_cyclotomic(self, f: int, /) -> int:
        return self._steps.take("square_cyclotomic", f)

    def conjugate(self, f: int, /) -> int:
        return self._steps.take("conjugate", f)

    def invert(self, f: int, /) -> int:
        return self._steps.take("invert", f)

    def frobenius(self, f: int, times: int, /) -> int:
        return self._steps.take(f"frobenius {times}", f)

    def placed(self, result: int) -> list[Placed[str]]:
        """The steps that lead to a result, with the numbers of blocks."""
        return self._steps.placed([result], 1)[0]


def _final_steps() -> list[Placed[str]]:
    blocks = Blocks()
    return blocks.placed(pairing.final_exponentiation(Blocks.ARGUMENT, blocks))


_FINAL: Final = _final_steps()
_BLOCKS: Final = 1 + max(step.target for step in _FINAL)


def first_pair(library: Library) -> int:
    """The first register of the pairs of a product."""
    return library.first_free + F12_REGISTERS * _BLOCKS


def product(library: Library, pairs: int) -> Schedule:
    """The schedule of a product of pairings.

    At the beginning, f is 1, and the registers from `first_pair` have the pairs: for each one, the
    coordinates of the point of G1, and the lines. At the end, f is the product.
    """
    schedule, begin = Schedule(library), first_pair(library)
    bases = range(begin, begin + PAIR_REGISTERS * pairs, PAIR_REGISTERS)
    for base in bases:
        schedule.call("factors", base)
    line = 2
    for position, size in enumerate(SHAPE):
        if position != SQUARINGS:  # no squaring precedes the last two lines
            schedule.call("square")
        for base in bases:
            schedule.call("choose factors", base)
            for number in range(size):
                schedule.call("line", base + line + LINE_REGISTERS * number)
        line += LINE_REGISTERS * size
    _finish(schedule, library)
    return schedule


def _finish(schedule: Schedule, library: Library) -> None:
    """The final exponentiation of f."""

    def block(number: int) -> int:
        return library.first_free + F12_REGISTERS * number

    schedule.call("store f", block(0))
    in_f = 0  # the block of which f is the element
    for step in _FINAL:
        first, *others = step.operands
        if first != in_f:
            schedule.call("load f", block(first))
        for other in others:
            schedule.call("load g", block(other))
        schedule.call(step.name)
        schedule.call("store f", block(step.target))
        in_f = step.target


class SumSchedules:
    """The schedules of weighted sums. What does not depend on factors is kept.

    At the beginning, the registers from the first free one have infinity, and then the points, each
    with room for its multiples by 2 to 15. At the end, the registers of the point have the affine
    sum, see `complete_addition.affine`.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._infinity: Final = library.first_free
        self._multiples = lru_cache(_MAX_TABLES)(self._of_multiples)
        self._doublings = Schedule(library)
        for _ in range(WINDOW):
            self._doublings.call("double")

    def __call__(self, factors: Sequence[int]) -> Schedule:
        """The schedule of a sum with these factors, which are not negative."""
        schedule = Schedule(self._library)
        for number in range(len(factors)):
            schedule.append(self._multiples(number))
        schedule.call("load point", self._infinity)
        bits = max((factor.bit_length() for factor in factors), default=0)
        for shift in range(-(-bits // WINDOW) * WINDOW - WINDOW, -1, -WINDOW):
            schedule.append(self._doublings)
            for number, factor in enumerate(factors):
                if digit := factor >> shift & MULTIPLES:
                    schedule.call("add", self._table(number) + POINT_REGISTERS * (digit - 1))
        schedule.call("affine")
        return schedule

    def _table(self, number: int) -> int:
        """The first register of the multiples of a point."""
        return self._infinity + POINT_REGISTERS * (1 + MULTIPLES * number)

    def _of_multiples(self, number: int) -> Schedule:
        """Computes the multiples of a point."""
        schedule, table = Schedule(self._library), self._table(number)
        schedule.call("load point", table)
        for multiple in range(1, MULTIPLES):
            schedule.call("add", table)
            schedule.call("store point", table + POINT_REGISTERS * multiple)
        return schedule
