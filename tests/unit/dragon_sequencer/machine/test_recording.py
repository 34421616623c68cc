"""Recorded functions compute what the functions compute with integers."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import pytest

pytest.importorskip("llvmlite")

from hypothesis import given, settings
from hypothesis import strategies as st

from dragon_sequencer.machine.instructions import REGISTER_BYTES, Operation, numbers, register
from dragon_sequencer.machine.processor import Processor, encoded
from dragon_sequencer.machine.recording import (
    FIRST_CONSTANT,
    FIRST_TEMPORARY,
    Constants,
    Recording,
)
from dragon_sequencer.tower import P, R
from examples import examples

Function = Callable[..., Sequence[Any]]

NUMBERS: Final = st.one_of(st.integers(0, P - 1), st.sampled_from([0, 1, P - 1]))


@cache
def processor() -> Processor:
    return Processor()


def computed(function: Function, *arguments: int) -> list[int]:
    """The results of a recorded function, which replace its arguments."""
    constants = Constants()
    recording = Recording(constants)
    results = function(*(recording.argument(at) for at in range(len(arguments))))
    code = recording.instructions(results, range(len(results)))
    before = b"".join(map(register, arguments)).ljust(REGISTER_BYTES * FIRST_CONSTANT, b"\0")
    memory = bytearray((before + constants.content).ljust(REGISTER_BYTES * 1000, b"\xff"))
    processor().run(encoded(code), array("I", (0, len(code), 0)), memory)
    return numbers(memory[: REGISTER_BYTES * len(results)])


def every_operator(x: int, y: int) -> Sequence[int]:
    return (
        *(x + y, x + 0, 0 + x, x + 5, 7 + x),
        *(x - y, x - 0, 0 - x, x - 5, 7 - x, -x, y - y),
        *(x * y, x * 0, 1 * x, x * 2, 3 * x, x * 7, 8 * x, x * 9, 27 * x, x * -1, R * x),
        *((x * y + 1) % P, (x - y) * (x + y) % P, pow(x, 5, P), pow(x, P - 2, P)),
        *(pow(x * x + 1, -1, P), 12, 0),  # p is 3 modulo 4, so x² is not −1
    )


@settings(max_examples=examples(100), deadline=None)
@given(NUMBERS, NUMBERS)
def test_a_recording_computes_what_the_function_does(x: int, y: int) -> None:
    assert computed(every_operator, x, y) == [number % P for number in every_operator(x, y)]


def test_results_may_be_exchanged_arguments() -> None:
    assert computed(lambda a, b, c: [c, a, b], 1, 2, 3) == [3, 1, 2]


def test_the_inverse_of_zero_is_zero() -> None:
    assert computed(lambda a: [pow(a, -1, P)], 0) == [0]


@pytest.mark.parametrize(
    "function",
    [lambda a: a % R, lambda a: pow(a, 2, R), lambda a: pow(a, 0, P), lambda a: pow(a, -2, P)],
)
def test_other_moduli_and_exponents_are_refused(function: Callable[[Any], object]) -> None:
    with pytest.raises(ValueError, match=r"modul(o|us) p"):
        function(Recording(Constants()).argument(0))


def test_a_recording_cannot_decide() -> None:
    """A condition on a value would be recorded as if it held."""
    value: Any = Recording(Constants()).argument(0)

    for condition in (lambda: bool(value), lambda: value == 0, lambda: value < 1):
        with pytest.raises(TypeError):
            condition()


def test_constants_share_registers_and_are_limited() -> None:
    constants = Constants()
    recording = Recording(constants)
    value = recording.argument(0)

    assert (value + 5).place == (5 + value).place
    assert constants.content == register(5)
    for number in range(6, 5 + FIRST_TEMPORARY - FIRST_CONSTANT):
        value += number
    with pytest.raises(OverflowError):
        value + 1000


def test_small_factors_need_no_multiplication() -> None:
    recording = Recording(Constants())
    value = recording.argument(0)

    made = recording.instructions([9 * value], [0])

    assert [each.operation for each in made] == [Operation.TRIPLE] * 2 + [Operation.COPY]
