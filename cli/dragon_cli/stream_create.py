"""`dragon stream create`: create a stream, with or without readings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dragon.encoding import Json
from dragon.protocol.claims.window import WINDOW_SETS
from dragon.protocol.streams.readings import Readings
from dragon_cli.command_line import command_of
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.stream_services import ServiceAt
from dragon_cli.fleet.streams import find, listed
from dragon_cli.options import (
    ca_option,
    home_option,
    json_option,
    stream_service_options,
    token_option,
)
from dragon_cli.reading_options import reading_options, readings_of
from dragon_cli.render.output import console, plain
from dragon_cli.render.readings import readings_lines
from dragon_cli.render.text import print_json
from dragon_cli.stream_settings import settings_options, wanted_settings


@click.command(short_help="Create a stream, with or without readings.")
@click.argument("name")
@reading_options
@click.option(
    "--mode",
    type=click.Choice(["bytes", "message"]),
    help="Without readings: cut data into chunks, or one chunk for each message (default: bytes).",
)
@click.option(
    "--parameters",
    type=click.Choice(WINDOW_SETS),
    default="standard",
    show_default=True,
    help="Parameter set of the proofs.",
)
@settings_options
@stream_service_options
@token_option
@home_option
@ca_option
@json_option
def create(
    name: str,
    mode: str | None,
    parameters: str,
    window_chunks: int | None,
    window_ms: int,
    retention_seconds: int,
    at: ServiceAt,
    token_file: Path | None,
    home: Path,
    ca: Path | None,
    as_json: bool,
    **words: Any,
) -> None:
    """Create the stream NAME. With `--low` and `--high` every message is a reading.

    Readings are numbers whose proofs say that they lie within bounds. The bounds are decimal
    numbers in the unit, and are fixed in the stream's id: `dragon stream create cold-chain --scale
    3 --unit °C --low 2 --high 8 --fall 0.5 --rise 0.5`. A bound on steps, `--fall` or `--rise`,
    sets `--carry`, so that it holds from window to window too.

    The same command again finds the same stream; other settings are refused.
    """
    if name.startswith("0x"):
        raise click.UsageError("NAME is a name of your choice, not an id.")
    readings = readings_of(words)
    if readings is not None and mode == "bytes":
        raise click.UsageError("With readings every message is a chunk: omit `--mode bytes`.")
    wanted: dict[str, Json] = {
        "parameters": parameters,
        "mode": mode or "bytes",
        "window_ms": window_ms,
        "retention_seconds": retention_seconds,
        **wanted_settings(readings, window_chunks),
    }
    fleet = Home(home)
    client = at.client(fleet, ca, name, may_be_new=True)
    known = listed(client, name) is not None
    _client, found = find(client, fleet, name, token_file, **wanted)
    if as_json:
        print_json(_document(found, readings, known=known))
        return
    verb = "exists already" if known else "created"
    console.print(f"[green]{verb}[/]: stream {plain(name)} {found['stream']}", soft_wrap=True)
    _print_next(name, readings)


def _document(
    found: dict[str, Json], readings: Readings | None, *, known: bool
) -> dict[str, object]:
    names = ("stream", "name", "mode", "window_chunks", "window_ms", "retention_seconds")
    shown = readings.to_json() if readings else None
    return {**{name: found.get(name) for name in names}, "created": not known, "readings": shown}


def _print_next(name: str, readings: Readings | None) -> None:
    if readings is None:
        command = command_of("stream", "FILE", "--stream", name)
        console.print(f"Next: `{plain(command)}` uploads a file.")
        return
    for line in readings_lines(readings):
        console.print(line)
    if readings.rule.pointer is None:
        command = command_of("stream", "--csv", "FILE", "--column", "COLUMN", "--stream", name)
        console.print(f"Next: `{plain(command)}` sends the numbers of a CSV file.", soft_wrap=True)
    else:
        command = command_of("source", "replay", "--file", "FILE", "--stream", name)
        console.print(f"Next: `{plain(command)}` sends the lines of a file.", soft_wrap=True)
