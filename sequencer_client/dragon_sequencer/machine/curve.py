"""The compiled functions of BN254; see `dragon_sequencer.compiled`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from dragon_sequencer import complete_addition, pairing, tower
from dragon_sequencer.bn254 import G1
from dragon_sequencer.machine import schedule
from dragon_sequencer.machine.instructions import REGISTER_BYTES, numbers, register
from dragon_sequencer.machine.library import POINT_REGISTERS, Library
from dragon_sequencer.machine.processor import Processor
from dragon_sequencer.machine.recording import FIRST_CONSTANT
from dragon_sequencer.machine.schedule import Schedule
from dragon_sequencer.pairing import Lines
from dragon_sequencer.tower import P

_MAX_LINES: Final = 65  # prepared points with registers that are kept, 11 KB each
_MAX_SCHEDULES: Final = 8  # of products with different numbers of pairs, 14 KB and more


class CompiledCurve:
    """See `dragon_sequencer.compiled.Compiled`. Threads may share it."""

    def __init__(self) -> None:
        """Compile the machine and record the library: about a tenth of a second.

        Raises RuntimeError: LLVM cannot make code for this processor.
        """
        self._processor = Processor()
        self._library = library = Library()
        self._product = lru_cache(_MAX_SCHEDULES)(lambda pairs: schedule.product(library, pairs))
        self._sum = schedule.SumSchedules(library)
        self._lines = lru_cache(_MAX_LINES)(_line_registers)
        self._root = Schedule(library)
        self._root.call("curve root")

    def is_one(self, pairs: Sequence[tuple[G1, Lines]]) -> bool:
        if not all(y % P for (_, y), _ in pairs):
            return pairing.is_one_plain(pairs)  # which raises the error
        blocks = b"".join(_registers(point) + self._lines(lines) for point, lines in pairs)
        first = schedule.first_pair(self._library)
        return self._run(self._product(len(pairs)), _ONE, blocks, first)[: len(_ONE)] == _ONE

    def weighted_sum(self, points: Sequence[G1], factors: Sequence[int]) -> G1 | None:
        room = bytes(REGISTER_BYTES * POINT_REGISTERS * (schedule.MULTIPLES - 1))
        tables = b"".join(_registers((x, y, 1)) + room for x, y in points)
        found = self._run(self._sum(factors), b"", _INFINITY + tables, self._library.first_free)
        x, y, z = numbers(found[: REGISTER_BYTES * POINT_REGISTERS])
        return (x, y) if z else None

    def curve_root(self, x: int) -> tuple[int, int]:
        found = self._run(self._root, register(x), b"", self._library.first_free)
        square, y = numbers(found[: 2 * REGISTER_BYTES])
        return square, y

    def _run(self, calls: Schedule, arguments: bytes, data: bytes, first: int) -> bytearray:
        """Run calls with arguments in the first registers, and data from another one.

        Returns all registers.
        """
        before = arguments.ljust(REGISTER_BYTES * FIRST_CONSTANT, b"\0") + self._library.constants
        registers = bytearray(before.ljust(REGISTER_BYTES * first, b"\0") + data)
        if len(registers) < REGISTER_BYTES * calls.registers:
            raise IndexError("the calls need more registers")  # the kernel does not check it
        self._processor.run(self._library.code, calls.calls, registers)
        return registers


def _registers(values: Sequence[int]) -> bytes:
    return b"".join(map(register, values))


def _line_registers(lines: Lines) -> bytes:
    """Raises ValueError: these are not the lines of a Miller loop."""
    if tuple(map(len, lines)) != schedule.SHAPE:
        raise ValueError("the loops have different numbers of lines")
    return _registers([number for group in lines for line in group for number in line])


_ONE: Final = _registers([*tower.ONE[0], *tower.ONE[1]])
_INFINITY: Final = _registers(complete_addition.INFINITY)
