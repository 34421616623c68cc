"""The explorer's settings, read once from the environment. It has no key and cannot sign."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from dragon.net.tls import PLAIN, Tls
from dragon.node.addresses import Network
from dragon.node.settings import Environment
from dragon.protocol.committee import Committee
from dragon_explorer.alerts.config import SETTING as ALERTS
from dragon_explorer.alerts.config import AlertsConfig
from dragon_explorer.public_page import SETTING, PublicPage

MAX_STREAM_SERVICES: Final = 16

# By setting: what it means, for the tables of `docs/reference.md`.
MEANINGS: Final[Mapping[str, str]] = {
    "EXPLORER_DATABASE": "SQLite file for the explorer's own log; created if it does not exist.",
    "EXPLORER_STREAM_URLS": (
        "URLs of the stream services to watch, separated by commas. The committee does not list "
        "them."
    ),
    SETTING: (
        "TOML file that describes the public status page; `docs/explorer.md` describes it. It is "
        "read again when it changes. Without it the page shows all targets, or all operators if "
        "there are no targets."
    ),
    ALERTS: (
        "TOML file with rules and routes of alerts; `docs/alerts.md` describes it. Without it "
        "nothing is sent."
    ),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of an explorer. `docs/reference.md` lists them."""

    committee: Committee
    database: Path
    nodes_files: Sequence[Path]
    host: str
    port: int
    threads: int
    public: PublicPage | None = None  # None: it shows all targets, or all operators
    public_file: Path | None = None  # from which `public` was read
    stream_urls: tuple[str, ...] = ()
    tls: Tls = PLAIN
    proxies: tuple[Network, ...] = ()
    known_clients: tuple[str, ...] = ()
    alerts: AlertsConfig | None = None
    alerts_file: Path | None = None  # from which `alerts` was read
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
        committee = lineage.newest
        public_file = values.optional_path("EXPLORER_PUBLIC_FILE")
        alerts_file = values.optional_path("EXPLORER_ALERTS_FILE")
        return cls(
            committee=committee,
            earlier=lineage.committees[:-1],
            database=values.path("EXPLORER_DATABASE"),
            nodes_files=values.paths("SEQUENCER_NODES_FILE"),
            host=values.text("DRAGON_HOST", "127.0.0.1"),
            port=values.integer("DRAGON_PORT", 5400, least=1, most=65535),
            threads=values.integer("DRAGON_THREADS", 16, least=2, most=256),
            public=(PublicPage.load(public_file, committee, AnyNode()) if public_file else None),
            public_file=public_file,
            stream_urls=values.urls(
                "EXPLORER_STREAM_URLS",
                example="http://127.0.0.1:5300",
                most=MAX_STREAM_SERVICES,
            ),
            tls=values.tls(),
            proxies=values.networks("DRAGON_PROXIES"),
            known_clients=values.hosts("DRAGON_KNOWN_CLIENTS"),
            alerts=AlertsConfig.load(alerts_file, None) if alerts_file else None,
            alerts_file=alerts_file,
        )

    def check_nodes(self, committee: Committee, listed: Collection[str]) -> None:
        """Check the nodes that the files name, which the log knows best. Raises SettingsError.

        Args:
            committee: the one that holds in the log.
            listed: ids of the nodes that some committee has listed.
        """
        if self.public_file:
            PublicPage.load(self.public_file, committee, listed)
        if self.alerts_file:
            AlertsConfig.load(self.alerts_file, listed)


class AnyNode:
    """Contains every id: which nodes there are is not known before the log is open."""

    def __contains__(self, node_id: object) -> bool:
        return True
