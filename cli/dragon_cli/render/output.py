"""The console, and text with colours."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.markup import escape

from dragon_cli.render.text import printable

console: Final = Console(highlight=False, soft_wrap=True)

STYLES: Final = {"up": "green", "down": "red", "unknown": "yellow"}


def styled(status: str) -> str:
    """Return a status in its colour, and any other text without markup."""
    return f"[{STYLES[status]}]{status}[/]" if status in STYLES else plain(status)


def plain(text: str) -> str:
    """Return untrusted text in a form that changes neither colours nor the terminal's state."""
    return escape(printable(text))


def print_verified(sentence: str) -> None:
    """Print a positive verdict; `sentence` may contain markup."""
    console.print(f"[green]verified[/]: {sentence}")
