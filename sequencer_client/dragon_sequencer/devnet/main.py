"""Assembles the development sequencer from the environment."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from flask import Flask

from dragon.errors import SettingsError
from dragon.node.settings import Environment
from dragon_sequencer import bn254
from dragon_sequencer.devnet.app import create_app
from dragon_sequencer.devnet.faults import Faults
from dragon_sequencer.devnet.network import Network, Rules, Signer
from dragon_sequencer.devnet.storage import Storage
from dragon_sequencer.errors import InvalidNodeList
from dragon_sequencer.nodes import ROLES, NodeList
from dragon_sequencer.tower import R

MAX_KEYS: Final = 4  # simulated nodes
MAX_PAGE_BYTES: Final = 10_000 << 10  # page of a network of one node with default settings
NO_FAULTS: Final = Faults()
_TICK_SECONDS: Final = 0.05  # between two checks for batches to finalize
_SECRET: Final = re.compile(r"0x[0-9a-f]{1,64}|[0-9]{1,77}", re.ASCII)


# By setting: what it means, for the tables of `docs/reference.md`.
MEANINGS: Final[Mapping[str, str]] = {
    "SEQUENCER_KEYS_FILE": "JSON list of secret keys, decimal or 0x…, readable by its owner only.",
    "SEQUENCER_NODES_FILE": "Node list that belongs to these keys.",
    "SEQUENCER_APP": "Names of the apps, separated by commas.",
    "SEQUENCER_DATABASE": "SQLite file for the batches.",
    "SEQUENCER_MIN_AGE_MS": (
        "Milliseconds from acceptance to finality. Blocking senders need more than 0."
    ),
    "SEQUENCER_PAGE_BYTES": "Bytes of batches on one page.",
    "SEQUENCER_FAULTS": "1: `/dev/faults` exists.",
    "SEQUENCER_FIRST_FAULTS": "JSON object of faults that are active from the start.",
    "SEQUENCER_HOLD_MS": "Milliseconds for which a read that finds nothing waits for new batches.",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the development sequencer."""

    keys_file: Path  # SEQUENCER_KEYS_FILE: JSON list of secret keys, file mode 0600
    nodes_file: Path  # SEQUENCER_NODES_FILE: node list with the public keys
    apps: tuple[str, ...]  # SEQUENCER_APP: names, separated by commas
    database: Path  # SEQUENCER_DATABASE
    min_age_ms: int = 250  # SEQUENCER_MIN_AGE_MS: from acceptance to finality
    page_bytes: int = 256_000  # SEQUENCER_PAGE_BYTES: of bodies on a page
    faults: bool = False  # SEQUENCER_FAULTS: whether /dev/faults exists
    first_faults: Faults = NO_FAULTS  # SEQUENCER_FIRST_FAULTS: active from the start
    hold_ms: int = 2500  # SEQUENCER_HOLD_MS: how long a read waits for a batch

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read all settings. Raises SettingsError: a setting is missing or not valid."""
        read = Environment(environ)
        return cls(
            keys_file=read.path("SEQUENCER_KEYS_FILE"),
            nodes_file=read.path("SEQUENCER_NODES_FILE"),
            apps=_apps(read.text("SEQUENCER_APP")),
            database=read.path("SEQUENCER_DATABASE"),
            min_age_ms=read.integer("SEQUENCER_MIN_AGE_MS", 250, least=0, most=60_000),
            page_bytes=read.integer(
                "SEQUENCER_PAGE_BYTES", 256_000, least=5120, most=MAX_PAGE_BYTES
            ),
            faults=bool(read.integer("SEQUENCER_FAULTS", 0, least=0, most=1)),
            first_faults=_faults(read.text("SEQUENCER_FIRST_FAULTS", "{}")),
            hold_ms=read.integer("SEQUENCER_HOLD_MS", 2500, least=0, most=4000),
        )


def _apps(text: str) -> tuple[str, ...]:
    apps = tuple(filter(None, map(str.strip, text.split(","))))
    if not apps or len(set(apps)) < len(apps) or any("/" in app for app in apps):
        raise SettingsError(
            "SEQUENCER_APP must list distinct names without a slash, separated by commas"
        )
    return apps


def _faults(text: str) -> Faults:
    try:
        changes = json.loads(text)
    except (ValueError, RecursionError):
        changes = None
    if not isinstance(changes, dict):
        raise SettingsError("SEQUENCER_FIRST_FAULTS must be a JSON object")
    try:
        return Faults().changed(changes)
    except SettingsError as error:
        raise SettingsError(f"SEQUENCER_FIRST_FAULTS: {error}") from None


def build(settings: Settings) -> tuple[Flask, list[Callable[[threading.Event], None]]]:
    """Build the app, and the loops that the server must run, each on its own thread.

    A loop returns soon after its event is set.

    Raises:
        SettingsError: keys or node list are not valid, or do not belong together.
    """
    network = Network(
        settings.apps,
        load_signers(settings.keys_file, settings.nodes_file),
        Storage(settings.database),
        monotonic=time.monotonic,
        wall=time.time,
        rules=Rules(min_age=settings.min_age_ms / 1000, page_bytes=settings.page_bytes),
        faults=settings.first_faults,
    )

    def finalize(stop: threading.Event) -> None:
        while not stop.wait(_TICK_SECONDS):
            network.finalize_due()

    app = create_app(network, hold=settings.hold_ms / 1000, control=settings.faults)
    return app, [finalize]


def make_keys(count: int, randbits: Callable[[int], int]) -> list[int]:
    """Secret keys for `count` nodes.

    `randbits` is `secrets.randbits`. With 128 bits more than r has, the remainder modulo r − 1 is
    practically uniform.
    """
    return [randbits(R.bit_length() + 128) % (R - 1) + 1 for _ in range(count)]


def keys_document(secrets: Sequence[int]) -> list[str]:
    """The JSON of the keys file: decimal strings."""
    return [str(secret) for secret in secrets]


def nodes_document(
    secrets: Sequence[int], socket: str, *, separate: bool = False
) -> dict[str, object]:
    """The `nodes.json` of a network that one process at the URL `socket` simulates.

    With `separate`, each node has a URL of its own, and clients can tell the gateways apart.
    """
    sockets = [
        f"{socket.rstrip('/')}/gateway/{at}" if separate else socket for at in range(len(secrets))
    ]
    nodes = [
        _node(bn254.public_key(secret), url) for secret, url in zip(secrets, sockets, strict=True)
    ]
    return {str(node["id"]): node for node in nodes}


def _node(key: bn254.G2, socket: str) -> dict[str, object]:
    (x0, x1), (y0, y1) = key
    name = "0x" + hashlib.sha256(f"{x1} {x0} {y1} {y0}".encode()).hexdigest()[-40:]
    return {
        "id": name,
        "address": name,
        "socket": socket.rstrip("/"),
        "stake": 10,
        "pubkeyG2_X": [x1, x0],
        "pubkeyG2_Y": [y1, y0],
        "roles": list(ROLES),
    }


def load_signers(keys_file: Path, nodes_file: Path) -> list[Signer]:
    """The nodes of the list with their secrets, in the list's order. Raises SettingsError."""
    try:
        nodes = NodeList.load(nodes_file).nodes.values()
    except InvalidNodeList as error:
        raise SettingsError(f"SEQUENCER_NODES_FILE: {error}", **error.facts) from None
    by_key = {bn254.public_key(secret): secret for secret in _secrets(keys_file)}
    if {node.public_key for node in nodes} != set(by_key):
        raise SettingsError("SEQUENCER_KEYS_FILE and SEQUENCER_NODES_FILE do not belong together")
    return [Signer(node, by_key[node.public_key]) for node in nodes]


def _secrets(path: Path) -> list[int]:
    try:
        if path.stat().st_mode & 0o077:
            raise SettingsError(
                f"SEQUENCER_KEYS_FILE is open to others than its owner: run `chmod 600 {path}`"
            )
        listed = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        raise SettingsError(f"SEQUENCER_KEYS_FILE {path} cannot be read as JSON") from None
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_KEYS:
        raise SettingsError(f"SEQUENCER_KEYS_FILE must be a list of 1 to {MAX_KEYS} keys")
    return [_secret(text) for text in listed]


def _secret(text: object) -> int:
    if not isinstance(text, str) or not _SECRET.fullmatch(text):
        raise SettingsError("a key in SEQUENCER_KEYS_FILE must be a decimal or 0x… string")
    if not 0 < (secret := int(text, 0) if text.startswith("0x") else int(text)) < R:
        raise SettingsError("a key in SEQUENCER_KEYS_FILE is out of range")
    return secret
