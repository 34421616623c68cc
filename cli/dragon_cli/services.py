"""The services that `dragon serve` runs and the sources that `dragon source` runs, by name.

Only the requested one is imported, so that starting a service does not load the others.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeAlias

from dragon.errors import SettingsError
from dragon_cli.errors import MissingExtra

Serve: TypeAlias = Callable[[Mapping[str, str]], None]
Source: TypeAlias = Callable[[int, Path | None], Iterator[bytes]]

SERVICES: Final = ("operator", "aggregator", "sequencer", "stream", "zkp", "explorer")
SOURCES: Final = ("sensor", "ticker", "replay")
# Services that run compiled code. The stream service computes commitments with it: plain Python
# takes 3 ms for a chunk instead of 20 µs, and blocks all other threads.
COMPILED: Final = {"stream": "The stream service", "zkp": "The prover"}
EXTRA: Final = ("numba", "numpy")  # the packages of datadragon[prover]


def service(name: str) -> Serve:
    """Return the function that runs a service with the given settings until it is stopped.

    Raises:
        SettingsError: no service has this name.
        MissingExtra: the service needs compiled code that is not installed.
    """
    check_installed(name)
    with importing():
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
        elif name == "explorer":
            from dragon_explorer.main import serve
        else:
            expected = ", ".join(SERVICES)
            raise SettingsError(f"Unknown service {name!a}; expected one of {expected}.")
    return serve


@contextmanager
def importing() -> Iterator[None]:
    """Import within this block what services need, and nothing that they do not use."""
    with _skipping("rich"), _without_collection():
        yield


@contextmanager
def _without_collection() -> Iterator[None]:
    """Pause the garbage collector, which takes a tenth of the time of imports and finds nothing."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _skipping(library: str) -> Iterator[None]:
    """Make imports of an optional library fail, unless it is loaded already.

    structlog imports rich for coloured tracebacks, if it is installed. Services do not print any,
    and loading it takes a tenth of the time in which they start.
    """
    if library in sys.modules:
        yield
        return
    # An entry of None makes the import system raise ImportError.
    sys.modules[library] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[library]


def source(name: str) -> Source:
    """Return a generator of messages that takes a seed and, for `replay`, a file.

    The messages never end; the same seed gives the same messages. Raises SettingsError: no source
    has this name.
    """
    from dragon_stream import sources

    if name not in SOURCES:
        raise SettingsError(f"Unknown source {name!a}; expected one of {', '.join(SOURCES)}.")
    found: Source = getattr(sources, name)
    return found


def check_installed(service: str) -> None:
    """Raise MissingExtra if a service needs compiled code that is not installed."""
    if service in COMPILED:
        check_prover_extra(COMPILED[service])


def check_prover_extra(needed_by: str) -> None:
    """Raise MissingExtra if the packages of the extra `prover` are not installed.

    Args: `needed_by`, what needs them, as the first words of the message.
    """
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        message = (
            f"{needed_by} needs {' and '.join(missing)}, which this installation lacks: "
            "install datadragon[prover]."
        )
        raise MissingExtra(message)
