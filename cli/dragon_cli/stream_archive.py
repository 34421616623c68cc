"""`dragon stream archive`: what a stream service has archived, and what waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from dragon.encoding import Json, Members
from dragon.errors import BadAnswer, InvalidEncoding
from dragon_cli.fleet.layout import SOURCES, Home
from dragon_cli.fleet.stream_services import ServiceAt
from dragon_cli.fleet.streams import with_token
from dragon_cli.options import (
    ca_option,
    home_option,
    json_option,
    stream_service_options,
    token_option,
)
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json

MEGABYTE: Final = 1_000_000  # bytes
MAX_ERROR_CHARS: Final = 1000  # of the reason that is shown
_MEMBERS = ("segments", "segment_bytes", "bundles", "bundle_bytes", "pending_bytes")


@click.command(short_help="Show what a stream service has archived, and what waits for it.")
@stream_service_options
@token_option
@home_option
@ca_option
@json_option
def archive(
    token_file: Path | None, home: Path, ca: Path | None, as_json: bool, at: ServiceAt
) -> None:
    """Show what a stream service has archived, what waits, and why the last attempt failed.

    It requires the token of the service, that of the fleet by default. Of several stream services
    it asks the first, unless `--service` names another. The exit code is 1 if the
    last attempt failed, or if sources wait because the disk holds as much as it may.
    """
    fleet = Home(home)
    if at.url is None and at.name is None:
        at = ServiceAt(name=next(iter(fleet.stream_services()), None))
    client = with_token(at.client(fleet, ca, ""), token_file or fleet.token(SOURCES))
    found = client.get("/archive")
    try:
        lines = list(_lines(found))
        is_well = bool(found["has_room"]) and not found["last_error"]
    except (InvalidEncoding, LookupError, TypeError):
        raise BadAnswer("the service describes its archive in an unknown form") from None
    if as_json:
        print_json(found)
    else:
        for line in lines:
            console.print(line, soft_wrap=True)
    if not is_well:
        raise click.exceptions.Exit(1)


def _lines(found: dict[str, Json]) -> Iterator[str]:
    """Raises InvalidEncoding, LookupError: a member is missing, or is not what it should be."""
    members = Members(found, "the archive")
    used, limit = (
        _megabytes(members.integer(name)) for name in ("local_bytes", "local_limit_bytes")
    )
    yield f"{plain(members.text('archive'))}: {used} of {limit} MB on the local disk"
    streams = found["streams"]
    for each in streams if isinstance(streams, list) else ():
        stream = Members(each, "the stream")
        name, identity = stream.text("name"), stream.text("stream")
        segments, data, bundles, proofs, pending = (stream.integer(each) for each in _MEMBERS)
        yield (
            f"{plain(name)} {plain(identity)}: {segments} segments ({_megabytes(data)} MB) and "
            f"{bundles} bundles of proofs ({_megabytes(proofs)} MB) archived, "
            f"{_megabytes(pending)} MB wait"
        )
    if found["last_error"]:
        seconds = members.integer("retry_seconds")
        error = plain(members.text("last_error", longest=MAX_ERROR_CHARS))
        yield f"[yellow]failing[/]: {error}; next attempt in {seconds} s"
    if not found["has_room"]:
        yield "[red]full[/]: sources wait until certified data is archived"


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:.1f}"
