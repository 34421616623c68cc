"""Each operation of the compiled kernel, compared with Python's integers."""

from __future__ import annotations

from array import array
from functools import cache
from typing import Final

import pytest

pytest.importorskip("llvmlite")

from hypothesis import example, given, settings
from hypothesis import strategies as st

from dragon_sequencer.machine.instructions import (
    MONTGOMERY,
    REGISTER_BYTES,
    Instruction,
    Operation,
    exponent,
    numbers,
    register,
)
from dragon_sequencer.machine.processor import Processor, encoded
from dragon_sequencer.tower import P, R
from examples import examples

_INVERSE: Final = pow(MONTGOMERY, -1, P)
# Numbers with words of zeros or ones in their registers, or that lie at the ends of the range.
WORDS: Final = st.sampled_from([0, 1, 2, 1 << 32, 1 << 63, (1 << 64) - 2, (1 << 64) - 1])
PATTERNS: Final = st.tuples(WORDS, WORDS, WORDS, WORDS).map(
    lambda words: sum(word << 64 * at for at, word in enumerate(words)) % P * _INVERSE % P
)
ENDS: Final = st.integers(0, 4).flatmap(lambda at: st.sampled_from([at, P - 1 - at]))
HALF: Final = st.integers(-2, 2).map(lambda at: (P // 2 + at) * _INVERSE % P)
NUMBERS: Final = st.one_of(st.integers(0, P - 1), PATTERNS, ENDS, HALF)


@cache
def processor() -> Processor:
    return Processor()


def run(
    instructions: list[Instruction], registers: bytes, *bases: int, count: int = 8
) -> bytearray:
    """All registers after one call for each base."""
    memory = bytearray(registers.ljust(REGISTER_BYTES * count, b"\xff"))
    calls = array("I")
    for base in bases or (0,):
        calls.extend((0, len(instructions), base))
    processor().run(encoded(instructions), calls, memory)
    return memory


def result(operation: Operation, a: bytes, b: bytes) -> int:
    """The result of one operation, which must be reduced. It is the same if it replaces a or b."""
    found = []
    for target in (2, 0, 1):
        memory = run([Instruction(operation, target, 0, 1)], a + b)
        place = REGISTER_BYTES * target
        found.append(bytes(memory[place : place + REGISTER_BYTES]))
        untouched = [at for at in (0, 1) if at != target]
        for at in untouched:
            kept = (a, b)[at]
            assert memory[REGISTER_BYTES * at : REGISTER_BYTES * (at + 1)] == kept
    assert len(set(found)) == 1
    assert int.from_bytes(found[0], "little") < P
    [number] = numbers(found[0])
    return number


@settings(max_examples=examples(600), deadline=None)
@given(NUMBERS, NUMBERS)
@example(0, 0)
@example(P - 1, P - 1)
@example(P - 1, 1)
@example(1, 0)
def test_sums_differences_and_products(a: int, b: int) -> None:
    first, second = register(a), register(b)

    assert result(Operation.ADD, first, second) == (a + b) % P
    assert result(Operation.SUBTRACT, first, second) == (a - b) % P
    assert result(Operation.MULTIPLY, first, second) == a * b % P
    assert result(Operation.TRIPLE, first, second) == 3 * a % P
    assert result(Operation.COPY, first, second) == a


@settings(max_examples=examples(200), deadline=None)
@given(NUMBERS)
def test_both_operands_may_be_one_register(a: int) -> None:
    for operation, expected in (
        (Operation.ADD, 2 * a),
        (Operation.SUBTRACT, 0),
        (Operation.MULTIPLY, a * a),
    ):
        memory = run([Instruction(operation, 0, 0, 0)], register(a))
        assert numbers(memory[:REGISTER_BYTES]) == [expected % P]


@settings(max_examples=examples(60), deadline=None)
@given(NUMBERS, st.one_of(st.integers(1, 9), st.integers(1, (1 << 256) - 1)))
@example(0, P - 2)
@example(1, P - 2)
@example(P - 1, P - 2)
@example(2, (P + 1) // 4)
@example(3, 1)
@example(3, 1 << 255)
@example(3, (1 << 256) - 1)
def test_powers(a: int, power: int) -> None:
    assert result(Operation.POWER, register(a), exponent(power)) == pow(a, power, P)


@given(st.integers(-R, 3 * P))
def test_registers_hold_numbers_that_need_not_be_reduced(number: int) -> None:
    assert numbers(register(number)) == [number % P]
    assert int.from_bytes(register(number), "little") < P


def test_calls_load_from_their_base_and_store_to_it() -> None:
    instructions = [
        Instruction(Operation.LOAD, 0, 1, 1),
        Instruction(Operation.ADD, 0, 0, 0),
        Instruction(Operation.STORE, 0, 0, 0),
    ]
    before = b"".join(map(register, range(8)))

    memory = run(instructions, before, 2, 6, 4)

    assert numbers(memory) == [10, 1, 6, 3, 10, 5, 14, 7]


def test_a_call_runs_its_part_of_the_code_only() -> None:
    code = encoded([Instruction(Operation.ADD, at, at, at) for at in range(4)])
    memory = bytearray(b"".join(map(register, (1, 2, 3, 4))))

    processor().run(code, array("I", (1, 3, 0, 2, 2, 0, 2, 3, 0)), memory)

    assert numbers(memory) == [1, 4, 12, 4]


def test_without_calls_nothing_changes() -> None:
    memory = bytearray(register(5))

    processor().run(encoded([]), array("I"), memory)

    assert numbers(memory) == [5]
