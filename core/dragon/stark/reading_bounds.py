"""The bounds of a readings statement, and the digits that express them (sections 19.1 and 19.4).

A number u in [0, width] is written as Σ weight·digit over 24 digits on two adjacent rows. The
weights are public and depend on the width only. The sums that digits can reach are exactly
0 … width, so one decomposition bounds a number from both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from dragon.stark.commitment import READING_OFFSET
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.rescue import WIDTH

MAX_READINGS: Final = 4095  # of a statement; the identity takes one of 4096 blocks
RANGE_LIMIT: Final = 1 << 43  # high - low is below
SPAN_LIMIT: Final = 1 << 44  # the width of any interval that digits express is below
BOUND_BYTES: Final = 16  # of one bound in the channel seed
BOUNDS_BYTES: Final = 6 * BOUND_BYTES
RADIX: Final = (4,) * 11 + (2,)  # the number of values of a digit, by column
_BASE_4: Final = range(11)
_BIT: Final = 11
# The cells of two rows as (row, column), in the order in which they get their weights.
CELLS: Final = (
    *((row, column) for row in (0, 1) for column in _BASE_4),
    (0, _BIT),
    (1, _BIT),
)

RowPair: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class ReadingBounds:
    """Closed intervals for readings v_b, for their steps v_b - v_(b-1), and for their sum.

    An interval that is not wanted is the widest one that `check` admits.
    """

    low: int
    high: int
    step_low: int
    step_high: int
    sum_low: int
    sum_high: int

    @property
    def width(self) -> int:
        """W, the width of the range."""
        return self.high - self.low

    @property
    def step_width(self) -> int:
        """The width of the interval of steps."""
        return self.step_high - self.step_low

    @property
    def sum_width(self) -> int:
        """The width of the interval of the sum."""
        return self.sum_high - self.sum_low

    def encode(self) -> bytes:
        """The six bounds in 96 bytes: 16 bytes each, two's complement, big endian.

        Raises OverflowError: a bound does not fit. Bounds that `check` admits always fit.
        """
        return b"".join(bound.to_bytes(BOUND_BYTES, "big", signed=True) for bound in self._all())

    @classmethod
    def decode(cls, raw: bytes) -> ReadingBounds:
        """The bounds that `encode` wrote. They may not be admissible: see `check`.

        Raises ProofRefused (input): there are not 96 bytes.
        """
        _require(len(raw) == BOUNDS_BYTES, f"bounds must have {BOUNDS_BYTES} bytes, not {len(raw)}")
        parts = [raw[at : at + BOUND_BYTES] for at in range(0, BOUNDS_BYTES, BOUND_BYTES)]
        return cls(*(int.from_bytes(part, "big", signed=True) for part in parts))

    def check(self, n_readings: int, carried: bool) -> None:
        """Check that a statement with these bounds is a statement about integers (section 19.8).

        `n_readings` counts all readings; with `carried`, the first one is not part of the sum.

        Raises ProofRefused (input): a condition of section 19.1 is violated.
        """
        _require(all(type(bound) is int for bound in self._all()), "a bound must be an integer")
        _require(type(n_readings) is int, "the number of readings must be an integer")
        _require(type(carried) is bool, "carried must be true or false")
        count = f"from {1 + carried} to {MAX_READINGS}"
        message = f"the number of readings must be {count}, not {n_readings}"
        _require(1 + carried <= n_readings <= MAX_READINGS, message)
        self._check_range()
        self._check_steps()
        self._check_sum(n_readings - carried)

    def _check_range(self) -> None:
        low, high = self.low, self.high
        _require(low <= high, f"low ({low}) must not be above high ({high})")
        within = low >= -READING_OFFSET and high < READING_OFFSET
        _require(within, "low and high must be from -2^59 to 2^59 - 1")
        _require(self.width < RANGE_LIMIT, "high - low must be below 2^43")

    def _check_steps(self) -> None:
        first, last = self.step_low, self.step_high
        _require(first <= last, f"step_low ({first}) must not be above step_high ({last})")
        within = first >= -self.width and last <= self.width
        _require(within, f"a step bound must be from {-self.width} to {self.width}, as the range")

    def _check_sum(self, n_summed: int) -> None:
        first, last = self.sum_low, self.sum_high
        _require(first <= last, f"sum_low ({first}) must not be above sum_high ({last})")
        least, most = n_summed * self.low, n_summed * self.high
        within = least <= first and last <= most
        _require(within, f"a sum bound must be from {least} to {most}, as the range")
        _require(self.sum_width < SPAN_LIMIT, "sum_high - sum_low must be below 2^44")

    def _all(self) -> tuple[int, ...]:
        steps, total = (self.step_low, self.step_high), (self.sum_low, self.sum_high)
        return (self.low, self.high, *steps, *total)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ProofRefused(Reason.INPUT, message)


@lru_cache(maxsize=64)
def weights(width: int) -> RowPair:
    """The weights of the 24 digits on two adjacent rows: twelve columns each (section 19.4).

    The digits of columns 0 to 10 are 0 to 3, and that of column 11 is 0 or 1.

    Raises ValueError: `width` is not in [0, 2^44).
    """
    if not 0 <= width < SPAN_LIMIT:
        raise ValueError(f"an interval must have a width from 0 to 2^44 - 1, not {width}")
    left, rows = width, ([0] * WIDTH, [0] * WIDTH)
    for row, column in CELLS:
        weight = (left + 1) // RADIX[column]
        rows[row][column] = weight
        left -= (RADIX[column] - 1) * weight
    return tuple(rows[0]), tuple(rows[1])


def digits(number: int, width: int) -> RowPair:
    """The greedy digits of `number` for an interval of this width, in the order of `weights`.

    Raises ValueError: `number` is not in [0, width], or `width` not in [0, 2^44).
    """
    chosen, rows = weights(width), ([0] * WIDTH, [0] * WIDTH)
    if not 0 <= number <= width:
        raise ValueError(f"the number must be from 0 to {width}")
    left = number
    for row, column in CELLS:
        weight = chosen[row][column]
        digit = min(RADIX[column] - 1, left // weight) if weight else 0
        rows[row][column] = digit
        left -= weight * digit
    return tuple(rows[0]), tuple(rows[1])
