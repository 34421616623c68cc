"""`dragon windows`: the windows of a stream, and how far each has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from rich.console import Group, RenderableType
from rich.table import Table

from dragon.encoding import Json
from dragon.net.stream_client import StreamClient
from dragon_cli.completions import complete_streams
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.stream_reading import all_windows, open_stream
from dragon_cli.fleet.stream_services import ServiceAt
from dragon_cli.options import ca_option, home_option, json_option, stream_service_options
from dragon_cli.render.output import console, plain
from dragon_cli.render.proofs import proof_size, security_level
from dragon_cli.render.readings import NO_CLAIM, statement_text
from dragon_cli.render.text import moment, print_json
from dragon_cli.render.watch import check_watch, refresh, watch_options

STYLES: Final = {"certified": "green", "invalid": "red"}
ORDER: Final = ("certified", "proven", "closed", "invalid")
MAX_CHARS: Final = 16  # as many digits as a number may have; of a value of a service
SHOWN: Final = 20  # newest windows in the table, unless `--all`


@click.command(short_help="List the windows of a stream.")
@click.argument("stream", shell_complete=complete_streams)
@click.option("--all", "show_all", is_flag=True, help=f"List all windows, not the last {SHOWN}.")
@watch_options("Refresh until interrupted.")
@stream_service_options
@home_option
@ca_option
@json_option
def windows(
    stream: str,
    show_all: bool,
    watching: bool,
    every: int | None,
    at: ServiceAt,
    home: Path,
    ca: Path | None,
    as_json: bool,
) -> None:
    """List the windows of STREAM (an id 0x… or a name): closed, proven, certified or invalid.

    In a stream with readings, the column `statement` says `readings` if the window claims that its
    committed readings are within the bounds of the stream, and `no claim` if it does not.

    As the stream service reports them, with size and security level of each proof; receipts prove
    it. The last column is the position of the window's event in the log.
    """
    seconds = check_watch(watching=watching, every=every, as_json=as_json)
    client, stream_id = open_stream(Home(home), at, ca, stream)
    if as_json:
        print_json({"stream": stream_id, "windows": all_windows(client, stream_id)})
    elif watching:
        refresh(lambda: _shown(client, stream_id, show_all=show_all), seconds)
    else:
        console.print(_shown(client, stream_id, show_all=show_all))


def _shown(client: StreamClient, stream: str, *, show_all: bool) -> RenderableType:
    rows = all_windows(client, stream)
    counts = Counter(str(row.get("state")) for row in rows)
    parts = [f"{counts[state]} {state}" for state in ORDER if counts[state]]
    count = f"{len(rows)} window{'' if len(rows) == 1 else 's'}"
    total = f"{count} of stream {stream}: {', '.join(parts) or 'none closed yet'}"
    return Group(_table(rows if show_all else rows[-SHOWN:]), total)


def _table(rows: Sequence[dict[str, Json]]) -> Table:
    table = Table(box=None, pad_edge=False)
    statements = [statement_text(row.get("statement")) for row in rows]
    shown = ["statement"] if any(statements) else []
    for column in ("window", "state", *shown, "chunks", "closed", "proof", "security", "event"):
        table.add_column(column)
    for row, statement in zip(rows, statements, strict=True):
        first, count, closed = row.get("first"), row.get("count"), row.get("closed_ms")
        chunks = "–"
        if isinstance(first, int) and isinstance(count, int):
            chunks = f"{first} to {first + count - 1}"
        state = str(row.get("state"))
        style = STYLES.get(state)
        table.add_row(
            _text(row.get("number")),
            f"[{style}]{state}[/]" if style else _text(state),
            *([_styled(statement)] if shown else []),
            chunks,
            moment(closed // 1000 if isinstance(closed, int) else None),
            proof_size(row.get("proof_bytes")),
            security_level(row.get("security_bits")),
            "–" if row.get("position") is None else _text(row["position"]),
        )
    return table


def _styled(statement: str) -> str:
    return f"[yellow]{statement}[/]" if statement == NO_CLAIM else statement or "–"


def _text(value: object) -> str:
    """Return a value of a service for the terminal."""
    return plain(str(value)[:MAX_CHARS])
