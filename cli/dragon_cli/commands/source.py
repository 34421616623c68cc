"""`dragon source`: stream generated or recorded messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click

from dragon.net.stream_client import StreamClient
from dragon.net.stream_upload import StreamUpload
from dragon.protocol.streams.readings import Readings
from dragon_cli import services
from dragon_cli.completions import complete_streams
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.processes import interrupt_on_signals
from dragon_cli.fleet.stream_services import ServiceAt
from dragon_cli.fleet.streams import find, listed, readings_in
from dragon_cli.options import (
    EXISTING_FILE,
    ca_option,
    home_option,
    json_option,
    stream_service_options,
    token_option,
)
from dragon_cli.reading_options import decoded, is_given, reading_options, readings_of
from dragon_cli.render.outages import reported_retries
from dragon_cli.render.output import console
from dragon_cli.render.readings import readings_lines
from dragon_cli.render.text import print_json
from dragon_cli.stream_settings import settings_options, wanted_settings

# What the messages of `dragon_stream.sources.sensor` always fulfil.
SENSOR_READINGS: Final = {
    "pointer": "/celsius",
    "scale": 2,
    "unit": "°C",
    "length": 96,
    "low": "-20",
    "high": "60",
    "fall": "1",
    "rise": "1",
}


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
    "--no-readings",
    is_flag=True,
    help="Messages of a new stream are data without readings, also those of `sensor`.",
)
@reading_options
@settings_options
@stream_service_options
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
    no_readings: bool,
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
    """Stream generated messages until interrupted.

    `sensor` generates temperature and humidity, `ticker` generates prices, and `replay` repeats the
    lines of a file. Messages that the service has not stored are kept and sent again later. While
    the service is unavailable, the source waits for it without a limit.

    In a new stream of `sensor`, the temperature is the reading: from -20 to 60 °C, with steps of at
    most 1 °C. Other readings have the options from `--readings` to `--most`, as for `dragon stream
    create`. A stream that exists keeps its readings, or has none.
    """
    if kind == "replay" and file is None:
        raise click.UsageError("`dragon source replay` requires `--file`.")
    if kind != "replay" and file is not None:
        raise click.UsageError(f"`--file` is for replay only, not for {kind}.")
    interrupt_on_signals()
    fleet = Home(home)
    given = readings_of(words)
    if given and stream.startswith("0x"):
        raise click.UsageError("A stream's id fixes its readings: omit the options of readings.")
    if no_readings and given:
        raise click.UsageError("Omit the options of readings, or `--no-readings`.")
    if given is None and kind == "sensor" and not no_readings:
        given = decoded(SENSOR_READINGS)

    retries = reported_retries(None)
    try:
        service = at.client(fleet, ca, stream, may_be_new=True, retries=retries)
        if not no_readings and not is_given(words):
            given, window_chunks = _kept(service, stream, given, window_chunks)
        wanted = {
            "mode": "message",
            "window_ms": window_ms,
            "retention_seconds": retention_seconds,
            **wanted_settings(given, window_chunks),
        }
        client, found = find(service, fleet, stream, token_file, **wanted)
        if not as_json:
            console.print(
                f"Streaming {kind} messages to {stream} ({found['stream']}), {rate:g} per second."
            )
            for line in readings_lines(shown) if (shown := readings_in(found)) else ():
                console.print(line)
        done = int(str(found["chunks"]))
        messages = islice(services.source(kind)(seed, file), done, None)
        paced = pace(messages, rate, time.monotonic, time.sleep)
        pieces = paced if count is None else islice(paced, max(0, count - done))
        upload = StreamUpload(client, str(found["stream"]), pieces, retries=retries)
        total, chunks = upload.run()
        if as_json:
            size = {} if readings_in(found) else {"bytes": total}
            print_json({"stream": found["stream"], "messages": chunks, **size})
        else:
            console.print(f"The stream has {chunks} messages.")
    except KeyboardInterrupt:
        console.print("Stopped.")


def _kept(
    service: StreamClient, stream: str, given: Readings | None, window_chunks: int | None
) -> tuple[Readings | None, int | None]:
    """Return the readings and the window's chunks of a stream that exists, otherwise those given.

    A source that starts again continues its stream, also one of an earlier release.
    """
    if stream.startswith("0x") or (found := listed(service, stream)) is None:
        return given, window_chunks
    chunks = found.get("window_chunks")
    return readings_in(found), window_chunks or (chunks if isinstance(chunks, int) else None)


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
