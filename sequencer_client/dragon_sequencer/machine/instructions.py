"""The instructions of the machine, and the layout of its registers.

A register holds a number of F_p in Montgomery form, or an exponent, as 32 bytes: four words of 64
bits, the lowest first. An instruction is four numbers of 16 bits: what it does, the register that
it writes, and those that it reads.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from dragon_sequencer.tower import P

REGISTER_BYTES: Final = 32
MONTGOMERY: Final = (1 << 8 * REGISTER_BYTES) % P  # the factor of Montgomery form
_INVERSE: Final = pow(MONTGOMERY, -1, P)


class Operation(IntEnum):
    """What an instruction computes. a and b are registers; `base` belongs to the call."""

    ADD = 0  # a + b
    SUBTRACT = 1  # a − b
    MULTIPLY = 2  # a·b
    TRIPLE = 3  # 3·a
    POWER = 4  # a to the power of the number in b, which is not 0
    COPY = 5  # a
    LOAD = 6  # the register base + a
    STORE = 7  # a, written to the register base + target


class Instruction(NamedTuple):
    """One instruction."""

    operation: Operation
    target: int
    a: int
    b: int


def register(number: int) -> bytes:
    """A register with this number of F_p, which need not be reduced."""
    return exponent(number * MONTGOMERY % P)


def exponent(number: int) -> bytes:
    """A register with this number itself, from 0 to 2²⁵⁶ − 1."""
    return number.to_bytes(REGISTER_BYTES, "little")


def numbers(registers: bytes | bytearray) -> list[int]:
    """The numbers of F_p in these registers."""
    return [
        int.from_bytes(registers[at : at + REGISTER_BYTES], "little") * _INVERSE % P
        for at in range(0, len(registers), REGISTER_BYTES)
    ]
