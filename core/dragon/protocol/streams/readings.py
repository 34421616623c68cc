"""Streams with readings: what their descriptor fixes before any data (section 19.16).

The rule that takes a reading from a message, and the bounds of the readings of each window. They
are covered by the stream's id, so other bounds or another rule make another stream.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from dragon import errors
from dragon.encoding import Json, Members
from dragon.protocol.streams.chunks import MAX_CHUNK_BYTES
from dragon.protocol.streams.reading_rule import MAX_READING, Form, ReadingRule, Rounding
from dragon.protocol.streams.reading_sums import (
    MAX_SUM,
    Interval,
    Reach,
    StatedSum,
    SumRule,
    TotalSum,
    sum_from_json,
)
from dragon.stark.commitment import NO_READING
from dragon.stark.reading_bounds import MAX_READINGS, RANGE_LIMIT, ReadingBounds

MAX_UNIT_CHARS: Final = 16
# ASCII, Latin-1 and Greek letters, superscripts and subscripts, ‰ ℃ ℉ Ω K. Not a property of
# Unicode's tables, which change from one version of the interpreter to another.
_UNIT_CHARS: Final = (
    r"!-~\u00a1-\u00ac\u00ae-\u00ff\u0391-\u03a1\u03a3-\u03c9"
    r"\u2030\u2070\u2071\u2074-\u208e\u2103\u2109\u2126\u212a"
)
_UNIT: Final = re.compile(rf"[{_UNIT_CHARS}](?:[{_UNIT_CHARS} ]*[{_UNIT_CHARS}])?")


@dataclass(frozen=True)
class Readings:
    """The member `readings` of a descriptor. Raises InvalidReadings: a condition is violated.

    All bounds are readings, that is integers after scaling, and are allowed values.
    """

    rule: ReadingRule
    unit: str  # of the number in the message, for people; "1" for plain counts
    length: int  # bytes: the stated length of every chunk, and the most that its data may have
    low: int
    high: int
    fall: int  # the most by which a reading may be below the one before it
    rise: int  # the most by which a reading may be above the one before it
    sum: SumRule
    carry: bool  # whether steps also hold from one window to the next
    most: int  # largest number of readings of a proof, a carried one included

    def __post_init__(self) -> None:
        self._check_unit()
        self._check_range()
        self._check_length()
        self._check_steps()
        self._check_most()
        self.sum.check(self._reach)

    def to_json(self) -> dict[str, Json]:
        """Return the published form, a member of the descriptor."""
        rule = self.rule
        pointer: dict[str, Json] = {} if rule.pointer is None else {"pointer": rule.pointer}
        return {
            "form": str(rule.form),
            **pointer,
            "scale": rule.scale,
            "rounding": str(rule.rounding),
            "unit": self.unit,
            "length": self.length,
            "low": str(self.low),
            "high": str(self.high),
            "fall": str(self.fall),
            "rise": str(self.rise),
            "sum": self.sum.to_json(),
            "carry": self.carry,
            "most": self.most,
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode the published form strictly. Raises InvalidEncoding, InvalidReadings."""
        members = Members(value, "readings")
        rule = _rule(members)
        unit, length = members.text("unit"), members.integer("length")
        low, high, fall, rise = (_decimal(members, name) for name in _BOUNDS)
        sums = sum_from_json(members.take("sum"))
        carry, most = members.boolean("carry"), members.integer("most")
        members.end()
        return cls(rule, unit, length, low, high, fall, rise, sums, carry, most)

    def committed_value(self, data: bytes) -> int:
        """Return the reading of a message, or `NO_READING`: the value that is committed to."""
        reading = self.rule.reading(data)
        return NO_READING if reading is None else reading

    def is_carried(self, number: int) -> bool:
        """Return whether the proof of window `number` begins with the previous window's last chunk.

        Nobody chooses this for a window: it follows from the descriptor and the number.
        """
        return self.carry and number > 0

    @property
    def bounds_total(self) -> bool:
        """Whether the total of a window is bounded, so that the bound depends on its size."""
        return isinstance(self.sum, TotalSum)

    def most_chunks(self, carried: bool) -> int:
        """Return the largest number of chunks of a window."""
        return self.most - carried

    def bounds(self, count: int, carried: bool, stated: int | None) -> ReadingBounds | None:
        """Return the bounds of a window's statement, computed from the descriptor alone.

        Args:
            count: number of chunks of the window, without the carried one.
            carried: see `is_carried`.
            stated: the member `sum` of the window's header, the lower end of its interval.

        Returns:
            Bounds that section 19.1 admits. None if the window cannot make this statement: it has
            too many chunks, its sum cannot be within the descriptor's interval, or `stated` is
            absent, unexpected or not a multiple of the width plus one.
        """
        if not 0 < count <= self.most_chunks(carried):
            return None
        if (interval := self._interval(count, stated)) is None:
            return None
        sum_low, sum_high = max(interval[0], count * self.low), min(interval[1], count * self.high)
        if sum_low > sum_high:
            return None
        return ReadingBounds(self.low, self.high, -self.fall, self.rise, sum_low, sum_high)

    def _interval(self, count: int, stated: int | None) -> Interval | None:
        if isinstance(self.sum, StatedSum):
            return None if stated is None else self.sum.interval(stated)
        return self.sum.interval(count, self._reach) if stated is None else None

    @property
    def _reach(self) -> Reach:
        return Reach(self.low, self.high, self.most)

    def _check_unit(self) -> None:
        if len(self.unit) > MAX_UNIT_CHARS or not _UNIT.fullmatch(self.unit):
            message = (
                f"unit must have 1 to {MAX_UNIT_CHARS} printable characters, for example °C, "
                "and no space at its ends"
            )
            raise errors.InvalidReadings(message, member="unit")

    def _check_range(self) -> None:
        for name, bound in (("low", self.low), ("high", self.high)):
            if abs(bound) > MAX_READING:
                message = f"{name} must be within ±(2^59 - 1), not {bound}"
                raise errors.InvalidReadings(message, member=name, value=str(bound))
        if self.low > self.high:
            message = f"low ({self.low}) must not be above high ({self.high})"
            raise errors.InvalidReadings(message, member="low")
        if self.high - self.low >= RANGE_LIMIT:
            message = f"high - low must be below 2^43, not {self.high - self.low}"
            raise errors.InvalidReadings(message, member="high")

    def _check_length(self) -> None:
        needed = max(_characters(bound, self.rule.scale) for bound in (self.low, self.high))
        if not needed <= self.length <= MAX_CHUNK_BYTES:
            message = (
                f"length must be between {needed}, the characters of the longest number from low "
                f"to high, and {MAX_CHUNK_BYTES}, not {self.length}"
            )
            raise errors.InvalidReadings(message, member="length", value=self.length)

    def _check_steps(self) -> None:
        width = self.high - self.low
        for name, step in (("fall", self.fall), ("rise", self.rise)):
            if step > width:
                message = f"{name} must not exceed high - low ({width}), not {step}"
                raise errors.InvalidReadings(message, member=name, value=str(step))
        if -self.fall > self.rise:
            message = f"-fall ({-self.fall}) must not be above rise ({self.rise})"
            raise errors.InvalidReadings(message, member="rise")
        if (self.fall, self.rise) != (width, width) and not self.carry:
            message = (
                "carry must be true if fall or rise is less than high - low; otherwise a large "
                "step could be hidden between two windows"
            )
            raise errors.InvalidReadings(message, member="carry")

    def _check_most(self) -> None:
        if not 1 + self.carry <= self.most <= MAX_READINGS:
            least = 1 + self.carry
            message = f"most must be between {least} and {MAX_READINGS}, not {self.most}"
            raise errors.InvalidReadings(message, member="most", value=self.most)


_BOUNDS: Final = ("low", "high", "fall", "rise")


def _rule(members: Members) -> ReadingRule:
    form = Form(members.word("form", list(Form)))
    pointer = members.text("pointer", shortest=0) if "pointer" in members else None
    scale, rounding = members.integer("scale"), Rounding(members.word("rounding", list(Rounding)))
    return ReadingRule(form, pointer, scale, rounding)


def _decimal(members: Members, name: str) -> int:
    return members.decimal(name, least=-MAX_SUM, most=MAX_SUM)


def _characters(reading: int, scale: int) -> int:
    """Return the characters of a reading's number in decimal notation with all its places."""
    digits = max(len(str(abs(reading))), scale + 1)
    return (reading < 0) + digits + (scale > 0)
