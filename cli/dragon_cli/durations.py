"""Durations on the command line."""

from __future__ import annotations

import re
from typing import Any, Final

import click

from dragon.encoding import MAX_INTEGER

UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
DURATION_FORMS: Final = "a number with s, m, h, d or w, such as 90m, 2h or 1h30m"

_DURATION: Final = re.compile(r"(?:[0-9]{1,9}[smhdw]){1,5}", re.ASCII)
_PART: Final = re.compile(r"([0-9]+)([smhdw])", re.ASCII)


def parse_duration(text: str) -> int:
    """Return a duration in seconds. Raises ValueError: not one, or not at least a second."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"expected {DURATION_FORMS}")
    seconds = sum(int(number) * UNIT_SECONDS[unit] for number, unit in _PART.findall(text))
    if not 1 <= seconds <= MAX_INTEGER:
        raise ValueError("expected at least 1s")
    return seconds


class DurationType(click.ParamType[int]):
    """A duration in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds. Raises BadParameter."""
        if isinstance(value, int):
            return value
        try:
            return parse_duration(str(value))
        except ValueError as error:
            message = f"{value!a} is not a duration: {error}."
            raise click.BadParameter(message, ctx, param) from None
