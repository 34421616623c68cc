"""What the commands print."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final

import click
from rich.console import Console

console: Final = Console(highlight=False, soft_wrap=True)

STYLES: Final = {"up": "green", "down": "red", "unknown": "yellow"}


def print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2))


def moment(timestamp: int | None) -> str:
    """Unix seconds as people read them, in UTC."""
    if timestamp is None:
        return "–"
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def styled(status: str) -> str:
    return f"[{STYLES.get(status, 'default')}]{status}[/]"
