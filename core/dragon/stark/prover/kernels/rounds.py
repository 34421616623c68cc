"""The states around a round of Rescue, which all statements compute per row (section 5.4).

A vector of rows is eight consecutive rows of the table. Rows are in bit-reversed order, both in the
vector and in the whole coset.
"""

from __future__ import annotations

from dragon.stark.prover.kernels import lanes
from dragon.stark.prover.kernels.formulas import LANES
from dragon.stark.prover.kernels.jit import Number, Words, inline


@inline
def load_following(
    table: Words, rows: int, row: int, log_n: int, slackness: int, columns: int, state: Words,
    at: int,
) -> None:  # fmt: skip
    """Load the first cells of the next original row, f_j(x·g^s), into vectors of `state`."""
    mask = (1 << (log_n - 3)) - 1
    natural = lanes.reversed_index((row >> 3) & mask, log_n - 3) + slackness
    following = (row & ~((mask << 3) | 7)) + (lanes.reversed_index(natural & mask, log_n - 3) << 3)
    for j in range(columns):
        cell = lanes.load(table, j * rows + following)
        if natural > mask:
            cell = lanes.next_lane(cell, cell)
        lanes.store(state, at + LANES * j, cell)


@inline
def load_current(table: Words, rows: int, row: int, columns: int, state: Words, at: int) -> None:
    """Load the first cells of the current row, f_j(x), into vectors of `state`."""
    for j in range(columns):
        lanes.store(state, at + LANES * j, lanes.load(table, j * rows + row))


@inline
def cube(x: Number) -> Number:
    """x³ of a folded number: at most 1.375p, or 1.15p if x is canonical."""
    return lanes.product(lanes.square(x), x)
