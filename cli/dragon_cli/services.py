"""The services that `dragon serve` starts and the sources that `dragon source` runs, by name.

Each is imported when it is asked for: a command that starts one service loads no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from dragon.errors import SettingsError

Serve: TypeAlias = Callable[[Mapping[str, str]], None]
Source: TypeAlias = Callable[[int, Path | None], Iterator[bytes]]

SERVICES: Final = ("operator", "aggregator", "sequencer", "stream", "zkp")
SOURCES: Final = ("sensor", "ticker", "replay")


def service(name: str) -> Serve:
    """Return the function that runs the service `name` on given settings until it is stopped.

    Raises SettingsError: there is no service of that name.
    """
    if name == "operator":
        from dragon_operator.main import serve
    elif name == "aggregator":
        from dragon_aggregator.main import serve
    elif name == "sequencer":
        from dragon_sequencer.devnet.serving import serve
    elif name == "stream":
        from dragon_stream.main import serve
    elif name == "zkp":
        from dragon_zkp.main import serve
    else:
        raise SettingsError(f"there is no service {name!a}; there are {', '.join(SERVICES)}")
    return serve


def source(name: str) -> Source:
    """Return a generator of messages: (seed, file) → messages without end, equal for equal seeds.

    Raises SettingsError: there is no source of that name.
    """
    from dragon_stream import sources

    if name not in SOURCES:
        raise SettingsError(f"there is no source {name!a}; there are {', '.join(SOURCES)}")
    made: Source = getattr(sources, name)
    return made
