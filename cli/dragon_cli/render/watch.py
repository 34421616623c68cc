"""Showing something again and again until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from dragon.errors import PeerError
from dragon_cli.render.output import plain, rich_console
from dragon_cli.render.text import moment, printable

F = TypeVar("F", bound=Callable[..., Any])

REFRESH_SECONDS: Final = 2
console: Final = rich_console()


def watch_options(text: str) -> Callable[[F], F]:
    """Add `--watch` (described by `text`) and `--every` to a command: `watching` and `every`."""
    watch = click.option("--watch", "watching", is_flag=True, help=text)
    every = click.option(
        "--every",
        type=click.IntRange(1, 3600),
        help=f"Seconds between refreshes (default: {REFRESH_SECONDS}).",
    )
    return lambda command: watch(every(command))


def check_watch(*, watching: bool, every: int | None, as_json: bool) -> int:
    """Return the seconds between refreshes. Raises UsageError: these options exclude each other."""
    if watching and as_json:
        raise click.UsageError("`--json` prints one document; it cannot be used with `--watch`.")
    if every is not None and not watching:
        raise click.UsageError("`--every` requires `--watch`.")
    return every or REFRESH_SECONDS


def refresh(show: Callable[[], RenderableType], every: int) -> None:
    """Show a picture again every few seconds, until Ctrl-C.

    On a terminal it replaces the one before; in a file or pipe each follows with its time. During
    an outage the last picture stays, and a line below it says why.

    Raises PeerError: the first picture cannot be made.
    """
    with suppress(KeyboardInterrupt):
        pictures = _pictures(show)
        if console.is_terminal:
            with live_picture() as live:
                for picture in pictures:
                    live.update(Fitted(picture), refresh=True)
                    time.sleep(every)
        for picture in pictures:
            console.print(moment(int(time.time())))
            console.print(picture)
            time.sleep(every)


def _pictures(show: Callable[[], RenderableType]) -> Iterator[RenderableType]:
    last = show()
    yield last
    while True:
        try:
            last = show()
        except PeerError as error:
            yield Group(last, f"[yellow]waiting[/]: {plain(str(error))}")
        else:
            yield last


def live_picture() -> Live:
    """Return a context in which one picture replaces another on the terminal; use `Fitted`."""
    return Live(console=console, auto_refresh=False, vertical_overflow="visible")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A picture whose lines are folded at the width of the terminal.

    Of one that is too high the end is shown, which has the newest rows and the verdict. A picture
    that does not fit could not be replaced by the next one.
    """

    picture: RenderableType

    def __rich_console__(self, terminal: Console, options: ConsoleOptions) -> RenderResult:
        folded = options.update(no_wrap=False, overflow="fold", height=None)
        lines = terminal.render_lines(self.picture, folded, pad=False)
        most = terminal.height - 1
        if (hidden := len(lines) - most) > 0:
            hidden += 1  # the line that says so
            yield Text(f"… {hidden} lines do not fit", no_wrap=True, overflow="ellipsis")
            lines = lines[hidden:]
        for line in lines:
            yield from line
            yield Segment.line()


def follow(print_new: Callable[[], object], every: int) -> None:
    """Call `print_new` every few seconds until Ctrl-C; an outage is reported once and waited for.

    Raises PeerError: the first call fails.
    """
    with suppress(KeyboardInterrupt):
        print_new()
        is_out = False
        while True:
            time.sleep(every)
            try:
                print_new()
            except PeerError as error:
                if not is_out:
                    click.echo(f"Waiting: {printable(str(error))}", err=True)
                is_out = True
            else:
                is_out = False
