"""What the commands print."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final

import click
from rich.console import Console
from rich.markup import escape

console: Final = Console(highlight=False, soft_wrap=True)

STYLES: Final = {"up": "green", "down": "red", "unknown": "yellow"}


def print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, default=str))


def moment(timestamp: object) -> str:
    """Unix seconds as people read them, in UTC; a dash for what is no integer."""
    if not isinstance(timestamp, int):
        return "–"
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"second {timestamp}"


def styled(status: str) -> str:
    """A status in its colour; any other text is shown plain."""
    return f"[{STYLES[status]}]{status}[/]" if status in STYLES else plain(status)


def plain(text: str) -> str:
    """Foreign text, fit to be shown: it styles nothing and steers no terminal."""
    return escape(printable(text))


def printable(text: str) -> str:
    """As `plain`, where nothing reads markup."""
    return "".join(c if c.isprintable() else "�" for c in text)
