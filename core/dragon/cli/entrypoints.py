"""Finding services by name: the core starts them and imports none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final, cast

from dragon.errors import SettingsError

SERVICES: Final = "dragon.services"
SETUP: Final = "dragon.setup"
SOURCES: Final = "dragon.sources"

Serve = Callable[[Mapping[str, str]], None]
MakeNetwork = Callable[[int, str], tuple[str, str, bytes]]
Digest = Callable[[str], bytes]
Source = Callable[[int, Path | None], Iterator[bytes]]


def service(name: str) -> Serve:
    """What runs the service of that name on given settings. Raises SettingsError: none does."""
    return cast("Serve", _load(SERVICES, name))


def make_network() -> MakeNetwork:
    """Makes a development network: number of nodes, address → keys, node list, its digest."""
    return cast("MakeNetwork", _load(SETUP, "make_network"))


def nodes_digest() -> Digest:
    """The digest of an existing network's node list."""
    return cast("Digest", _load(SETUP, "nodes_digest"))


def source(name: str) -> Source:
    """What makes the messages of a source: seed, file → messages, without end."""
    return cast("Source", _load(SOURCES, name))


def service_names() -> list[str]:
    return sorted(point.name for point in entry_points(group=SERVICES))


def _load(group: str, name: str) -> object:
    found: list[EntryPoint] = list(entry_points(group=group, name=name))
    if not found:
        raise SettingsError(f"{name} is not installed: nothing provides {group}")
    return cast("object", found[0].load())
