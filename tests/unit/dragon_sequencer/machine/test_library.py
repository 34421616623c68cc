"""Each recorded piece, compared with the plain function, and with an independent library."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Final

import pytest

pytest.importorskip("llvmlite")

from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc import optimized_bn128 as oracle

from dragon_sequencer import bn254, complete_addition, pairing, tower
from dragon_sequencer.machine.instructions import REGISTER_BYTES, numbers, register
from dragon_sequencer.machine.library import Library
from dragon_sequencer.machine.processor import Processor
from dragon_sequencer.machine.recording import FIRST_CONSTANT
from dragon_sequencer.tower import F12, P
from examples import examples

COEFFICIENTS: Final = st.one_of(st.integers(0, P - 1), st.sampled_from([0, 1, P - 1]))
HALVES: Final = st.tuples(*[COEFFICIENTS] * 6)
ELEMENTS: Final = st.tuples(HALVES, HALVES)
ROOM: Final = 40  # registers behind those of the library


@cache
def tools() -> tuple[Processor, Library]:
    return Processor(), Library()


def run(name: str, arguments: Sequence[int], data: Sequence[int] = ()) -> tuple[list[int], ...]:
    """The numbers in the first registers, and those behind the library's, after one piece."""
    processor, library = tools()
    before = b"".join(map(register, arguments)).ljust(REGISTER_BYTES * FIRST_CONSTANT, b"\0")
    before = (before + library.constants).ljust(REGISTER_BYTES * library.first_free, b"\xff")
    memory = bytearray(before + b"".join(map(register, data)))
    memory += bytes(REGISTER_BYTES * (ROOM - len(data)))
    piece = library[name]
    assert piece.reach <= ROOM
    processor.run(library.code, array("I", (piece.start, piece.stop, library.first_free)), memory)
    behind = REGISTER_BYTES * library.first_free
    return numbers(memory[: REGISTER_BYTES * FIRST_CONSTANT]), numbers(memory[behind:])


def flat(element: F12) -> list[int]:
    return [*element[0], *element[1]]


def in_oracle(element: F12) -> Any:
    """The same element as a polynomial in w, where w⁶ = 9 + i."""
    (a0, a1, c0, c1, e0, e1), (b0, b1, d0, d1, g0, g1) = element
    pairs = [(a0, a1), (b0, b1), (c0, c1), (d0, d1), (e0, e1), (g0, g1)]
    return oracle.FQ12([(re - 9 * im) % P for re, im in pairs] + [im for _, im in pairs])


def from_oracle(element: Any) -> list[int]:
    coefficients = [int(each) for each in element.coeffs]
    halves = zip(coefficients[:6], coefficients[6:], strict=True)
    pairs = [((low + 9 * high) % P, high) for low, high in halves]
    a, b, c, d, e, g = pairs
    return [*a, *c, *e, *b, *d, *g]


@settings(max_examples=examples(60), deadline=None)
@given(ELEMENTS, ELEMENTS)
def test_products_and_squares(f: F12, g: F12) -> None:
    first, second = in_oracle(f), in_oracle(g)

    assert run("multiply", flat(f) + flat(g))[0][:12] == flat(tower.multiply(f, g))
    assert run("multiply", flat(f) + flat(g))[0][:12] == from_oracle(first * second)
    assert run("square", flat(f))[0][:12] == flat(tower.square(f)) == from_oracle(first * first)


@settings(max_examples=examples(60), deadline=None)
@given(ELEMENTS)
def test_other_operations_with_one_element(f: F12) -> None:
    operations: tuple[tuple[str, Callable[[F12], F12]], ...] = (
        ("conjugate", tower.conjugate),
        ("square_cyclotomic", tower.square_cyclotomic),
        *((f"frobenius {times}", partial(tower.frobenius, times=times)) for times in (1, 2, 3)),
    )
    for name, function in operations:
        found, _ = run(name, flat(f))
        assert found[:12] == flat(function(f)), name
    if any(flat(f)):
        found, _ = run("invert", flat(f))
        assert found[:12] == flat(tower.invert(f)) == from_oracle(in_oracle(f).inv())


@settings(max_examples=examples(10), deadline=None)
@given(ELEMENTS)
def test_frobenius_maps_are_powers(f: F12) -> None:
    assert run("frobenius 1", flat(f))[0][:12] == from_oracle(in_oracle(f) ** P)


@settings(max_examples=examples(60), deadline=None)
@given(ELEMENTS, st.tuples(*[COEFFICIENTS] * 4), COEFFICIENTS, COEFFICIENTS)
def test_lines(f: F12, line: pairing.Line, a: int, b: int) -> None:
    _, chosen = run("store f", flat(f)), run("choose factors", [], [a, b])[0]
    assert chosen[24:26] == [a, b]

    found, _ = run("line", flat(f) + [0] * 12 + [a, b], line)

    scaled = pairing.scaled_line(line, a, b)
    assert found[:12] == flat(tower.multiply_by_line(f, *scaled))
    as_element = (tower.ONE_6, (*scaled, 0, 0))
    assert found[:12] == from_oracle(in_oracle(f) * in_oracle(as_element))


@settings(max_examples=examples(60), deadline=None)
@given(COEFFICIENTS, COEFFICIENTS.filter(bool))
def test_factors_of_lines(x: int, y: int) -> None:
    _, found = run("factors", [], [x, y])

    assert tuple(found[:2]) == pairing.line_factors(x, y)


def test_copies_to_and_from_memory() -> None:
    values = list(range(1, 27))

    assert run("load f", [0] * 26, values)[0][:26] == values[:12] + [0] * 14
    assert run("load g", [0] * 26, values)[0][:26] == [0] * 12 + values[:12] + [0] * 2
    assert run("load point", [0] * 26, values)[0][:26] == values[:3] + [0] * 23
    assert run("store f", values)[1][:13] == [*values[:12], 0]
    assert run("store point", values)[1][:4] == [*values[:3], 0]


@settings(max_examples=examples(60), deadline=None)
@given(st.one_of(COEFFICIENTS, st.integers(0, 20)))
def test_roots_of_the_curve(x: int) -> None:
    found, _ = run("curve root", [x])

    assert tuple(found[:2]) == bn254.curve_root_plain(x)


POINTS: Final = [bn254.multiply_g1(bn254.G1_GENERATOR, factor) for factor in (0, 1, 2, 5, -1, -5)]


def projective(point: bn254.G1 | None, z: int) -> complete_addition.Projective:
    if point is None:
        return 0, z, 0
    return point[0] * z % P, point[1] * z % P, z


def affine(point: Sequence[int]) -> bn254.G1 | None:
    x, y, z = run("affine", point)[0][:3]
    return (x, y) if z else None


@pytest.mark.parametrize("one", POINTS)
@pytest.mark.parametrize("other", POINTS)
def test_sums_of_points_have_no_exception(one: bn254.G1 | None, other: bn254.G1 | None) -> None:
    expected = bn254.add_g1(one, other)
    first, second = projective(one, 1), projective(other, 77)

    assert affine(run("add", first, second)[0][:3]) == expected
    assert affine(complete_addition.add(first, second)) == expected
    if one == other:
        assert affine(run("double", second)[0][:3]) == expected
        assert affine(complete_addition.double(second)) == expected
