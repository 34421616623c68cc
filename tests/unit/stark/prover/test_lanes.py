"""The arithmetic of lanes and of single numbers, against Python integers."""

from __future__ import annotations

import random

import numpy as np
import pytest

from dragon.stark import extension as ext
from dragon.stark.field import R_INVERSE, P
from dragon.stark.prover.kernels import lanes
from dragon.stark.prover.kernels.formulas import LANES
from dragon.stark.prover.kernels.jit import Kernel, Words
from dragon.stark.prover.kernels.polynomials import multiply

EDGES = [0, 1, 2, P - 2, P - 1]
FOLDED_EDGES = [*EDGES, P, P + 1, 2 * P - 1]
LOOSE_EDGES = [*FOLDED_EDGES, 2 * P, 3 * P, 4 * P - 1]


def numbers(edges: list[int], bound: int, seed: int) -> list[int]:
    """Every edge in every lane, then random numbers: whole vectors."""
    source = random.Random(seed)
    fill = [source.randrange(bound) for _ in range(200)]
    return [edge for edge in edges for _ in range(LANES)] + fill


def every_operation(x: Words, y: Words, loose: Words, result: Words) -> None:
    n = x.size
    for i in range(0, n, 8):
        a, b, c = lanes.load(x, i), lanes.load(y, i), lanes.load(loose, i)
        lanes.store(result, i, lanes.product(c, a))
        lanes.store(result, n + i, lanes.square(a))
        lanes.store(result, 2 * n + i, lanes.sum_of(a, b))
        lanes.store(result, 3 * n + i, lanes.difference(a, b))
        lanes.store(result, 4 * n + i, lanes.fold(c))
        lanes.store(result, 5 * n + i, lanes.canonical(c))
        lanes.store(result, 6 * n + i, lanes.loose_sum(a, b))
        lanes.store(result, 7 * n + i, lanes.loose_difference(a, b))


def every_operation_singly(x: Words, y: Words, loose: Words, result: Words) -> None:
    n = x.size
    for i in range(n):
        a, b, c = x[i], y[i], loose[i]
        result[i] = lanes.product(c, a)
        result[n + i] = lanes.square(a)
        result[2 * n + i] = lanes.sum_of(a, b)
        result[3 * n + i] = lanes.difference(a, b)
        result[4 * n + i] = lanes.fold(c)
        result[5 * n + i] = lanes.canonical(c)
        result[6 * n + i] = lanes.loose_sum(a, b)
        result[7 * n + i] = lanes.loose_difference(a, b)


BINARY = "void(uint64[::1], uint64[::1], uint64[::1], uint64[::1])"


@pytest.mark.parametrize("function", [every_operation, every_operation_singly])
def test_every_operation_agrees_with_integers(function: object) -> None:
    kernel = Kernel(function, BINARY)  # type: ignore[arg-type]
    x, y = numbers(FOLDED_EDGES, 2 * P, 1), numbers(FOLDED_EDGES[::-1], 2 * P, 2)
    loose = numbers(LOOSE_EDGES[: len(FOLDED_EDGES)], 4 * P, 3)
    loose[-11:] = LOOSE_EDGES
    result = np.empty(8 * len(x), dtype=np.uint64)

    kernel(*(np.array(each, dtype=np.uint64) for each in (x, y, loose)), result)

    rows = result.reshape(8, -1).tolist()
    expected = {
        0: [c * a * R_INVERSE for a, c in zip(x, loose, strict=True)],
        1: [a * a * R_INVERSE for a in x],
        2: [a + b for a, b in zip(x, y, strict=True)],
        3: [a - b for a, b in zip(x, y, strict=True)],
        4: loose,
        5: loose,
        6: [a + b for a, b in zip(x, y, strict=True)],
        7: [a - b for a, b in zip(x, y, strict=True)],
    }
    bounds = {0: 2 * P, 1: 2 * P, 2: 2 * P, 3: 2 * P, 4: 2 * P, 5: P, 6: 4 * P, 7: 4 * P}
    for k, wanted in expected.items():
        assert [value % P for value in rows[k]] == [value % P for value in wanted], k
        assert max(rows[k]) < bounds[k], k


def both_products(x: Words, y: Words, result: Words, singly: Words) -> None:
    for i in range(0, x.size, 8):
        lanes.store(result, i, lanes.product(lanes.load(x, i), lanes.load(y, i)))
    for k in range(x.size):
        singly[k] = lanes.product(x[k], y[k])


def test_products_of_the_largest_factors_stay_folded() -> None:
    kernel = Kernel(both_products, BINARY)
    low_words = [0, 1, (1 << 32) - 1, (1 << 63) - 1, 1 << 32]
    pairs = [(4 * P - 1, P - 1), (2 * P - 1, 2 * P - 1), *((word, P - 1) for word in low_words)]
    pairs += [(P, P), (R_INVERSE, 1), (0, P - 1), (2 * P, 1 << 32)]
    x, y = ([pair[k] for pair in pairs for _ in range(LANES)] for k in range(2))
    result, singly = np.empty(len(x), dtype=np.uint64), np.empty(len(x), dtype=np.uint64)

    kernel(np.array(x, dtype=np.uint64), np.array(y, dtype=np.uint64), result, singly)

    for computed in (result.tolist(), singly.tolist()):
        assert max(computed) < 16 * P // 10
        wanted = [a * b * R_INVERSE % P for a, b in zip(x, y, strict=True)]
        assert [value % P for value in computed] == wanted


def dots(values: Words, table: Words, result: Words, count: int) -> None:
    lanes.store(result, 0, lanes.dot(values, 0, 8, table, 0, count))


def test_dot_products_are_exact_up_to_their_largest_sums() -> None:
    kernel = Kernel(dots, "void(uint64[::1], uint64[::1], uint64[::1], int64)")
    source = random.Random(4)
    cases = [(1, [0] * 8, [P - 1]), (0, [0] * 8, [0])]
    cases += [(55, [P - 1] * 440, [P - 1] * 55), (27, [2 * P - 1] * 216, [P - 1] * 27)]
    for count in (1, 4, 12, 24):
        values = [source.randrange(2 * P) for _ in range(8 * count)]
        cases.append((count, values, [source.randrange(P) for _ in range(count)]))
    for count, values, factors in cases:
        result = np.empty(8, dtype=np.uint64)

        kernel(np.array(values, dtype=np.uint64), np.array(factors, dtype=np.uint64), result, count)

        for lane, value in enumerate(result.tolist()):
            wanted = sum(values[8 * j + lane] * factors[j] for j in range(count)) * R_INVERSE
            assert value < 2 * P
            assert value % P == wanted % P


def products(x: Words, y: Words, result: Words, unused: Words) -> None:
    for i in range(0, x.size, 24):
        c0, c1, c2 = multiply(
            lanes.load(x, i), lanes.load(x, i + 8), lanes.load(x, i + 16),
            lanes.load(y, i), lanes.load(y, i + 8), lanes.load(y, i + 16),
        )  # fmt: skip
        lanes.store(result, i, c0)
        lanes.store(result, i + 8, c1)
        lanes.store(result, i + 16, c2)


def test_products_in_the_extension_agree_with_the_plain_field() -> None:
    kernel = Kernel(products, BINARY)
    x, y = numbers(FOLDED_EDGES, 2 * P, 5)[:264], numbers(FOLDED_EDGES[::-1], 2 * P, 6)[:264]
    result = np.empty(len(x), dtype=np.uint64)

    kernel(np.array(x, dtype=np.uint64), np.array(y, dtype=np.uint64), result, result)

    for at in range(0, len(x), 24):
        for lane in range(at, at + 8):
            a, b, c = ((each[lane], each[lane + 8], each[lane + 16]) for each in (x, y, result))
            wanted = ext.scale(ext.mul(a, b), R_INVERSE)
            assert tuple(int(value) % P for value in c) == wanted
