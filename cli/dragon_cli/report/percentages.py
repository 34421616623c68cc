"""Parts of a period in percent."""

from __future__ import annotations


def percent_of(part: int, whole: int) -> float:
    """Return a part in percent, with three decimals.

    It never rounds to 100 or 0 what is less than all or more than nothing.
    """
    if part in (0, whole):
        return 100.0 if part else 0.0
    return min(99.999, max(0.001, round(100 * part / whole, 3)))
