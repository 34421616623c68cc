"""What a stream with readings says about the sum of each window: one of four rules (section 19.16).

A rule gives an interval [A, Z] for the sum of the new readings of a window. It never depends on
readings, except for a stated sum, whose A stands in the signed header.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from dragon import errors
from dragon.encoding import Json, Members
from dragon.stark.reading_bounds import SPAN_LIMIT

MAX_SUM: Final = 1 << 71  # in size; no sum of the readings of a window is larger

Interval: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Reach:
    """What the descriptor says about the readings themselves."""

    low: int
    high: int
    most: int  # largest number of readings of a window, a carried one included

    @property
    def sum_width(self) -> int:
        """Width of the widest interval in which sums of a window can be."""
        return (self.high - self.low) * self.most


@dataclass(frozen=True, slots=True)
class NoSum:
    """Nothing is said about sums."""

    def to_json(self) -> dict[str, Json]:
        return {"kind": "none"}

    def check(self, reach: Reach) -> None:
        """Raise InvalidReadings: a proof would have to name a sum that nobody asked for."""
        if reach.sum_width >= SPAN_LIMIT:
            _refuse(
                "sum cannot be none: (high - low) * most must be below 2^44; choose a smaller most "
                "or range, or the kind mean"
            )

    def interval(self, counted: int, reach: Reach) -> Interval:
        """Return [A, Z] for a window with `counted` new readings."""
        return counted * reach.low, counted * reach.high


@dataclass(frozen=True, slots=True)
class TotalSum:
    """The sum of each window is in one interval, whatever the number of its readings."""

    low: int
    high: int

    def to_json(self) -> dict[str, Json]:
        return {"kind": "total", "low": str(self.low), "high": str(self.high)}

    def check(self, reach: Reach) -> None:
        """Raise InvalidReadings: the interval is empty, or too wide for a proof."""
        if self.low > self.high:
            _refuse(f"the total's low ({self.low}) must not be above its high ({self.high})")
        if min(self.high - self.low, reach.sum_width) >= SPAN_LIMIT:
            _refuse("the total's high - low, or (high - low) * most, must be below 2^44")

    def interval(self, counted: int, reach: Reach) -> Interval:
        """Return [A, Z], which may lie outside the possible sums of `counted` readings."""
        return self.low, self.high


@dataclass(frozen=True, slots=True)
class MeanSum:
    """The mean of each window is in one interval."""

    low: int
    high: int

    def to_json(self) -> dict[str, Json]:
        return {"kind": "mean", "low": str(self.low), "high": str(self.high)}

    def check(self, reach: Reach) -> None:
        """Raise InvalidReadings: the interval is not within the range, or too wide for a proof."""
        if not reach.low <= self.low <= self.high <= reach.high:
            _refuse(
                f"the mean's low ({self.low}) and high ({self.high}) must be in order and between "
                f"the readings' low ({reach.low}) and high ({reach.high})"
            )
        if (self.high - self.low) * reach.most >= SPAN_LIMIT:
            _refuse("the mean's high - low, times most, must be below 2^44")

    def interval(self, counted: int, reach: Reach) -> Interval:
        """Return [A, Z] for a window with `counted` new readings."""
        return counted * self.low, counted * self.high


@dataclass(frozen=True, slots=True)
class StatedSum:
    """The header of each window states its sum, up to a fixed width. Width 0 is the exact sum."""

    width: int

    def to_json(self) -> dict[str, Json]:
        return {"kind": "stated", "width": str(self.width)}

    def check(self, reach: Reach) -> None:
        """Raise InvalidReadings: the width is negative, or too large for a proof."""
        if not 0 <= self.width < SPAN_LIMIT:
            _refuse(f"the width of a stated sum must be between 0 and 2^44 - 1, not {self.width}")

    def state(self, total: int) -> int:
        """Return A for a sum: the greatest multiple of `width` + 1 that is not above it."""
        return total - total % (self.width + 1)

    def interval(self, stated: int) -> Interval | None:
        """Return [A, Z] for the A in a header; None if it is not a multiple of `width` + 1."""
        return None if stated % (self.width + 1) else (stated, stated + self.width)


SumRule: TypeAlias = NoSum | TotalSum | MeanSum | StatedSum
KINDS: Final = ("none", "total", "mean", "stated")


def sum_from_json(value: Json) -> SumRule:
    """Decode the member `sum` of a descriptor's readings strictly. Raises InvalidEncoding."""
    members = Members(value, "sum")
    rule = _take(members, members.word("kind", KINDS))
    members.end()
    return rule


def _take(members: Members, kind: str) -> SumRule:
    if kind == "none":
        return NoSum()
    if kind == "stated":
        return StatedSum(_decimal(members, "width"))
    rule = TotalSum if kind == "total" else MeanSum
    return rule(_decimal(members, "low"), _decimal(members, "high"))


def _decimal(members: Members, name: str) -> int:
    return members.decimal(name, least=-MAX_SUM, most=MAX_SUM)


def _refuse(message: str) -> None:
    raise errors.InvalidReadings(message, member="sum")
