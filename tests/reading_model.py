"""What a window of readings may claim, written a second time: slowly, from section 19.16 alone.

Nothing of `dragon` is used. Readings come as integers, None for a message without a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

LIMIT = 1 << 59
Value = int | None


def claims(readings: Any, values: Sequence[Value], before: Value, *, carried: bool) -> bool:
    """Whether every rule of a descriptor's `readings` (JSON) holds for a window.

    Args:
        values: the new readings.
        before: the last reading of the previous window, if it is carried.
    """
    every = [before, *values] if carried else list(values)
    numbers = [value for value in every if value is not None]
    if len(numbers) < len(every) or len(every) > readings["most"]:
        return False
    return (
        in_range(readings, numbers)
        and in_steps(readings, numbers)
        and in_sum(readings["sum"], numbers[1:] if carried else numbers)
    )


def in_range(readings: Any, numbers: Sequence[int]) -> bool:
    return not [n for n in numbers if n < int(readings["low"]) or n > int(readings["high"])]


def in_steps(readings: Any, numbers: Sequence[int]) -> bool:
    for place in range(1, len(numbers)):
        change = numbers[place] - numbers[place - 1]
        if change > int(readings["rise"]) or change < -int(readings["fall"]):
            return False
    return True


def in_sum(rule: Any, numbers: Sequence[int]) -> bool:
    """A sum that the header may choose, or that nobody asks for, never stands in the way."""
    total, count = sum(numbers), len(numbers)
    if rule["kind"] == "total":
        return int(rule["low"]) <= total <= int(rule["high"])
    if rule["kind"] == "mean":  # without a division, which would round
        return int(rule["low"]) * count <= total <= int(rule["high"]) * count
    return True


def stated_sum(width: int, total: int) -> int:
    """The number that the header names: the last multiple of width + 1 up to the total."""
    return next(a for a in range(total, total - width - 2, -1) if a % (width + 1) == 0)


def caught(n_chunks: int, n_false: int, n_checked: int) -> float:
    """The probability that a draw of distinct chunks has a false one, by counting all draws."""
    missed = 1.0
    for place in range(n_checked):
        missed *= max(0, n_chunks - n_false - place) / (n_chunks - place)
    return 1.0 - missed
