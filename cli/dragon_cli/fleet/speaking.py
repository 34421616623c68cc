"""The key that announces a node's maintenance: the operator's own, or that of a target's owner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dragon.encoding import to_hex
from dragon.errors import KeystoreError
from dragon.protocol import bls
from dragon.protocol.committee import Committee
from dragon.storage import keystore
from dragon_cli.errors import NotAMember
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.settings import environment, merged
from dragon_cli.hints import with_hint
from dragon_cli.keystores import Sheet, unlock

_PRESENT: Final = ("OPERATOR_KEYSTORE", "OPERATOR_PASSWORD_FILE")
_NEXT: Final = ("OPERATOR_NEXT_KEYSTORE", "OPERATOR_NEXT_PASSWORD_FILE")


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """A keystore and its password that the user names; None: those of the home."""

    keystore: Path | None = None
    password: Path | None = None


def secret_of(
    committee: Committee, node_id: str, home: Home, files: KeyFiles, environ: Mapping[str, str]
) -> bls.SecretKey:
    """Return the secret key that announces a node's maintenance.

    Args: `environ`, the variables of the environment; an operator's settings may name its keystore.

    Raises:
        UnknownNode, NoOwner: nobody can announce it.
        KeystoreError, KeystoreRefused, InvalidEncoding: the keystore cannot be opened.
        NotAMember: the keystore holds another key.
    """
    speaker = committee.speaker(node_id)
    listed = committee.member_keys[speaker]
    secret = unlock(
        *_choose(to_hex(listed.raw), _pairs(home, speaker, files, environ), speaker, node_id)
    )
    if secret.public_key() != listed:
        message = f"The keystore does not hold the key of {speaker}, which speaks for {node_id}."
        raise NotAMember(message, id=speaker, public_key=to_hex(secret.public_key().raw))
    return secret


def _pairs(
    home: Home, speaker: str, files: KeyFiles, environ: Mapping[str, str]
) -> Iterator[tuple[Path, Path]]:
    """Yield keystores and their passwords: of the present key, and of the next one if there is."""
    settings = environment(home, speaker, host="", port=0)
    if environ.get("OPERATOR_ID") == speaker:
        settings = merged(environ, settings)
    names = [pair for pair in (_PRESENT, _NEXT) if pair[0] in settings]
    found = [(Path(settings[path]), Path(settings[password])) for path, password in names]
    if files.keystore:
        found = [(files.keystore, found[0][1])]
    for path, password in found:
        yield path, files.password or password


def _choose(
    listed: str, pairs: Iterator[tuple[Path, Path]], speaker: str, node_id: str
) -> tuple[Path, Path]:
    """Return the keystore that states the listed key, or else the first. Raises KeystoreError."""
    found = [(path, password) for path, password in pairs if path.exists()]
    if not found:
        message = f"{speaker} announces the maintenance of {node_id}, and its keystore is not here."
        hint = f"Run the command where {speaker} has its key, or name the key with `--keystore`."
        raise with_hint(KeystoreError(message), hint)
    stating = (
        pair for pair in found if Sheet.read(keystore.read_private(pair[0])).public_key == listed
    )
    return next(stating, found[0])
