"""The prover service's settings, read once from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from dragon.net.tls import PLAIN, Tls
from dragon.node.addresses import Network
from dragon.node.settings import Environment
from dragon.storage.cores import available_cores

# By setting: what it means, for the tables of `docs/reference.md`.
MEANINGS: Final[Mapping[str, str]] = {
    "ZKP_TOKEN_FILE": (
        "File with the token that is required to make a proof: at least 16 characters."
    ),
    "ZKP_WORKERS": (
        "Worker processes, and so proofs that are made at the same time. The default is the "
        "number of available cores, at most 64."
    ),
    "ZKP_WAITING": "Requests that may wait for a worker; further ones are refused as `busy`.",
    "ZKP_DEADLINE_MS": "Milliseconds for one proof, including the time that it waits.",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a prover service. `docs/reference.md` lists them."""

    token: str = field(repr=False)
    workers: int
    max_waiting: int  # requests that may wait for a worker
    deadline_seconds: float  # of one job, including waiting
    host: str
    port: int
    threads: int
    tls: Tls = PLAIN
    name: str = "zkp_api"  # in log messages
    proxies: tuple[Network, ...] = ()
    known_clients: tuple[str, ...] = ()

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Raises SettingsError, which names the setting."""
        values = Environment(environ)
        return cls(
            token=values.token("ZKP_TOKEN_FILE"),
            workers=values.integer("ZKP_WORKERS", min(64, available_cores()), least=1, most=64),
            max_waiting=values.integer("ZKP_WAITING", 8, least=0, most=256),
            deadline_seconds=values.integer("ZKP_DEADLINE_MS", 10_000, least=100, most=12_000)
            / 1000,
            name=values.text("DRAGON_SERVICE", "zkp_api"),
            host=values.text("DRAGON_HOST", "127.0.0.1"),
            port=values.integer("DRAGON_PORT", 5200, least=1, most=65535),
            threads=values.integer("DRAGON_THREADS", 32, least=4, most=256),
            tls=values.tls(),
            proxies=values.networks("DRAGON_PROXIES"),
            known_clients=values.hosts("DRAGON_KNOWN_CLIENTS"),
        )
