"""Readings and their bounds in words, as numbers in the unit of the stream."""

from __future__ import annotations

from collections.abc import Iterator

from dragon.protocol.streams.reading_sums import NoSum
from dragon.protocol.streams.readings import Readings
from dragon.stark.reading_bounds import ReadingBounds


def decimal_text(value: int, scale: int) -> str:
    """Return value / 10^scale exactly, as a decimal number without zeros at its end."""
    sign, digits = "-" if value < 0 else "", str(abs(value)).rjust(scale + 1, "0")
    whole, places = digits[: len(digits) - scale], digits[len(digits) - scale :].rstrip("0")
    return f"{sign}{whole}.{places}" if places else f"{sign}{whole}"


def reading_text(readings: Readings, value: int | None) -> str:
    """Return a committed reading with its unit. Args: `value`; None: a message without a number."""
    if value is None:
        return "none (a message without a number)"
    return f"{decimal_text(value, readings.rule.scale)} {readings.unit}"


def committed_text(count: int) -> str:
    """Return the subject of what a proof shows of a window, with its verb."""
    if count == 1:
        return "the only committed reading of the window is"
    return f"all {count} committed readings of the window are"


def bounds_text(readings: Readings, bounds: ReadingBounds) -> str:
    """Return what a readings proof shows of a window's committed readings, after "are"."""
    return ", ".join(_parts(readings, bounds))


def _parts(readings: Readings, bounds: ReadingBounds) -> Iterator[str]:
    scale, unit = readings.rule.scale, readings.unit
    yield f"from {_interval(bounds.low, bounds.high, scale)} {unit}"
    if (bounds.step_low, bounds.step_high) != (-bounds.width, bounds.width):
        steps = _interval(bounds.step_low, bounds.step_high, scale)
        yield f"each differs from the one before by {steps} {unit}"
    if not isinstance(readings.sum, NoSum):
        exact = bounds.sum_low == bounds.sum_high
        total = decimal_text(bounds.sum_low, scale)
        interval = _interval(bounds.sum_low, bounds.sum_high, scale)
        yield f"their sum is {total if exact else f'from {interval}'} {unit}"


def _interval(low: int, high: int, scale: int) -> str:
    return f"{decimal_text(low, scale)} to {decimal_text(high, scale)}"
