"""What a closed window claims about its readings, decided by integer arithmetic (section 19.16).

The owner decides it before anything is proven. A window whose readings are not within the bounds is
as valid as any, but claims nothing about them.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from dragon.protocol.streams.reading_sums import StatedSum
from dragon.protocol.streams.readings import Readings
from dragon.stark.reading_bounds import ReadingBounds


class HeaderClaim(enum.StrEnum):
    """What the header of a window claims about its readings."""

    READINGS = "readings"  # they are within the bounds of the descriptor; the proof shows it
    NONE = "none"  # nothing; the window is proven as in streams without readings


@dataclass(frozen=True, slots=True)
class Closing:
    """The members that a window's header gets when it is closed."""

    claim: HeaderClaim
    stated: int | None = None  # the header's `sum`; only with a claim and a stated sum


def decide(readings: Readings, values: Sequence[int], carried_value: int | None) -> Closing:
    """Decide what a window claims.

    Args:
        values: the committed values of the window's chunks, at least one; `NO_READING` for a
            message without a reading, which no range admits.
        carried_value: the committed value of the previous window's last chunk; None if it is not
            carried. It takes part in range and steps, not in the sum.
    """
    total = sum(values)
    stated = readings.sum.state(total) if isinstance(readings.sum, StatedSum) else None
    carried = [] if carried_value is None else [carried_value]
    bounds = readings.bounds(len(values), carried_value is not None, stated)
    if bounds and is_within(bounds, [*carried, *values], total):
        return Closing(HeaderClaim.READINGS, stated)
    return Closing(HeaderClaim.NONE)


def is_within(bounds: ReadingBounds, values: Sequence[int], total: int) -> bool:
    """Return whether all values, all steps between them and the sum are within the bounds."""
    return (
        all(bounds.low <= value <= bounds.high for value in values)
        and all(bounds.step_low <= b - a <= bounds.step_high for a, b in pairwise(values))
        and bounds.sum_low <= total <= bounds.sum_high
    )
