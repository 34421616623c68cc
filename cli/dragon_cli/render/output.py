"""The console, and text with colours."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from dragon_cli.render.markup import rendered
from dragon_cli.render.text import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

STYLES: Final = {"up": "green", "down": "red", "unknown": "yellow"}

# Variables with which users tell rich what the output can show.
_WISHES: Final = frozenset({"FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"})


@cache
def rich_console() -> Console:
    """Return rich's console on standard output. The first call loads rich."""
    from rich.console import Console  # noqa: PLC0415 - most commands print simple lines only

    return Console(highlight=False, soft_wrap=True)


class Output:
    """Standard output: lines, and what rich can show. It loads rich only for what takes rich."""

    def print(self, *shown: RenderableType, **options: Any) -> None:
        """Print as `rich.console.Console.print`."""
        if options.keys() <= {"highlight", "soft_wrap"} and (text := _simple(*shown)) is not None:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        else:
            rich_console().print(*shown, **options)


console: Final = Output()


def _simple(*shown: RenderableType) -> str | None:
    """Return the text of one simple line, or None if rich has to print it.

    Rich may hold lines back or put them above a picture, so it prints all lines once it is loaded.
    """
    if len(shown) != 1 or not isinstance(shown[0], str) or rich_console.cache_info().currsize:
        return None
    if _WISHES & os.environ.keys() or (sys.stdout.encoding or "").lower() != "utf-8":
        return None
    is_terminal = sys.stdout.isatty()
    if is_terminal and os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        return None
    return rendered(shown[0], coloured=is_terminal)


def styled(status: str) -> str:
    """Return a status in its colour, and any other text without markup."""
    return f"[{STYLES[status]}]{status}[/]" if status in STYLES else plain(status)


def plain(text: str) -> str:
    """Return untrusted text in a form that changes neither colours nor the terminal's state."""
    shown = printable(text)
    if "[" not in shown and "\\" not in shown:
        return shown  # it has no markup
    from rich.markup import escape  # noqa: PLC0415 - rarely needed

    # Before markup, two backslashes mean one. What follows the text is not known here, so its last
    # backslashes are followed by markup without an effect.
    text = shown.rstrip("\\")
    last = len(shown) - len(text)
    return escape(text) + (2 * last * "\\" + "[none][/none]" if last else "")


def print_verified(sentence: str) -> None:
    """Print a positive verdict; `sentence` may contain markup."""
    console.print(f"[green]verified[/]: {sentence}")
