"""The cells of the trace that say something about readings (sections 19.3 and 19.4)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dragon.errors import WrongWitness
from dragon.stark.airs.readings import (
    COLUMNS,
    RANGE_ROW,
    READING_COLUMN,
    STEP_ROW,
    SUM_COLUMN,
    SUM_ROW,
    ReadingsAir,
)
from dragon.stark.parameter_sets import BLOCK_ROWS
from dragon.stark.prover.kernels.jit import Indices, Words
from dragon.stark.prover.montgomery import words
from dragon.stark.reading_bounds import CELLS, RADIX, ReadingBounds, weights
from dragon.stark.rescue import WIDTH

_RANGE_ROWS: Final = slice(RANGE_ROW, RANGE_ROW + 2)
_SUM_ROWS: Final = slice(SUM_ROW, SUM_ROW + 2)


def check_readings(bounds: ReadingBounds, readings: Sequence[int], carried: bool) -> None:
    """Check the claims of a statement over the integers (section 19.1).

    Raises WrongWitness: a claim is false. The message says which, and shows no reading.
    """
    for number, reading in enumerate(readings):
        if not bounds.low <= reading <= bounds.high:
            raise WrongWitness(f"reading {number} is out of bounds", number=number)
    for number in range(1, len(readings)):
        if not bounds.step_low <= readings[number] - readings[number - 1] <= bounds.step_high:
            text = f"the step from reading {number - 1} to reading {number} is out of bounds"
            raise WrongWitness(text, number=number)
    if not bounds.sum_low <= sum(readings[int(carried) :]) <= bounds.sum_high:
        raise WrongWitness("the sum of the readings is out of bounds")


class ReadingCells:
    """Writes digits, readings and running sums into the rows of a trace.

    The readings must fulfil the claims of the statement (`check_readings`). `wipe` overwrites all
    arrays that hold secrets, except the rows.
    """

    def __init__(self, air: ReadingsAir, readings: Sequence[int]) -> None:
        self._air, self._bounds = air, air.bounds
        filler = [air.bounds.low]  # in blocks of the identity, which have no reading
        padding = filler * (air.n_blocks - 1 - air.n_readings)
        self._v = np.array([*filler, *readings, *padding], dtype=np.int64)
        self._digit = words(range(4))
        self._secrets: list[NDArray[Any]] = [self._v]

    def wipe(self) -> None:
        for array in self._secrets:
            array.fill(0)

    def write(self, rows: Words) -> None:
        """Write to the original rows, which have zeros in all cells outside Rescue."""
        blocks = rows.reshape(self._air.n_blocks, BLOCK_ROWS, COLUMNS)
        self._write_ranges(blocks)
        self._write_readings(blocks, self._write_steps(blocks))
        self._write_sums(blocks)

    def _write_ranges(self, blocks: Words) -> None:
        digits = self._digits(self._v - self._bounds.low, self._bounds.width)
        blocks[:, _RANGE_ROWS, :WIDTH] = self._digit[digits]

    def _write_steps(self, blocks: Words) -> Indices:
        """Write half of a step on the last row of a block, and half on the next block's first row.

        Returns the reading of the previous block plus the first half, for each block.
        """
        v, end = self._v, self._air.n_readings + 1
        moves = v[2:end] - v[1 : end - 1] - self._bounds.step_low
        digits = self._digits(moves, self._bounds.step_width)
        blocks[1 : end - 1, STEP_ROW, :WIDTH] = self._digit[digits[:, 0]]
        blocks[2:end, 0, :WIDTH] = self._digit[digits[:, 1]]
        halves: Indices = np.roll(v, 1) + self._bounds.step_low
        halves[2:end] += digits[:, 0] @ _weights(self._bounds.step_width)[0]
        self._secrets += [moves, halves]
        return halves

    def _write_readings(self, blocks: Words, halves: Indices) -> None:
        cells = words([*self._v.tolist(), *halves.tolist()]).reshape(2, -1)
        blocks[:, 1:, READING_COLUMN] = cells[0, :, None]
        blocks[:, 0, READING_COLUMN] = cells[1]
        self._secrets.append(cells)

    def _write_sums(self, blocks: Words) -> None:
        """Write the running sum. The last block pays it back with digits, so it ends at zero."""
        chosen = self._v.copy()
        chosen[: 1 + int(self._air.carried)] = 0
        chosen[self._air.n_readings + 1 :] = 0
        sums = list(accumulate(chosen.tolist()))
        total = np.array([sums[-1] - self._bounds.sum_low], dtype=np.int64)
        digits = self._digits(total, self._bounds.sum_width)
        cells = words(sums)
        blocks[-1, _SUM_ROWS, :WIDTH] = self._digit[digits[0]]
        blocks[:, 1:, SUM_COLUMN], blocks[1:, 0, SUM_COLUMN] = cells[:, None], cells[:-1]
        blocks[-1, SUM_ROW + 1 :, SUM_COLUMN] = 0
        self._secrets += [chosen, total, cells]

    def _digits(self, numbers: Indices, width: int) -> Indices:
        """The greedy digits of each number: numbers x 2 rows x 12 columns (section 19.4)."""
        chosen, left = _weights(width), numbers.copy()
        digits = np.zeros((numbers.size, 2, WIDTH), dtype=np.int64)
        for row, column in CELLS:
            weight = chosen[row, column]
            if weight:
                digits[:, row, column] = np.minimum(RADIX[column] - 1, left // weight)
                left -= weight * digits[:, row, column]
        self._secrets += [left, digits]
        return digits


def _weights(width: int) -> Indices:
    return np.array(weights(width), dtype=np.int64)
