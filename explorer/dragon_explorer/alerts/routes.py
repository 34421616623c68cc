"""Routes: where messages go. Addresses and secrets lie in files, and are never shown."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from dragon_explorer.alerts.reading import Table
from dragon_explorer.toml_files import read_regular

MAX_SECRET_FILE_BYTES: Final = 4096
MAX_CA_FILE_BYTES: Final = 4 << 20
MIN_SECRET_BYTES: Final = 24  # as Standard Webhooks demands
MAX_SECRET_BYTES: Final = 64
MAX_SECRETS: Final = 2  # the present one and, while it is replaced, the former one
PREFIX: Final = "whsec_"
APPRISE: Final = "apprise"
WEBHOOK: Final = "webhook"
_URL: Final = re.compile(r"[!-~]+")
_KEYS: Final = {
    WEBHOOK: ("type", "url", "url_file", "secret_file", "ca_file"),
    APPRISE: ("type", "url_file"),
}


@dataclass(frozen=True, slots=True)
class Route:
    """One address. What is secret appears in no representation."""

    name: str
    type: Literal["webhook", "apprise"]
    url: str = field(repr=False)
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    ca_file: Path | None = None

    @property
    def target(self) -> str:
        """What may be shown: a webhook's scheme and host, or the name of the apprise service."""
        parts = urlsplit(self.url)
        if self.type == APPRISE:
            return parts.scheme
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def read_route(name: str, table: Table, folder: Path) -> Route | None:
    """Read one route; None after a mistake. Paths are relative to the folder of the file."""
    kind = table.text("type", required=True)
    if kind not in _KEYS:
        if kind:
            table.wrong("type", f"is {kind!a}; expected {WEBHOOK} or {APPRISE}")
        return None
    table.only(_KEYS[kind])
    url = _url(table, folder, kind)
    if kind == APPRISE:
        if find_spec(APPRISE) is None:
            table.wrong(
                "type", "is apprise, which is not installed: `pip install 'datadragon[alerts]'`"
            )
        return Route(name, "apprise", url) if url else None
    _check_webhook(table, url)
    secrets = _secrets(table, folder)
    ca = _ca(table, folder)
    return Route(name, "webhook", url, secrets, ca) if url else None


def _ca(table: Table, folder: Path) -> Path | None:
    name = table.text("ca_file")
    if not name:
        return None
    try:
        read_regular(folder / name, MAX_CA_FILE_BYTES)
    except OSError as error:
        table.wrong("ca_file", f"names {folder / name}, which cannot be read: {error.strerror}")
    return folder / name


def _url(table: Table, folder: Path, kind: str) -> str:
    url, in_file = table.text("url"), table.text("url_file")
    if kind == WEBHOOK and bool(url) is bool(in_file):
        table.wrong("url", "and `url_file`: exactly one of both is needed")
        return ""
    if kind == APPRISE and not in_file:
        table.wrong("url_file", "is missing: apprise URLs contain secrets, so they lie in a file")
        return ""
    lines = _lines(table, "url_file", folder / in_file) if in_file else [url]
    if in_file and len(lines) != 1:
        if lines:
            table.wrong("url_file", "must name a file with one URL on one line")
        return ""
    if "://" not in lines[0]:
        table.wrong("url_file" if in_file else "url", "has no URL with a scheme such as https://")
        return ""
    return lines[0]


def _check_webhook(table: Table, url: str) -> None:
    """Note what is wrong with the URL. The sentences do not quote it: its path may be a secret."""
    if not url:
        return
    name = "url" if table.values.get("url") else "url_file"
    if (fault := url_fault(url)) is not None:
        table.wrong(name, fault)


def url_fault(url: str) -> str | None:
    """Return what is wrong with a URL of a web server; None if nothing is."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError for a port that is no number
    except ValueError:
        return "has a URL whose host or port is not valid"
    if not _URL.fullmatch(url):
        return "has a URL with a space, or with a character that is not printable ASCII"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "needs a URL that begins with https:// or http:// and has a host"
    if parts.username or parts.password:
        return "must not contain a user or a password; use `secret_file`"
    return None


def _secrets(table: Table, folder: Path) -> tuple[bytes, ...]:
    name = table.text("secret_file")
    if not name:
        return ()
    lines = _lines(table, "secret_file", folder / name)
    if len(lines) > MAX_SECRETS:
        table.wrong("secret_file", f"must name a file with at most {MAX_SECRETS} secrets")
    return tuple(filter(None, (_secret(table, line) for line in lines[:MAX_SECRETS])))


def _secret(table: Table, line: str) -> bytes:
    try:
        secret = base64.b64decode(line.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        table.wrong(
            "secret_file",
            f"must name a file with a secret of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes in "
            f"base64, after {PREFIX}; `openssl rand -base64 32` makes one",
        )
        return b""
    return secret


def _lines(table: Table, key: str, path: Path) -> list[str]:
    """The lines of a secret file without empty ones."""
    try:
        raw = read_regular(path, MAX_SECRET_FILE_BYTES)
        lines = [line.strip() for line in raw.decode("ascii").splitlines()]
        found = [line for line in lines if line]
        if not found:
            table.wrong(key, f"names {path}, which is empty")
        return found
    except OSError as error:
        table.wrong(key, f"names {path}, which cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        table.wrong(key, f"names {path}, which is not a text file in ASCII")
    return []
