"""Settings of an aggregator, read once from the environment. It has no key and cannot sign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from dragon.net.tls import PLAIN, Tls
from dragon.node.addresses import Network
from dragon.node.settings import Environment
from dragon.protocol.committee import Committee

# By setting: what it means, for the tables of `docs/reference.md`.
MEANINGS: Final[Mapping[str, str]] = {
    "AGGREGATOR_DATABASE": "SQLite file for log and outbox; created if it does not exist.",
    "AGGREGATOR_RANK": (
        "Rounds that the aggregator waits for others before it submits a certificate. Windows "
        "and endorsements are submitted at once."
    ),
    "AGGREGATOR_STREAMS_FILE": (
        "File with stream ids, one per line: the aggregator accepts windows of these streams "
        "only. Without it, of any stream."
    ),
    "AGGREGATOR_OBJECTS_MB": "Storage for the objects of windows, in MiB.",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of an aggregator. `docs/reference.md` lists them."""

    committee: Committee
    rank: int
    database: Path
    nodes_files: Sequence[Path]
    host: str
    port: int
    threads: int
    objects_mb: int = 512
    listed_streams: frozenset[bytes] | None = None  # None: every stream is accepted
    tls: Tls = PLAIN
    proxies: tuple[Network, ...] = ()
    known_clients: tuple[str, ...] = ()
    earlier: Sequence[Committee] = ()  # of a lineage: the committees before that one

    @property
    def pinned(self) -> Sequence[Committee]:
        """The committees that the owner has given, oldest first."""
        return (*self.earlier, self.committee)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings. Raises SettingsError: the message names the setting."""
        values = Environment(environ)
        lineage = values.lineage()
        return cls(
            committee=lineage.newest,
            earlier=lineage.committees[:-1],
            rank=values.integer("AGGREGATOR_RANK", 0, least=0, most=63),
            database=values.path("AGGREGATOR_DATABASE"),
            nodes_files=values.paths("SEQUENCER_NODES_FILE"),
            host=values.text("DRAGON_HOST", "127.0.0.1"),
            port=values.integer("DRAGON_PORT", 5100, least=1, most=65535),
            threads=values.integer("DRAGON_THREADS", 32, least=2, most=256),
            objects_mb=values.integer("AGGREGATOR_OBJECTS_MB", 512, least=64, most=1_000_000),
            listed_streams=values.streams("AGGREGATOR_STREAMS_FILE"),
            tls=values.tls(),
            proxies=values.networks("DRAGON_PROXIES"),
            known_clients=values.hosts("DRAGON_KNOWN_CLIENTS"),
        )
