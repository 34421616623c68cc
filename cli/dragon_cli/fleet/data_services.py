"""Keys and tokens of prover and stream service, URLs of all data services, new keystores."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path

from dragon.protocol import bls
from dragon.storage import keystore
from dragon.storage.permissions import PRIVATE_FOLDER, PUBLIC_FOLDER, make_folder
from dragon_cli.files import PUBLIC_MODE, write_whole
from dragon_cli.fleet.layout import PROVER, SOURCES, STREAMS, Home


def make(home: Home, urls: Mapping[str, str]) -> None:
    """Create what is missing for the services in `urls` (name → URL); keep what exists."""
    if PROVER in urls:
        _token(home.token(PROVER))
    if STREAMS in urls:
        _stream_service(home)
    if urls:
        services = dict(urls) | home.services()
        text = json.dumps(services, indent=2) + "\n"
        write_whole(home.services_file, text, mode=PUBLIC_MODE)


def make_keys(home: Home) -> list[Path]:
    """Create the keys and tokens of a stream service and its prover; keep what exists.

    Returns the key folders of both.
    """
    make_folder(home.path, PUBLIC_FOLDER)
    make_folder(home.keys, PRIVATE_FOLDER)
    _token(home.token(PROVER))
    _stream_service(home)
    return [home.keys / STREAMS, home.keys / PROVER]


def new_keystore(home: Home, name: str) -> bls.SecretKey:
    """Create a key, its keystore and the password file of `name`; return the key."""
    secret = bls.SecretKey.generate(secrets.token_bytes(32))
    password = secrets.token_urlsafe(24)
    keystore.write_private(home.keystore(name), keystore.seal(secret, password))
    keystore.write_private(home.password(name), password + "\n")
    return secret


def _stream_service(home: Home) -> None:
    """Create its key, from which it derives the keys of all streams, and the tokens it needs."""
    _token(home.token(STREAMS))
    _token(home.token(SOURCES), home.token(STREAMS).read_text())
    _token(home.prover_token, home.token(PROVER).read_text())
    if not home.password(STREAMS).exists():
        home.keystore(STREAMS).unlink(missing_ok=True)  # without its password it is useless
        new_keystore(home, STREAMS)


def _token(file: Path, token: str | None = None) -> None:
    if not file.exists():
        keystore.write_private(file, token or secrets.token_urlsafe(32) + "\n")
