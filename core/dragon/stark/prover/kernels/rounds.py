"""What both statements about Rescue compute in every row: the states around a round (5.4).

Rows come in vectors of eight. A vector of rows is eight consecutive ones of the table; in it, as in
the whole coset that it belongs to, rows are in bit-reversed order.
"""

from __future__ import annotations

from dragon.stark.prover.kernels import lanes
from dragon.stark.prover.kernels.formulas import LANES
from dragon.stark.prover.kernels.jit import Number, Words, inline
from dragon.stark.rescue import WIDTH


@inline
def load_following(
    table: Words, rows: int, row: int, log_n: int, slackness: int, state: Words, at: int
) -> None:
    """The twelve cells of the next original row, f_j(x·g^s), to vectors of `state`."""
    mask = (1 << (log_n - 3)) - 1
    natural = lanes.reversed_index((row >> 3) & mask, log_n - 3) + slackness
    following = (row & ~((mask << 3) | 7)) + (lanes.reversed_index(natural & mask, log_n - 3) << 3)
    for j in range(WIDTH):
        cell = lanes.load(table, j * rows + following)
        if natural > mask:
            cell = lanes.next_lane(cell, cell)
        lanes.store(state, at + LANES * j, cell)


@inline
def load_current(table: Words, rows: int, row: int, state: Words, at: int) -> None:
    for j in range(WIDTH):
        lanes.store(state, at + LANES * j, lanes.load(table, j * rows + row))


@inline
def cube(x: Number) -> Number:
    """x³ of a folded number: at most 1.375p, and 1.15p for a canonical one."""
    return lanes.product(lanes.square(x), x)
