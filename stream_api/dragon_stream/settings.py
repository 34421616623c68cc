"""The stream service's settings, read once from the environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from dragon.errors import SettingsError
from dragon.net.tls import PLAIN, Tls
from dragon.node.addresses import Network
from dragon.node.connections import DEFAULT_CONNECTIONS, DEFAULT_CONNECTIONS_PER_ADDRESS
from dragon.node.settings import Environment
from dragon.node.sockets import normal_origin
from dragon.protocol import bls
from dragon.protocol.committee import Committee
from dragon.storage import keystore
from dragon_stream.archive.settings import ArchiveSettings
from dragon_stream.provers import DEFAULT_REQUESTS

MAX_CONNECTIONS: Final = 60_000  # that settings may allow
MAX_PROVERS: Final = 16  # each has threads of its own; also limits the labels of metrics
REPLACED: Final = "STREAM_PROVER_URL"  # a setting of earlier releases
DEFAULT_PROVER: Final = "http://127.0.0.1:5200"

# By setting: what it means, for the tables of `docs/reference.md`.
MEANINGS: Final[Mapping[str, str]] = {
    "STREAM_KEYSTORE": (
        "EIP-2335 keystore with the service's key, from which the keys of all its streams are "
        "derived."
    ),
    "STREAM_PASSWORD_FILE": "File with the keystore's password.",
    "STREAM_TOKEN_FILE": (
        "File with the token that is required to create a stream: at least 16 characters."
    ),
    "STREAM_PROVER_URLS": (
        "URLs of the provers, separated by commas. A proof is requested from the one with the "
        "fewest requests of this service, and from another one if that fails."
    ),
    "STREAM_PROVER_REQUESTS": (
        "Proofs that are requested from each of these URLs at the same time. For a balancer, set "
        "four times the number of its provers."
    ),
    "STREAM_PROVER_TOKEN_FILE": (
        "File with the provers' token. If their tokens differ: one file for each URL, in the same "
        "order, separated by commas."
    ),
    "STREAM_DATABASE": "SQLite file for the log; created if it does not exist.",
    "STREAM_DATA": "Folder for the data of the streams, and for the state of their windows.",
    "STREAM_WAITING": (
        "Windows of one stream that may wait for certification. Beyond that the service "
        "accepts no more data."
    ),
    "STREAM_ORIGINS": (
        "Origins of web pages that may open sockets, besides the service's own host, separated by "
        "commas: for example `https://app.example`. Clients that are not browsers send no origin."
    ),
    "DRAGON_CONNECTIONS": (
        "Connections that may be open. If there are more, the one that waits longest for its "
        "client is closed."
    ),
    "DRAGON_CONNECTIONS_PER_ADDRESS": "Of these, the connections of one address.",
    "DRAGON_THREADS": (
        "Requests and sockets that are served at the same time. 16 of these threads never "
        "serve a socket."
    ),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of a stream service. `docs/reference.md` lists them."""

    committee: Committee
    secret: bls.SecretKey = field(repr=False)
    token: str = field(repr=False)
    prover_urls: tuple[str, ...]
    prover_tokens: tuple[str, ...] = field(repr=False)  # one for each URL
    prover_requests: int  # at the same time to each URL
    database: Path
    data: Path
    nodes_files: Sequence[Path]
    max_pending_windows: int
    host: str
    port: int
    threads: int
    origins: frozenset[str] = frozenset()
    connections: int = DEFAULT_CONNECTIONS
    connections_per_address: int = DEFAULT_CONNECTIONS_PER_ADDRESS
    tls: Tls = PLAIN
    proxies: tuple[Network, ...] = ()
    known_clients: tuple[str, ...] = ()
    earlier: Sequence[Committee] = ()  # of a lineage: the committees before that one
    archive: ArchiveSettings | None = None
    name: str = "stream_api"  # in log messages

    @property
    def pinned(self) -> Sequence[Committee]:
        """The committees that the owner has given, oldest first."""
        return (*self.earlier, self.committee)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read and check all settings.

        Raises:
            SettingsError: a setting is missing or not valid; the message names it.
            KeystoreError: the keystore cannot be opened; the message names the file.
        """
        values = Environment(environ)
        lineage = values.lineage()
        return cls(
            committee=lineage.newest,
            earlier=lineage.committees[:-1],
            secret=keystore.load(
                values.path("STREAM_KEYSTORE"), values.path("STREAM_PASSWORD_FILE")
            ),
            token=values.token("STREAM_TOKEN_FILE"),
            prover_urls=(urls := _prover_urls(values)),
            prover_tokens=_for_each_url(values.tokens("STREAM_PROVER_TOKEN_FILE"), len(urls)),
            prover_requests=values.integer(
                "STREAM_PROVER_REQUESTS", DEFAULT_REQUESTS, least=1, most=64
            ),
            database=values.path("STREAM_DATABASE"),
            data=values.path("STREAM_DATA"),
            nodes_files=values.paths("SEQUENCER_NODES_FILE"),
            max_pending_windows=values.integer("STREAM_WAITING", 256, least=2, most=100_000),
            name=values.text("DRAGON_SERVICE", "stream_api"),
            host=values.text("DRAGON_HOST", "127.0.0.1"),
            port=values.integer("DRAGON_PORT", 5300, least=1, most=65535),
            threads=values.integer("DRAGON_THREADS", 96, least=24, most=256),
            origins=_origins(values.values.get("STREAM_ORIGINS", "")),
            connections=values.integer(
                "DRAGON_CONNECTIONS", DEFAULT_CONNECTIONS, least=16, most=MAX_CONNECTIONS
            ),
            connections_per_address=values.integer(
                "DRAGON_CONNECTIONS_PER_ADDRESS",
                DEFAULT_CONNECTIONS_PER_ADDRESS,
                least=4,
                most=MAX_CONNECTIONS,
            ),
            tls=values.tls(),
            proxies=values.networks("DRAGON_PROXIES"),
            known_clients=values.hosts("DRAGON_KNOWN_CLIENTS"),
            archive=ArchiveSettings.from_environ(environ),
        )


def _prover_urls(values: Environment) -> tuple[str, ...]:
    """Return the URLs of the provers. Raises SettingsError."""
    if values.values.get(REPLACED):
        message = f"the setting {REPLACED} was replaced; set STREAM_PROVER_URLS"
        raise SettingsError(message, setting=REPLACED)
    return values.urls(
        "STREAM_PROVER_URLS", DEFAULT_PROVER, example=DEFAULT_PROVER, most=MAX_PROVERS
    )


def _for_each_url(tokens: tuple[str, ...], urls: int) -> tuple[str, ...]:
    """Return the token for each URL. Raises SettingsError: neither one token nor one for each."""
    if len(tokens) not in (1, urls):
        name = "STREAM_PROVER_TOKEN_FILE"
        message = (
            f"the setting {name} lists {len(tokens)} files for {urls} URLs in STREAM_PROVER_URLS; "
            "expected one file, or one for each URL"
        )
        raise SettingsError(message, setting=name)
    return tokens if len(tokens) == urls else tokens * urls


def _origins(text: str) -> frozenset[str]:
    """Return the origins in a list with commas. Raises SettingsError."""
    origins = set[str]()
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            origins.add(normal_origin(part))
        except ValueError:
            message = (
                f"the setting STREAM_ORIGINS contains {part}; expected scheme, host and port "
                "without a path, for example https://app.example"
            )
            raise SettingsError(message, setting="STREAM_ORIGINS") from None
    return frozenset(origins)
