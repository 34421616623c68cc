"""Keys and tokens of provers and stream services, URLs of all data services, new keystores."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path

from dragon.protocol import bls
from dragon.storage import keystore
from dragon.storage.permissions import PRIVATE_FOLDER, PUBLIC_FOLDER, make_folder
from dragon_cli.files import PUBLIC_MODE, write_whole
from dragon_cli.fleet.layout import PROVER, STREAMS, Home, service_kind


def make(home: Home, urls: Mapping[str, str]) -> None:
    """Create what is missing for the services in `urls` (name → URL); keep what exists."""
    for name in urls:
        if service_kind(name) == "zkp":
            _prover(home, name)
    for name in urls:
        if service_kind(name) == "stream":
            _stream_service(home, name)
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
    _prover(home, PROVER)
    _stream_service(home, STREAMS)
    return [home.keys / STREAMS, home.keys / PROVER]


def new_keystore(home: Home, name: str) -> bls.SecretKey:
    """Create a key, its keystore and the password file of `name`; return the key."""
    secret = bls.SecretKey.generate(secrets.token_bytes(32))
    password = secrets.token_urlsafe(24)
    keystore.write_private(home.keystore(name), keystore.seal(secret, password))
    keystore.write_private(home.password(name), password + "\n")
    return secret


def _prover(home: Home, name: str) -> None:
    """Create its token. All provers have the same one: any of them may make any proof."""
    first = home.token(PROVER)
    _token(first)
    if name != PROVER:
        _token(home.token(name), first.read_text())


def _stream_service(home: Home, name: str) -> None:
    """Create its key, from which it derives the keys of all streams, and the tokens it needs."""
    _token(home.token(name))
    _token(home.sources_token(name), home.token(name).read_text())
    _token(home.prover_token(name), home.token(PROVER).read_text())
    if not home.password(name).exists():
        home.keystore(name).unlink(missing_ok=True)  # without its password it is useless
        new_keystore(home, name)


def _token(file: Path, token: str | None = None) -> None:
    if not file.exists():
        keystore.write_private(file, token or secrets.token_urlsafe(32) + "\n")
