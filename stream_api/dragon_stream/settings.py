"""The stream service's settings, read once from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from dragon.net.tls import PLAIN, Tls
from dragon.node.settings import Environment
from dragon.protocol import bls
from dragon.protocol.committee import Committee
from dragon.storage import keystore


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of a stream service; `README.md` beside this package has the table."""

    committee: Committee
    secret: bls.SecretKey = field(repr=False)
    token: str = field(repr=False)
    prover_url: str
    prover_token: str = field(repr=False)
    database: Path
    data: Path
    nodes_file: Path
    waiting: int
    host: str
    port: int
    threads: int
    tls: Tls = PLAIN

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Raises SettingsError, KeystoreError: what is wrong, naming the setting or the file."""
        values = Environment(environ)
        return cls(
            committee=values.committee(),
            secret=keystore.load(
                values.path("STREAM_KEYSTORE"), values.path("STREAM_PASSWORD_FILE")
            ),
            token=values.token("STREAM_TOKEN_FILE"),
            prover_url=values.text("STREAM_PROVER_URL", "http://127.0.0.1:5200"),
            prover_token=values.token("STREAM_PROVER_TOKEN_FILE"),
            database=values.path("STREAM_DATABASE"),
            data=values.path("STREAM_DATA"),
            nodes_file=values.path("SEQUENCER_NODES_FILE"),
            waiting=values.integer("STREAM_WAITING", 256, least=2, most=100_000),
            host=values.text("DRAGON_HOST", "127.0.0.1"),
            port=values.integer("DRAGON_PORT", 5300, least=1, most=65535),
            threads=values.integer("DRAGON_THREADS", 96, least=24, most=256),
            tls=values.tls(),
        )
