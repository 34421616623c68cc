"""The Rescue permutation and hash over F (section 3): width 12, 10 rounds, capacity 4."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from operator import mul
from typing import Final, TypeAlias

from dragon.stark import field
from dragon.stark.field import P

Digest: TypeAlias = tuple[int, int, int, int]
Matrix: TypeAlias = tuple[tuple[int, ...], ...]

WIDTH: Final = 12
RATE: Final = 8
DIGEST_LENGTH: Final = 4
N_ROUNDS: Final = 10
CUBE_ROOT_EXPONENT: Final = (2 * P - 1) // 3


def _derived(label: str, index: int) -> int:
    return int.from_bytes(sha256(f"Marvellous{label}{index}".encode()).digest(), "big") % P


@cache
def round_constants() -> Matrix:
    """K[0..20], each of 12 elements."""
    return tuple(
        tuple(_derived("K", WIDTH * i + j) for j in range(WIDTH)) for i in range(2 * N_ROUNDS + 1)
    )


@cache
def _cauchy_points() -> tuple[list[int], list[int]]:
    """x_i and y_j of the third candidate matrix. Its derivation starts at index 24."""
    first = 2 * WIDTH
    xs = [_derived("MDSx", first + i) for i in range(WIDTH)]
    ys = [_derived("MDSy", first + j) for j in range(WIDTH)]
    return xs, ys


@cache
def mds_matrix() -> Matrix:
    """M, the Cauchy matrix 1/(x_i - y_j)."""
    xs, ys = _cauchy_points()
    return tuple(tuple(field.inverse(x - y) for y in ys) for x in xs)


@cache
def mds_matrix_inverse() -> Matrix:
    """M^-1, by Gauss-Jordan elimination."""
    rows = [list(row) + [int(i == j) for j in range(WIDTH)] for i, row in enumerate(mds_matrix())]
    for i in range(WIDTH):
        # Every leading minor of a Cauchy matrix is invertible, so no pivot is zero.
        pivot = field.inverse(rows[i][i])
        rows[i] = [x * pivot % P for x in rows[i]]
        for k in range(WIDTH):
            if k != i:
                factor = rows[k][i]
                rows[k] = [(x - factor * y) % P for x, y in zip(rows[k], rows[i], strict=True)]
    return tuple(tuple(row[WIDTH:]) for row in rows)


def _layer(
    state: Sequence[int], exponent: int, matrix: Matrix, constants: Sequence[int]
) -> list[int]:
    raised = [pow(x, exponent, P) for x in state]
    return [
        (sum(map(mul, row, raised)) + constant) % P
        for row, constant in zip(matrix, constants, strict=True)
    ]


def permutation_states(inputs: Sequence[int]) -> list[list[int]]:
    """All 21 states of the permutation of 12 elements.

    Entry 0 is the state after adding the first constants, entry 2r + 1 the middle of round r, and
    entry 2r + 2 its end.
    """
    constants, matrix = round_constants(), mds_matrix()
    states = [[(x + k) % P for x, k in zip(inputs, constants[0], strict=True)]]
    for i in range(1, 2 * N_ROUNDS + 1):
        exponent = CUBE_ROOT_EXPONENT if i % 2 else 3
        states.append(_layer(states[-1], exponent, matrix, constants[i]))
    return states


def permutation(inputs: Sequence[int]) -> list[int]:
    """The permutation of 12 elements."""
    return permutation_states(inputs)[-1]


def rescue_hash(inputs: Sequence[int]) -> Digest:
    """Rescue(x_0 … x_7): hash eight elements to four. Raises ValueError: not eight elements."""
    if len(inputs) != RATE:
        raise ValueError(f"Rescue hashes eight elements, not {len(inputs)}")
    state = permutation([*inputs, *[0] * (WIDTH - RATE)])
    return state[0], state[1], state[2], state[3]
