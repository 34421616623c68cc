"""`dragon source`: sensors, tickers and recordings that stream by themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count as count_up
from itertools import islice
from pathlib import Path

import click

from dragon.encoding import Json
from dragon.errors import Unreachable
from dragon.net.stream_upload import StreamUpload
from dragon_cli import services
from dragon_cli.commands.stream import connect, find, token_option, url_option
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.processes import interrupt_on_signals
from dragon_cli.options import ca_option, home_option
from dragon_cli.render.output import console

FOREVER = 10**12  # seconds


@click.command()
@click.argument("kind", type=click.Choice(["sensor", "ticker", "replay"]))
@click.option("--stream", "stream", required=True, help="Its name; made if it is not there.")
@click.option(
    "--rate",
    type=click.FloatRange(0.001, 10_000),
    default=1.0,
    show_default=True,
    help="Messages a second.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--count", type=click.IntRange(1), help="Stop after so many messages.")
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What `replay` repeats, a message a line.",
)
@click.option("--window-chunks", type=click.IntRange(1, 4095), default=63, show_default=True)
@click.option("--window-ms", type=click.IntRange(100, 3_600_000), default=5000, show_default=True)
@click.option("--retention-seconds", type=click.IntRange(60), default=86_400, show_default=True)
@url_option
@token_option
@home_option
@ca_option
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
) -> None:
    """Generate a stream of messages, one after the other, until it is stopped.

    `sensor` measures temperature and humidity, `ticker` quotes a price, `replay` repeats the lines
    of a file. The same seed gives the same messages. What waits for the service is sent when it is
    back.
    """
    if (kind == "replay") != (file is not None):
        raise click.UsageError("`--file` goes with replay, and only with it")
    interrupt_on_signals()
    fleet = Home(home)
    wanted: dict[str, Json] = {"mode": "message", "window_chunks": window_chunks}
    wanted |= {"window_ms": window_ms, "retention_seconds": retention_seconds}

    def opened() -> tuple[StreamUpload, dict[str, Json]]:
        client, found = find(connect(fleet, url, ca), fleet, stream, token_file, **wanted)
        done = int(str(found["chunks"]))
        messages = islice(services.source(kind)(seed, file), done, None)
        paced = pace(messages, rate, time.monotonic, time.sleep)
        pieces = paced if count is None else islice(paced, max(0, count - done))
        return StreamUpload(client, str(found["stream"]), pieces, patience=FOREVER), found

    try:
        feeder, found = _until_reached(opened)
        console.print(
            f"{kind} streams to {stream}, {found['stream']}, at {rate:g} messages a second"
        )
        _, chunks = feeder.run()
        console.print(f"the stream has {chunks} messages")
    except KeyboardInterrupt:
        console.print("stopped")


def _until_reached(
    opened: Callable[[], tuple[StreamUpload, dict[str, Json]]],
) -> tuple[StreamUpload, dict[str, Json]]:
    """A source may start before the service that it streams to."""
    for attempt in count_up():
        try:
            return opened()
        except Unreachable as error:
            if not attempt:
                console.print(f"waiting for the stream service: {error}")
            time.sleep(1)
    raise Unreachable("never reached")


def pace(
    messages: Iterator[bytes],
    rate: float,
    monotonic: Callable[[], float],
    sleep: Callable[[float], object],
) -> Iterator[bytes]:
    """So many a second, by the clock: what a pause has held up is not made up for."""
    following = monotonic()
    for message in messages:
        if (left := following - monotonic()) > 0:
            sleep(left)
        following = max(following, monotonic()) + 1 / rate
        yield message
