"""The settings of a new stream: options that several commands share, and what the service is asked.

Readings fix some of them: every message is a chunk, and a window has at most `most` readings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from dragon.encoding import Json
from dragon.net.stream_client import StreamClient
from dragon.protocol.streams.readings import Readings
from dragon_cli.errors import WrongReadings
from dragon_cli.fleet.streams import listed, readings_in
from dragon_cli.hints import with_hint

_CONTINUED: Final = ("window_chunks", "window_ms", "mode", "retention_seconds")

_OPTIONS: Final = (
    click.option(
        "--window-chunks",
        type=click.IntRange(1, 4095),
        help=(
            "Maximum number of messages in every window of a new stream (default: 63 to 1023, the "
            "more the faster they arrive; with readings at most `--most`, less one if a reading is "
            "carried)."
        ),
    ),
    click.option(
        "--window-ms",
        type=click.IntRange(100, 3_600_000),
        default=5000,
        show_default=True,
        help="Maximum duration of a window of a new stream, in milliseconds.",
    ),
    click.option(
        "--retention-seconds",
        type=click.IntRange(60),
        default=86_400,
        show_default=True,
        help="Time for which the service keeps the data of a new stream, in seconds.",
    ),
)


def settings_options(command: Callable[..., Any]) -> Any:
    """Add the options of a new stream's windows."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def wanted_settings(readings: Readings | None, window_chunks: int | None) -> dict[str, Json]:
    """Return the settings that follow from readings, for `POST /streams`.

    Raises WrongReadings: a window of that many messages exceeds `most`.
    """
    if readings is None:
        return _size(window_chunks)
    most = readings.most_chunks(readings.carry)
    if window_chunks is not None and window_chunks > most:
        carried = " with the carried one" if readings.carry else ""
        message = (
            f"`--window-chunks` {window_chunks} does not fit: a proof has at most {readings.most} "
            f"readings{carried} (`most`)."
        )
        raise with_hint(
            WrongReadings(message), f"Use `--window-chunks {most}`, or a larger `--most`."
        )
    if readings.bounds_total:  # such windows never adapt: their size is a part of what is claimed
        window_chunks = window_chunks or most
    return {"mode": "message", **_size(window_chunks), "readings": readings.to_json()}


def _size(window_chunks: int | None) -> dict[str, Json]:
    """Return the setting for the size of the windows; without one they grow with the rate."""
    return {} if window_chunks is None else {"window_chunks": window_chunks}


def settings_of(found: Mapping[str, Json]) -> dict[str, Json]:
    """Return the settings of a stream with readings, by which the service finds it again.

    Args: `found`, its description.
    """
    descriptor = found.get("descriptor")
    parameters = descriptor.get("parameters") if isinstance(descriptor, dict) else None
    readings = readings_in(found)
    return {
        "parameters": parameters,
        **{name: found.get(name) for name in _CONTINUED},
        **({"readings": readings.to_json()} if readings else {}),
    }


def readings_for(
    client: StreamClient, stream: str, given: Readings | None
) -> tuple[Readings, dict[str, Json]]:
    """Return the readings of an existing stream, or of the one to create, and its settings.

    Args:
        stream: id (0x…) or name.
        given: the readings that options describe.

    Raises:
        WrongReadings: the stream has none, or others; or it is new, and none are given.
        PeerError, NotFound.
    """
    found = client.get(f"/streams/{stream}") if stream.startswith("0x") else listed(client, stream)
    if found is None:
        if given is None:
            message = f"The service has no stream {stream}, and a new one needs its readings."
            hint = "Give `--scale`, `--unit`, `--low` and `--high`, or `--readings FILE`."
            raise with_hint(WrongReadings(message), hint)
        return given, wanted_settings(given, None)
    existing = readings_in(found)
    if existing is None:
        message = f"The stream {stream} has no readings; they are fixed when a stream is created."
        raise with_hint(WrongReadings(message), "Choose another name with `--stream`.")
    if given not in (None, existing):
        message = f"The stream {stream} has other readings, and they never change."
        raise with_hint(
            WrongReadings(message), "Omit the options of readings, or choose another `--stream`."
        )
    return existing, settings_of(found)
