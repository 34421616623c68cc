"""Showing something again and again until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import click
from rich.console import RenderableType
from rich.live import Live

from dragon.errors import PeerError
from dragon_cli.render.output import console
from dragon_cli.render.text import moment, printable

F = TypeVar("F", bound=Callable[..., Any])

REFRESH_SECONDS: Final = 2


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

    On a terminal it replaces the one before; in a file or pipe each follows with its time.
    """
    with suppress(KeyboardInterrupt):
        if console.is_terminal:
            with Live(console=console, auto_refresh=False) as live:
                while True:
                    live.update(show(), refresh=True)
                    time.sleep(every)
        while True:
            console.print(moment(int(time.time())))
            console.print(show())
            time.sleep(every)


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
