"""Transforms, powers, values at points and folds, against their definitions."""

from __future__ import annotations

import random

import numpy as np
import pytest

from dragon.stark import extension as ext
from dragon.stark import field
from dragon.stark.extension import Element
from dragon.stark.field import GENERATOR, P, bit_reverse, log2
from dragon.stark.prover import domains, openings
from dragon.stark.prover.kernels import polynomials
from dragon.stark.prover.kernels.jit import Words
from dragon.stark.prover.montgomery import geometric, integers, roots, word, words
from dragon.stark.prover.threads import ThreadTeam

EDGES = [0, 1, P - 1]


def elements(count: int, seed: int) -> list[int]:
    source = random.Random(seed)
    return [*EDGES, *(source.randrange(P) for _ in range(count))][:count]


def value(coefficients: list[int], x: int) -> int:
    result = 0
    for coefficient in reversed(coefficients):
        result = (result * x + coefficient) % P
    return result


@pytest.mark.parametrize("length", [1, 2, 4, 8, 16, 32, 64, 2048, 4096])
@pytest.mark.parametrize("threads", [1, 2])
def test_coefficients_become_values_in_bit_reversed_order_and_back(
    length: int, threads: int
) -> None:
    columns = [elements(length, seed) for seed in (1, 2)]
    rows = 4 * length
    source = words(columns[0] + columns[1])
    with ThreadTeam(threads) as team:
        values = domains.evaluate(source, length, rows, team)
        first = np.concatenate([values[:length], values[rows : rows + length]])
        domains.interpolate(first, length, domains.unscaled(length), team)

    w, bits = field.root_of_unity(rows), log2(rows)
    sample = range(rows) if rows <= 256 else [0, 1, 17, length, rows - 1]
    for k, column in enumerate(columns):
        found = integers(values[k * rows : (k + 1) * rows])
        for row in sample:
            assert found[row] == value(column, pow(w, bit_reverse(row, bits), P))
    assert (first == source).all()
    assert int(values.max()) < P


@pytest.mark.parametrize("count", [1, 3, 8, 16, 64])
def test_powers(count: int) -> None:
    assert integers(geometric(count, 5, P - 2)) == [5 * pow(P - 2, i, P) % P for i in range(count)]


def test_values_at_a_point_of_the_extension() -> None:
    point: Element = (5, P - 1, 7)
    columns = [elements(16, 3), elements(16, 4), [0] * 16]
    # The prover stores coefficient i times 3^i.
    scaled = [[c * pow(GENERATOR, i, P) % P for i, c in enumerate(column)] for column in columns]

    found = openings.values_at(
        words(c for column in scaled for c in column), 16, 3, point, ThreadTeam(1)
    )

    expected: list[int] = []
    for column in columns:
        total = ext.ZERO
        for coefficient in reversed(column):
            total = ext.add(ext.mul(total, point), ext.embed(coefficient))
        expected += total
    assert integers(found) == expected


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_folding_coefficients_equals_folding_values(steps: int) -> None:
    length, size = 16, 64
    coefficients = words(elements(3 * length, 5))
    challenge: Element = (3, P - 1, 12345)
    folded: Words = np.empty(3 * (length >> steps), dtype=np.uint64)

    polynomials.fold(coefficients, length, words(challenge), steps, folded)

    before = domains.evaluate(coefficients, length, size, ThreadTeam(1)).reshape(3, size)
    after = domains.evaluate(folded, length >> steps, size >> steps, ThreadTeam(1))
    layer = [(a, b, c) for a, b, c in zip(*(integers(each) for each in before), strict=True)]
    wanted = fold_layer(layer, challenge, steps)
    found = [integers(each) for each in after.reshape(3, -1)]
    assert list(zip(*found, strict=True)) == wanted


def fold_layer(layer: list[Element], challenge: Element, steps: int) -> list[Element]:
    """The formula of section 9, fold by fold."""
    for _ in range(steps):
        size = len(layer)
        w, bits = field.root_of_unity(size), log2(size)
        folded = []
        for i in range(0, size, 2):
            x = pow(w, -bit_reverse(i, bits), P)
            odd = ext.scale(ext.sub(layer[i], layer[i + 1]), x)
            folded.append(ext.add(ext.add(layer[i], layer[i + 1]), ext.mul(challenge, odd)))
        layer, challenge = folded, ext.mul(challenge, challenge)
    return layer


def test_reciprocals_in_batches_of_any_size() -> None:
    rows = 8 * 37
    result: Words = np.empty(rows, dtype=np.uint64)
    pole = 987654321

    polynomials.reciprocals(result, roots(256), word(GENERATOR), word(pole), 0, 37)

    w = field.root_of_unity(512)
    points = [GENERATOR * pow(w, bit_reverse(row, 9), P) % P for row in range(rows)]
    assert [x * (point - pole) % P for x, point in zip(integers(result), points, strict=True)] == [
        1
    ] * rows
