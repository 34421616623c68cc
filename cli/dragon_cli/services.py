"""The services that `dragon serve` starts and the sources that `dragon source` runs, by name.

Each is imported when it is asked for: a command that starts one service loads no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeAlias

from dragon.errors import SettingsError
from dragon_cli.errors import MissingExtra

Serve: TypeAlias = Callable[[Mapping[str, str]], None]
Source: TypeAlias = Callable[[int, Path | None], Iterator[bytes]]

SERVICES: Final = ("operator", "aggregator", "sequencer", "stream", "zkp")
SOURCES: Final = ("sensor", "ticker", "replay")
# Services that run compiled code. The stream service commits to chunks with it: plain Python would
# take 3 ms a chunk in place of 20 µs, and hold up every other thread.
COMPILED: Final = {"stream": "The stream service", "zkp": "The prover"}
EXTRA: Final = ("numba", "numpy")  # the packages of datadragon[prover]


def service(name: str) -> Serve:
    """Return the function that runs the service `name` on given settings until it is stopped.

    Raises:
        SettingsError: there is no service of that name.
        MissingExtra: it needs compiled code that is not installed.
    """
    check_installed(name)
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


def check_installed(service: str) -> None:
    """Raises MissingExtra: the service needs compiled code that is not installed."""
    if service in COMPILED:
        check_prover_extra(COMPILED[service])


def check_prover_extra(needed_by: str) -> None:
    """Raises MissingExtra: the packages of the extra `prover` are not installed."""
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        message = (
            f"{needed_by} needs {' and '.join(missing)}, which this installation lacks: "
            "install datadragon[prover]."
        )
        raise MissingExtra(message)
