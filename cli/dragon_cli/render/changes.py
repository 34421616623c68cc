"""How a change of the committee proceeds, and what came of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

from dragon.encoding import to_hex
from dragon.protocol.committee import Committee, short_id
from dragon.protocol.differences import differences
from dragon.protocol.lineage import Lineage
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json

LATER_HINT: Final = (
    "`dragon committee show --live` shows how far it is, `dragon committee update` learns its "
    "outcome, and `dragon committee withdraw --all` takes it back while the next committee has not "
    "begun."
)
ERASE_LINE: Final = "\r\x1b[2K"


@contextmanager
def progress() -> Iterator[Callable[[str], object]]:
    """Yield a function that shows a line of progress on stderr.

    On a terminal each line replaces the one before; elsewhere a line is printed if it differs.
    """
    last = ""

    def say(line: str) -> None:
        nonlocal last
        if line != last:
            click.echo(f"{ERASE_LINE}{line} …" if sys.stderr.isatty() else line, err=True, nl=end)
        last = line

    end = not sys.stderr.isatty()
    try:
        yield say
    except KeyboardInterrupt:
        click.echo(f"\nThe change goes on without this command. {LATER_HINT}", err=True)
        raise
    finally:
        if last and not end:
            click.echo(ERASE_LINE, err=True, nl=False)


def print_change(before: Committee, after: Lineage, *, as_json: bool) -> None:
    """Print what a handover has changed, and the committee that holds now."""
    newest = after.newest
    found = differences(before, newest)
    if as_json:
        print_json(
            {
                "id": to_hex(newest.id),
                "short_id": short_id(newest.id),
                "epoch": newest.epoch,
                "seen": after.seen,
                "differences": [each.to_json() for each in found],
            }
        )
        return
    for each in found:
        console.print(plain(each.sentence))
    console.print(f"The committee of epoch {newest.epoch} holds: {short_id(newest.id)}")
