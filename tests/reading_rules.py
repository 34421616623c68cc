"""Descriptors' members `readings` for tests."""

from __future__ import annotations

from typing import Any, Final

from dragon.protocol.streams.readings import Readings

# A cold chain: -30 to 60 °C with three decimal places, at most 2 °C from one reading to the next.
COLD_CHAIN: Final[dict[str, Any]] = {
    "form": "json",
    "pointer": "/temp",
    "scale": 3,
    "rounding": "exact",
    "unit": "°C",
    "length": 64,
    "low": "-30000",
    "high": "60000",
    "fall": "2000",
    "rise": "2000",
    "sum": {"kind": "none"},
    "carry": True,
    "most": 63,
}


def reading_members(**changes: Any) -> dict[str, Any]:
    """The members of the cold chain, with changes; a member that is set to None is absent."""
    changed = {**COLD_CHAIN, **changes}
    return {name: value for name, value in changed.items() if value is not None}


def make_readings(**changes: Any) -> Readings:
    """The readings of the cold chain, with changes as in `reading_members`."""
    return Readings.from_json(reading_members(**changes))


def free_steps(low: int, high: int, **changes: Any) -> Readings:
    """Readings from `low` to `high` in plain messages, without a claim about steps.

    They are not carried from one window to the next, and nothing is said about sums.
    """
    bounds = {"low": str(low), "high": str(high), "fall": str(high - low), "rise": str(high - low)}
    free: dict[str, Any] = {"carry": False, "form": "plain", "pointer": None, "scale": 0}
    return make_readings(**{**free, **bounds, **changes})
