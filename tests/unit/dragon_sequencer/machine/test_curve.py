"""The compiled functions: the verdicts of the plain ones, and of an independent library."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Final

import pytest

pytest.importorskip("llvmlite")

from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc import optimized_bn128 as oracle

from dragon_sequencer import bn254, pairing
from dragon_sequencer.bn254 import G1
from dragon_sequencer.machine.curve import CompiledCurve
from dragon_sequencer.pairing import GENERATOR_LINES, Lines
from dragon_sequencer.tower import P, R
from dragon_sequencer.weighted_sum import weighted_sum_plain
from examples import examples

pytestmark = pytest.mark.usefixtures("computed_anew")

Pairs = list[tuple[G1, Lines]]

SCALARS: Final = st.one_of(st.integers(1, R - 1), st.sampled_from([1, 2, R - 1, R - 2]))
FEW: Final = st.integers(1, 4)  # points of G2; their lines take long


@cache
def curve() -> CompiledCurve:
    return CompiledCurve()


@cache
def lines(scalar: int) -> Lines:
    return pairing.prepare(bn254.public_key(scalar))


def point(scalar: int) -> G1:
    found = bn254.multiply_g1(bn254.G1_GENERATOR, scalar)
    assert found is not None
    return found


def in_oracle(one: G1) -> Any:
    return oracle.FQ(one[0]), oracle.FQ(one[1]), oracle.FQ.one()


# Products of pairings


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.tuples(SCALARS, FEW), max_size=4), st.sampled_from([0, 0, 1, R - 1]))
def test_a_product_is_one_if_the_exponents_add_up_to_zero(
    terms: list[tuple[int, int]], error: int
) -> None:
    """e(a·P, b·Q) = e(P, Q)^(ab), and e(P, Q) has order r."""
    total = sum(a * b for a, b in terms) + error
    pairs = [(point(a), lines(b)) for a, b in terms]
    if total % R:
        pairs.append((point(-total), GENERATOR_LINES))

    assert curve().is_one(pairs) is pairing.is_one_plain(pairs) is (not error)


@pytest.mark.parametrize("error", [0, 1])
def test_an_independent_library_agrees_on_a_product(error: int) -> None:
    a, b, c = 0xD0C5_0123, 3, 0xFEDC_BA98_7654
    product = oracle.FQ12.one()
    for on_curve, key in ((point(a), b), (point(c), 1), (point(-a * b - c - error), 1)):
        twisted = oracle.multiply(oracle.G2, key)
        product *= oracle.pairing(twisted, in_oracle(on_curve), final_exponentiate=False)
    pairs = [(point(a), lines(b)), (point(c), lines(1)), (point(-a * b - c - error), lines(1))]

    expected = oracle.final_exponentiate(product) == oracle.FQ12.one()
    assert curve().is_one(pairs) is expected is (not error)


def test_the_empty_product_is_one() -> None:
    assert curve().is_one([]) is pairing.is_one_plain([]) is True


VALID: Final[Pairs] = [(point(6), lines(2)), (point(-12), GENERATOR_LINES)]


@pytest.mark.parametrize(
    "pairs",
    [
        [VALID[0]],
        [VALID[1]],
        [VALID[1], VALID[1]],
        [VALID[0], VALID[0], VALID[1]],
        [VALID[0], (bn254.negate_g1(VALID[1][0]), GENERATOR_LINES)],
        [VALID[1], (VALID[0][0], lines(3))],
        [(VALID[0][0], GENERATOR_LINES), (VALID[1][0], lines(2))],
        [VALID[0], ((1, 1), GENERATOR_LINES)],  # off the curve
        [((0, 5), lines(2)), VALID[1]],
        [((P - 1, P - 1), lines(2)), ((1, P - 2), GENERATOR_LINES)],
    ],
)
def test_false_products_are_refused_alike(pairs: Pairs) -> None:
    assert curve().is_one(pairs) is pairing.is_one_plain(pairs) is False


def test_coordinates_need_not_be_reduced() -> None:
    """Verifiers refuse such signatures before; the arithmetic is modulo p in both forms."""
    (x, y), of_key = VALID[0]
    pairs = [((x + P, y - 3 * P), of_key), VALID[1]]

    assert curve().is_one(pairs) is pairing.is_one_plain(pairs) is True


FLIPPED: Final = [
    (0, 0, 0), (0, 0, 3), (1, 1, 2), (17, 0, 1), (40, 0, 0), (64, 0, 3), (65, 0, 0), (65, 1, 3),
]  # fmt: skip


@pytest.mark.parametrize(("group", "line", "coefficient"), FLIPPED)
def test_each_line_counts(group: int, line: int, coefficient: int) -> None:
    line %= len(GENERATOR_LINES[group])
    changed = [[list(each) for each in several] for several in GENERATOR_LINES]
    changed[group][line][coefficient] ^= 1
    mutant: Any = tuple(tuple(map(tuple, several)) for several in changed)
    pairs = [VALID[0], (VALID[1][0], mutant)]

    assert curve().is_one(pairs) is pairing.is_one_plain(pairs) is False


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(0, 1), st.integers(0, 1), st.integers(0, 255))
def test_points_with_a_flipped_bit_are_refused_alike(pair: int, part: int, bit: int) -> None:
    mutant = [list(on_curve) for on_curve, _ in VALID]
    mutant[pair][part] ^= 1 << bit
    pairs: Any = [(tuple(each), VALID[at][1]) for at, each in enumerate(mutant)]

    assert curve().is_one(pairs) is pairing.is_one_plain(pairs) is False


@pytest.mark.parametrize("zero", [0, P, -P])
def test_a_point_that_has_no_line_raises_the_error_of_the_plain_code(zero: int) -> None:
    pairs = [VALID[0], ((5, zero), GENERATOR_LINES)]

    for function in (pairing.is_one_plain, curve().is_one):
        with pytest.raises(ValueError, match="not invertible"):
            function(pairs)


@pytest.mark.parametrize(
    "mutant",
    [GENERATOR_LINES[:-1], (*GENERATOR_LINES, ()), (GENERATOR_LINES[0][:0], *GENERATOR_LINES[1:])],
)
def test_lines_of_another_loop_are_refused(mutant: Lines) -> None:
    """The kernel does not check where it reads."""
    with pytest.raises(ValueError, match="different numbers of lines"):
        curve().is_one([VALID[0], (VALID[1][0], mutant)])


def test_calls_that_need_more_registers_are_refused() -> None:
    made = curve()
    short = made._product(3)

    with pytest.raises(IndexError):
        made._run(short, b"", b"", made._library.first_free)


def test_threads_share_the_functions() -> None:
    ready = threading.Barrier(4)

    def verdicts(number: int) -> list[bool]:
        ready.wait(timeout=60)
        pairs = [VALID, [VALID[0], VALID[0]]] if number % 2 else [[VALID[1]], VALID[::-1]]
        return [curve().is_one(each) for _ in range(10) for each in pairs]

    with ThreadPoolExecutor(4) as executor:
        found = list(executor.map(verdicts, range(4)))

    assert found == [[False, True] * 10, [True, False] * 10] * 2


# Sums of points, and points of messages


def by_oracle(scalars: list[int], factors: list[int]) -> G1 | None:
    total = oracle.Z1
    for scalar, factor in zip(scalars, factors, strict=True):
        total = oracle.add(total, oracle.multiply(oracle.multiply(oracle.G1, scalar), factor))
    if oracle.is_inf(total):
        return None
    x, y = oracle.normalize(total)
    return int(x), int(y)


FACTORS: Final = st.one_of(
    st.integers(0, (1 << 128) - 1), st.sampled_from([0, 1, 15, 16, 17, R, R + 1, (1 << 128) - 1])
)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.tuples(st.one_of(SCALARS, st.integers(1, 4)), FACTORS), max_size=5))
def test_weighted_sums(terms: list[tuple[int, int]]) -> None:
    scalars, factors = [scalar for scalar, _ in terms], [factor for _, factor in terms]
    points = [point(each) for each in scalars]

    found = curve().weighted_sum(points, factors)

    assert found == weighted_sum_plain(points, factors) == by_oracle(scalars, factors)


@settings(max_examples=examples(200), deadline=None)
@given(st.one_of(st.integers(0, P - 1), st.integers(0, 9), st.integers(P - 9, P - 1)))
def test_roots(x: int) -> None:
    assert curve().curve_root(x) == bn254.curve_root_plain(x)
