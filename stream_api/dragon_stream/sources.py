"""Generators of sample data. The same seed always gives the same messages."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

from dragon.errors import SettingsError


def sensor(seed: int, _file: Path | None = None) -> Iterator[bytes]:
    """A random walk of temperature and humidity, as JSON.

    The temperature stays between -20 and 60 °C, and never changes by more than 1 °C.
    """
    draw = random.Random(f"sensor {seed}")  # noqa: S311 - sample data, not a secret
    celsius, percent, number = 21.0, 45.0, 0
    while True:
        celsius = min(60.0, max(-20.0, celsius + min(0.9, max(-0.9, draw.gauss(0, 0.1)))))
        percent = min(100.0, max(0.0, percent + draw.gauss(0, 0.3)))
        reading = {"reading": number, "celsius": round(celsius, 2), "humidity": round(percent, 1)}
        yield json.dumps(reading).encode()
        number += 1


def ticker(seed: int, _file: Path | None = None) -> Iterator[bytes]:
    """A random walk of a price, with steps of some basis points, as JSON."""
    draw = random.Random(f"ticker {seed}")  # noqa: S311
    cents, number = 100_00, 0
    while True:
        cents = max(1, round(cents * (1 + draw.gauss(0, 0.0008))))
        quote = {"tick": number, "price": f"{cents / 100:.2f}", "size": draw.randrange(1, 500)}
        yield json.dumps(quote).encode()
        number += 1


def replay(_seed: int, file: Path | None = None) -> Iterator[bytes]:
    """The lines of a file, repeated without end.

    Raises SettingsError: the file has no lines, or a line exceeds 65,536 bytes.
    """
    lines = file.read_bytes().splitlines() if file else []
    if not lines or max(map(len, lines)) > 65_536:
        raise SettingsError(f"{file} has no lines, or a line of more than 65,536 bytes")
    while True:
        yield from lines
