"""`dragon stream check`: read all data of a stream service, and report what is damaged."""

from __future__ import annotations

import os
from pathlib import Path

import click

from dragon_cli.completions import complete_services
from dragon_cli.fleet.layout import STREAMS, Home
from dragon_cli.options import home_option, json_option
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json
from dragon_stream import scrub
from dragon_stream.archive.opening import open_store
from dragon_stream.archive.settings import ArchiveSettings
from dragon_stream.damage import Damage
from dragon_stream.scrub_report import Report, StreamReport


@click.command(short_help="Read all data of a stream service, and report damage.")
@click.argument(
    "folder",
    required=False,
    metavar="[DIR]",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
)
@click.option(
    "--service",
    shell_complete=complete_services,
    default=STREAMS,
    show_default=True,
    help="Stream service of the fleet whose data folder is checked.",
)
@click.option("--running", is_flag=True, help="Check while the service is running.")
@home_option
@json_option
def check(folder: Path | None, service: str, running: bool, home: Path, as_json: bool) -> None:
    """Read everything in DIR, the data folder of a stream service (default: the fleet's).

    With STREAM_ARCHIVE and the key of the archive in the environment, the objects there are read
    too.

    Nothing is changed. The exit code is 1 if anything is damaged: each damaged place is a line, and
    the other chunks are whole.
    """
    settings = ArchiveSettings.from_environ(os.environ)
    found = scrub.check_folder(
        folder or Home(home).database(service).with_name("streams"),
        running=running,
        store=open_store(settings) if settings else None,
    )
    if as_json:
        print_json(_document(found))
    else:
        for stream in found.streams:
            _print_stream(stream)
        for damage in found.damages:
            console.print(f"[red]damaged[/]: {plain(str(damage))}", soft_wrap=True)
        console.print("[green]whole[/]" if found.is_whole else "[red]damaged[/]")
    if not found.is_whole:
        raise click.exceptions.Exit(1)


def _print_stream(stream: StreamReport) -> None:
    name = f"{plain(stream.name)} {stream.stream}"
    size = "" if stream.hides_sizes else f" with {stream.bytes} bytes"
    console.print(
        f"{name}: {stream.chunks} chunks{size} in {stream.segments} segments "
        f"and {stream.windows} windows are whole",
        soft_wrap=True,
    )
    if stream.unread:
        console.print(
            f"{name}: {stream.unread} of {stream.archived} archived objects were not read; set "
            "STREAM_ARCHIVE and its key to read them",
            soft_wrap=True,
        )
    for damage in stream.damages:
        console.print(f"[red]damaged[/]: {name}: {plain(str(damage))}", soft_wrap=True)


def _document(found: Report) -> dict[str, object]:
    streams = [
        {
            "stream": stream.stream,
            "name": stream.name,
            "segments": stream.segments,
            "chunks": stream.chunks,
            "bytes": None if stream.hides_sizes else stream.bytes,
            "windows": stream.windows,
            "archived": stream.archived,
            "unread": stream.unread,
        }
        for stream in found.streams
    ]
    damages: list[tuple[StreamReport | None, Damage]] = [(None, each) for each in found.damages]
    for stream in found.streams:
        damages += [(stream, each) for each in stream.damages]
    return {
        "verdict": "whole" if found.is_whole else "damaged",
        "streams": streams,
        "damages": [
            {"stream": stream.stream if stream else None, **damage.facts()}
            for stream, damage in damages
        ],
    }
