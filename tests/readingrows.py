"""The rules of a readings trace, row by row and without polynomials (sections 18.3 and 19.3)."""

from __future__ import annotations

from collections.abc import Sequence

from dragon.stark.airs.readings import DIGIT_ROWS, READING_COLUMN, SUM_COLUMN, ReadingsAir
from dragon.stark.commitment import READING_OFFSET
from dragon.stark.field import P
from dragon.stark.reading_bounds import RADIX, weights
from plainreadings import dot, expressed, linked_blocks, summed_blocks
from plaintraces import K, Row, before, end_of


def broken_rules(air: ReadingsAir, rows: Sequence[Row]) -> set[int]:
    """The numbers of the constraints that some row breaks."""
    return {k for r in range(len(rows)) for k in broken_on_row(air, rows, r)}


def broken_on_row(air: ReadingsAir, rows: Sequence[Row], r: int) -> set[int]:
    """The numbers of the constraints that row r breaks, together with the next row."""
    block, place = divmod(r, 16)
    current, following = rows[r], rows[(r + 1) % len(rows)]
    broken = _rescue(air, block, place, current, following)
    if place in DIGIT_ROWS:
        broken |= {20 + j for j in range(12) if current[j] not in range(RADIX[j])}
    if place in range(1, 15) and current[READING_COLUMN] != following[READING_COLUMN]:
        broken.add(33)
    if place == 0:
        broken |= _start(air, block, current, following)
    return broken | _sums(air, r, current, following)


def _rescue(air: ReadingsAir, block: int, place: int, current: Row, following: Row) -> set[int]:
    if place == 0:
        return {j - 8 for j in range(8, 12) if _inputs(following)[j]}
    if place in range(1, 10):
        ends, starts = end_of(current[:12], place - 1), before(following[:12], place)
        return {4 + j for j in range(12) if ends[j] != starts[j]}
    if place == 10:
        output = air.outputs[block]
        return {16 + j for j in range(4) if end_of(current[:12], 9)[j] != output[j]}
    return set()


def _inputs(following: Row) -> Row:
    """The twelve inputs of the permutation that begins on this row."""
    return [(x - k) % P for x, k in zip(before(following[:12], 0), K[0], strict=True)]


def _start(air: ReadingsAir, block: int, current: Row, following: Row) -> set[int]:
    broken, reading = set(), following[READING_COLUMN]
    is_linked = block in linked_blocks(air)
    if is_linked and (_inputs(following)[7] - READING_OFFSET - reading) % P:
        broken.add(32)
    move = reading - current[READING_COLUMN]
    second = weights(air.bounds.step_width)[1]
    if is_linked and block > 1 and (move - dot(second, current)) % P:
        broken.add(36)
    return broken


def _sums(air: ReadingsAir, r: int, current: Row, following: Row) -> set[int]:
    """The rules that express numbers in digits: range, first half of a step, sum."""
    bounds, broken, (block, place) = air.bounds, set(), divmod(r, 16)
    reading, next_reading = current[READING_COLUMN], following[READING_COLUMN]
    in_range = bounds.low + expressed(weights(bounds.width), current, following)
    if place == 11 and (reading - in_range) % P:
        broken.add(34)
    step = bounds.step_low + dot(weights(bounds.step_width)[0], current)
    if place == 15 and (next_reading - reading - step) % P:
        broken.add(35)
    added = next_reading if place == 0 and block in summed_blocks(air) else 0
    due = 0
    if r == air.original_length - 3:
        due = bounds.sum_low + expressed(weights(bounds.sum_width), current, following)
    if (following[SUM_COLUMN] - current[SUM_COLUMN] - added + due) % P:
        broken.add(37)
    return broken
