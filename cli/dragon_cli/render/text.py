"""Text output that needs no terminal library."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click


def print_json(value: object) -> None:
    """Print one JSON document."""
    click.echo(as_json_text(value), nl=False)


def as_json_text(value: object) -> str:
    """Return one JSON document, with a line end."""
    return json.dumps(value, indent=2, default=str) + "\n"


def moment(timestamp: object) -> str:
    """Return Unix seconds as a date and time in UTC, or a dash if it is not an integer."""
    if not isinstance(timestamp, int):
        return "–"
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"second {timestamp}"


def duration(seconds: int) -> str:
    """Return a number of seconds in its two largest units, such as `3 min 5 s`."""
    parts = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        if count := seconds // size:
            parts.append(f"{count} {unit}")
        seconds %= size
    return " ".join(parts[:2]) or "0 s"


def printable(text: str) -> str:
    """Replace characters of untrusted text that could control the terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)
