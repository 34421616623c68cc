"""`dragon source`: stream generated or recorded messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import click

from dragon.encoding import Json
from dragon.net.stream_upload import StreamUpload
from dragon_cli import services
from dragon_cli.completions import complete_streams
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.processes import interrupt_on_signals
from dragon_cli.fleet.streams import connect, find
from dragon_cli.options import (
    EXISTING_FILE,
    ca_option,
    home_option,
    json_option,
    token_option,
    url_option,
)
from dragon_cli.render.outages import reported_retries
from dragon_cli.render.output import console
from dragon_cli.render.text import print_json


@click.command()
@click.argument("kind", type=click.Choice(services.SOURCES))
@click.option(
    "--stream",
    "stream",
    required=True,
    shell_complete=complete_streams,
    help="Name of the stream; created if it does not exist.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0.001, 10_000),
    default=1.0,
    show_default=True,
    help="Messages per second.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of the generator; the same seed gives the same messages.",
)
@click.option("--count", type=click.IntRange(1), help="Stop after this many messages.")
@click.option(
    "--file", "file", type=EXISTING_FILE, help="File that `replay` repeats, one message per line."
)
@click.option(
    "--window-chunks",
    type=click.IntRange(1, 4095),
    default=63,
    show_default=True,
    help="Maximum number of messages in a window of a new stream.",
)
@click.option(
    "--window-ms",
    type=click.IntRange(100, 3_600_000),
    default=5000,
    show_default=True,
    help="Maximum duration of a window of a new stream, in milliseconds.",
)
@click.option(
    "--retention-seconds",
    type=click.IntRange(60),
    default=86_400,
    show_default=True,
    help="Time for which the service keeps the data of a new stream, in seconds.",
)
@url_option
@token_option
@home_option
@ca_option
@json_option
def source(
    kind: str,
    stream: str,
    rate: float,
    seed: int,
    count: int | None,
    file: Path | None,
    window_chunks: int,
    window_ms: int,
    retention_seconds: int,
    url: str | None,
    token_file: Path | None,
    home: Path,
    ca: Path | None,
    as_json: bool,
) -> None:
    """Stream generated messages until interrupted.

    `sensor` generates temperature and humidity, `ticker` generates prices, and `replay` repeats the
    lines of a file. Messages that the service has not stored are kept and sent again later. While
    the service is unavailable, the source waits for it without a limit.
    """
    if kind == "replay" and file is None:
        raise click.UsageError("`dragon source replay` requires `--file`.")
    if kind != "replay" and file is not None:
        raise click.UsageError(f"`--file` is for replay only, not for {kind}.")
    interrupt_on_signals()
    fleet = Home(home)
    wanted: dict[str, Json] = {"mode": "message", "window_chunks": window_chunks}
    wanted |= {"window_ms": window_ms, "retention_seconds": retention_seconds}

    retries = reported_retries(None)
    try:
        client, found = find(connect(fleet, url, ca, retries), fleet, stream, token_file, **wanted)
        if not as_json:
            console.print(
                f"Streaming {kind} messages to {stream} ({found['stream']}), {rate:g} per second."
            )
        done = int(str(found["chunks"]))
        messages = islice(services.source(kind)(seed, file), done, None)
        paced = pace(messages, rate, time.monotonic, time.sleep)
        pieces = paced if count is None else islice(paced, max(0, count - done))
        upload = StreamUpload(client, str(found["stream"]), pieces, retries=retries)
        total, chunks = upload.run()
        if as_json:
            print_json({"stream": found["stream"], "messages": chunks, "bytes": total})
        else:
            console.print(f"The stream has {chunks} messages.")
    except KeyboardInterrupt:
        console.print("Stopped.")


def pace(
    messages: Iterator[bytes],
    rate: float,
    monotonic: Callable[[], float],
    sleep: Callable[[float], object],
) -> Iterator[bytes]:
    """Yield `rate` messages per second. Time lost in a pause is not caught up."""
    following = monotonic()
    for message in messages:
        if (left := following - monotonic()) > 0:
            sleep(left)
        following = max(following, monotonic()) + 1 / rate
        yield message
