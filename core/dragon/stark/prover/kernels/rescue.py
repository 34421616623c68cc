"""Rescue (section 3): one permutation with its state in the lanes, or eight hashes in parallel.

The constants are one array, made by `prover.montgomery`: M transposed, with columns padded to 16
numbers (192 numbers); M by rows (144); the 21 vectors of round constants, padded to 16 (336).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dragon.stark.prover.kernels import lanes
from dragon.stark.prover.kernels.formulas import LANES
from dragon.stark.prover.kernels.jit import Number, Words, inline, kernel
from dragon.stark.rescue import N_ROUNDS, WIDTH

PADDED: Final = 2 * LANES  # numbers in a padded vector of twelve
MATRIX_AT: Final = PADDED * WIDTH
ROUNDS_AT: Final = MATRIX_AT + WIDTH * WIDTH
INPUT: Final = 8
OUTPUT: Final = 4


@inline
def cube_roots(x: Number, y: Number) -> tuple[Number, Number]:
    """The cube roots of two numbers or vectors, interleaved to hide the latency of products.

    The exponent (2p - 1)/3 = 0x15555562aaaaaaab takes 60 squarings and 9 products.
    """
    x2, y2 = lanes.square(x), lanes.square(y)
    x3, y3 = lanes.product(x2, x), lanes.product(y2, y)
    x5, y5 = lanes.product(x3, x2), lanes.product(y3, y2)
    a, b = lanes.squared(x5, y5, 4)
    x8, y8 = lanes.product(a, x5), lanes.product(b, y5)  # 0x55, 8 bits
    a, b = lanes.squared(x8, y8, 8)
    x16, y16 = lanes.product(a, x8), lanes.product(b, y8)  # 0x5555
    a, b = lanes.squared(x16, y16, 8)
    a, b = lanes.product(a, x8), lanes.product(b, y8)  # 0x555555
    a, b = lanes.squared(a, b, 1)
    a, b = lanes.product(a, x), lanes.product(b, y)  # 0xaaaaab
    a, b = lanes.squared(a, b, 18)
    a, b = lanes.product(a, x16), lanes.product(b, y16)
    a, b = lanes.squared(a, b, 16)
    a, b = lanes.product(a, x16), lanes.product(b, y16)
    a, b = lanes.squared(a, b, 3)
    return lanes.product(a, x3), lanes.product(b, y3)


@inline
def _times_matrix(
    state: Words, first: Number, second: Number, constants: Words, k: int
) -> tuple[Number, Number]:
    """M·(first, second) + K[k]. Uses the memory of `state`."""
    lanes.store(state, 0, first)
    lanes.store(state, LANES, second)
    at = ROUNDS_AT + PADDED * k
    first = lanes.dot(constants, 0, PADDED, state, 0, WIDTH)
    second = lanes.dot(constants, LANES, PADDED, state, 0, WIDTH)
    first = lanes.sum_of(first, lanes.load(constants, at))
    return first, lanes.sum_of(second, lanes.load(constants, at + LANES))


@inline
def permute(state: Words, constants: Words, rows: Words, at: int) -> None:
    """Permute `state` in place: 12 numbers, padded with four zeros.

    Writes the middle of round r, twelve canonical numbers, to rows[at + 12·r].
    """
    x = lanes.sum_of(lanes.load(state, 0), lanes.load(constants, ROUNDS_AT))
    y = lanes.sum_of(lanes.load(state, LANES), lanes.load(constants, ROUNDS_AT + LANES))
    for r in range(N_ROUNDS):
        x, y = cube_roots(x, y)
        x, y = _times_matrix(state, x, y, constants, 2 * r + 1)
        lanes.store(state, 0, lanes.canonical(x))
        lanes.store(state, LANES, lanes.canonical(y))
        for j in range(WIDTH):
            rows[at + WIDTH * r + j] = state[j]
        x, y = lanes.product(lanes.square(x), x), lanes.product(lanes.square(y), y)
        x, y = _times_matrix(state, x, y, constants, 2 * r + 2)
    lanes.store(state, 0, lanes.canonical(x))
    lanes.store(state, LANES, lanes.canonical(y))


@inline
def _copy(source: Words, i: int, target: Words, o: int, count: int) -> None:
    for k in range(count):
        target[o + k] = source[i + k]


@inline
def _clear(values: Words, first: int) -> None:
    for k in range(first, values.size):
        values[k] = np.uint64(0)


@kernel("void(uint64[::1], uint64[::1], uint64[::1], int64)")
def chain_rows(words: Words, constants: Words, rows: Words, batches: int) -> None:
    """Compute the original rows of a Rescue chain (section 11): `batches` · 32 rows of 12 numbers.

    `words` holds the words of the chain, four numbers each, followed by zeros. Batch b uses words
    3b + 1 … 3b + 3.
    """
    state = np.zeros(PADDED, np.uint64)
    _copy(words, 0, state, 0, OUTPUT)
    for batch in range(batches):
        at = 32 * WIDTH * batch
        for k in range(3):
            word = OUTPUT * (3 * batch + k + 1)
            _copy(words, word, state, OUTPUT, OUTPUT)
            _clear(state, INPUT)
            if k == 0:
                _copy(state, 0, rows, at, WIDTH)
            permute(state, constants, rows, at + WIDTH * (1 + N_ROUNDS * k))
        _copy(state, 0, rows, at + 31 * WIDTH, WIDTH)
    _clear(state, 0)


@inline
def _hash_eight(
    preimages: Words,
    constants: Words,
    state: Words,
    outputs: Words,
    rows: Words,
    first: int,
    block: int,
) -> None:
    """Eight hashes, one per lane. `state` has 24 vectors; the last twelve are scratch."""
    for j in range(WIDTH):
        for lane in range(LANES):
            value = preimages[INPUT * (first + lane) + j] if j < INPUT else np.uint64(0)
            state[LANES * j + lane] = value
        constant = constants[ROUNDS_AT + j]
        lanes.store(
            state, LANES * j, lanes.sum_of(lanes.load(state, LANES * j), lanes.splat(constant))
        )
    for half in range(1, 2 * N_ROUNDS + 1):
        for j in range(0, WIDTH, 2):
            x, y = lanes.load(state, LANES * j), lanes.load(state, LANES * (j + 1))
            if half % 2 == 1:
                x, y = cube_roots(x, y)
            else:
                x, y = lanes.product(lanes.square(x), x), lanes.product(lanes.square(y), y)
            lanes.store(state, LANES * (WIDTH + j), x)
            lanes.store(state, LANES * (WIDTH + j + 1), y)
        for j in range(WIDTH):
            x = lanes.dot(state, LANES * WIDTH, LANES, constants, MATRIX_AT + WIDTH * j, WIDTH)
            x = lanes.sum_of(x, lanes.splat(constants[ROUNDS_AT + PADDED * half + j]))
            lanes.store(state, LANES * j, lanes.canonical(x))
        if half % 2 == 1 and rows.size > 0:
            for lane in range(LANES):
                at = WIDTH * (block * (first + lane) + 1 + half // 2)
                for j in range(WIDTH):
                    rows[at + j] = state[LANES * j + lane]
    for lane in range(LANES):
        for j in range(OUTPUT):
            outputs[OUTPUT * (first + lane) + j] = state[LANES * j + lane]


@kernel("void(uint64[::1], uint64[::1], uint64[::1], uint64[::1], int64, int64, int64)")
def hash_many(
    preimages: Words,
    constants: Words,
    outputs: Words,
    rows: Words,
    block: int,
    first: int,
    last: int,
) -> None:
    """Hash preimages first … last - 1, eight canonical numbers each.

    Unless `rows` is empty, the middle of round r of hash b is written to its row block·b + 1 + r,
    of twelve numbers. This is the original trace of section 18.3; its other rows are zeros.
    """
    state = np.zeros(2 * WIDTH * LANES, np.uint64)
    single = np.zeros(PADDED, np.uint64)
    scratch = np.zeros(WIDTH * N_ROUNDS, np.uint64)
    k = first
    while k < last:
        if last - k >= LANES:
            _hash_eight(preimages, constants, state, outputs, rows, k, block)
            k += LANES
            continue
        _clear(single, INPUT)
        _copy(preimages, INPUT * k, single, 0, INPUT)
        permute(single, constants, scratch, 0)
        if rows.size > 0:
            _copy(scratch, 0, rows, WIDTH * (block * k + 1), WIDTH * N_ROUNDS)
        _copy(single, 0, outputs, OUTPUT * k, OUTPUT)
        k += 1
    _clear(state, 0)
    _clear(single, 0)
    _clear(scratch, 0)
