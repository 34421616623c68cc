"""Settings of a service, read from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from dragon.encoding import from_hex
from dragon.errors import DragonError, InvalidEncoding, SettingsError
from dragon.net import tls, tls_names
from dragon.net.tls import Tls
from dragon.node.addresses import Network
from dragon.protocol.committee import Committee
from dragon.protocol.lineage import Lineage

MIN_TOKEN_CHARS: Final = 16
MAX_INTEGER_DIGITS: Final = 9
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,253}", re.ASCII)
_URL: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+", re.ASCII)


# By setting: what it means, for the tables of `docs/reference.md`.
MEANINGS: Final[Mapping[str, str]] = {
    "DRAGON_COMMITTEE": (
        "Committee file of the network, of any epoch, or a lineage. The log of the service knows "
        "which committee holds. A handover that contradicts the file raises the alarm `diverged`."
    ),
    "SEQUENCER_NODES_FILE": (
        "Node list of the sequencer network; the committee file holds its hash. Several files are "
        "separated by commas, while the network replaces its nodes: a list that an earlier "
        "committee has named, and the one that holds does not, no longer counts."
    ),
    "DRAGON_SERVICE": (
        "Name of the service in its log messages and in process lists, of a prover or a stream "
        "service. `dragon serve --name` sets it."
    ),
    "DRAGON_HOST": "Address to listen on.",
    "DRAGON_PORT": "Port to listen on.",
    "DRAGON_THREADS": "Requests that are served at the same time; further ones wait.",
    "DRAGON_PROXIES": (
        "Addresses and networks of reverse proxies, separated by commas. The client's address is "
        "taken from their `X-Forwarded-For`, and from nobody else's."
    ),
    "DRAGON_KNOWN_CLIENTS": (
        "Names, addresses and networks, separated by commas, whose requests are limited as those "
        "of committee members: a member whose requests come from another address than its URL "
        "has, a stream service, monitoring."
    ),
    "DRAGON_TLS_CERTFILE": (
        "The service's certificate in PEM, followed by the intermediate certificates. Without "
        "it the service speaks plain HTTP."
    ),
    "DRAGON_TLS_KEYFILE": (
        "Private key of that certificate, in PEM, without a password. Set both or neither."
    ),
    "DRAGON_TLS_CA": (
        "CA certificates in PEM that are trusted for HTTPS to other services, in place of the "
        "system trust store."
    ),
}


@dataclass(frozen=True, slots=True)
class Environment:
    """Typed access to settings. Every method raises a SettingsError that names the setting."""

    values: Mapping[str, str]

    def text(self, name: str, default: str | None = None) -> str:
        """Return a setting that must not be empty."""
        value = self.values.get(name, default)
        if not value:
            raise SettingsError(f"the setting {name} is missing", setting=name)
        return value

    def path(self, name: str, default: str | None = None) -> Path:
        return Path(self.text(name, default))

    def paths(self, name: str) -> tuple[Path, ...]:
        """Return a list of paths, separated by commas, of which there must be one.

        The path of a file that exists is one path, also if it has a comma.
        """
        if (whole := self.path(name)).is_file():
            return (whole,)
        if not (listed := self._listed(name)):
            raise SettingsError(f"the setting {name} names no file", setting=name)
        return tuple(map(Path, listed))

    def integer(self, name: str, default: int, *, least: int, most: int) -> int:
        """Return an integer from `least` to `most`."""
        value = self.values.get(name) or str(default)
        digits = value.isascii() and value.isdigit() and len(value) <= MAX_INTEGER_DIGITS
        if not digits or not least <= int(value) <= most:
            message = f"the setting {name} must be an integer from {least} to {most}"
            raise SettingsError(message, setting=name)
        return int(value)

    def token(self, name: str) -> str:
        """Return the secret token in the file that the setting names."""
        return self._token_in(name, self.path(name))

    def tokens(self, name: str) -> tuple[str, ...]:
        """Return the secret tokens in the files that the setting lists."""
        return tuple(self._token_in(name, path) for path in self.paths(name))

    def _token_in(self, name: str, path: Path) -> str:
        try:
            token = path.read_text("ascii").strip()
        except UnicodeDecodeError:
            token = ""
        except OSError as error:
            message = f"the token file {path} cannot be read: {error.strerror}"
            raise SettingsError(message, setting=name) from None
        if len(token) < MIN_TOKEN_CHARS or not token.isprintable() or " " in token:
            message = (
                f"the token file {path} needs a token of at least {MIN_TOKEN_CHARS} characters"
            )
            raise SettingsError(message, setting=name)
        return token

    def networks(self, name: str) -> tuple[Network, ...]:
        """Return a list of addresses and networks; empty if the setting is missing."""
        try:
            return tuple(map(_network, self._listed(name)))
        except ValueError as error:
            message = (
                f"the setting {name} must list addresses and networks such as 10.0.0.0/8, "
                f"separated by commas: {error}"
            )
            raise SettingsError(message, setting=name) from None

    def hosts(self, name: str) -> tuple[str, ...]:
        """Return a list of names, addresses and networks; empty if the setting is missing."""
        for each in (listed := self._listed(name)):
            try:
                ip_network(each)
            except ValueError:
                if not _NAME.fullmatch(each) or each.replace(".", "").isdigit():
                    message = (
                        f"the setting {name} must list host names, addresses and networks, "
                        f"separated by commas: {each!a} is none of them"
                    )
                    raise SettingsError(message, setting=name) from None
        return tuple(listed)

    def urls(self, name: str, default: str = "", *, example: str, most: int) -> tuple[str, ...]:
        """Return a list of URLs without a path, each once, at most `most`.

        Args: `example`, a URL for the error message.
        """
        listed = self._listed(name) or [default] * bool(default)
        urls = tuple(dict.fromkeys(each.rstrip("/") for each in listed))
        for url in urls:
            if not _URL.fullmatch(url):
                message = (
                    f"the setting {name} contains {url!a}; expected scheme, host and port without "
                    f"a path, for example {example}"
                )
                raise SettingsError(message, setting=name)
        if len(urls) > most:
            message = f"the setting {name} has {len(urls)} URLs; at most {most} are allowed"
            raise SettingsError(message, setting=name)
        return urls

    def _listed(self, name: str) -> list[str]:
        return [each.strip() for each in self.values.get(name, "").split(",") if each.strip()]

    def tls(self) -> Tls:
        """Return certificate and key, which are given together, and the trusted authorities."""
        certfile, keyfile, ca = map(
            self.optional_path, (tls_names.CERTFILE, tls_names.KEYFILE, tls_names.CA)
        )
        if (certfile is None) != (keyfile is None):
            given, missing = tls_names.CERTFILE, tls_names.KEYFILE
            if certfile is None:
                given, missing = missing, given
            raise SettingsError(
                f"the setting {missing} is missing; {given} needs it", setting=missing
            )
        if ca is not None:
            tls.client_context(ca)
        return Tls(certfile, keyfile, ca)

    def optional_path(self, name: str) -> Path | None:
        """Return a path, or None if the setting is empty or missing."""
        value = self.values.get(name)
        return Path(value) if value else None

    def streams(self, name: str) -> frozenset[bytes] | None:
        """Return the stream ids in the file that the setting names; None if there is none."""
        path = self.optional_path(name)
        if path is None:
            return None
        try:
            lines = path.read_text("ascii").split()
            return frozenset(from_hex(line, member=name, size=32) for line in lines)
        except OSError as error:
            message = f"cannot read the list of streams {path}: {error.strerror}"
            raise SettingsError(message, setting=name) from None
        except (UnicodeDecodeError, InvalidEncoding):
            message = f"{path} must hold one stream id per line: 0x and 64 lower-case hex digits"
            raise SettingsError(message, setting=name) from None

    def committee(self, name: str = "DRAGON_COMMITTEE") -> Committee:
        """Load the newest committee of the file that the setting names."""
        return self.lineage(name).newest

    def lineage(self, name: str = "DRAGON_COMMITTEE") -> Lineage:
        """Load the committee file or the lineage that the setting names.

        The hashes of the files are checked, from the newest backwards. No signature is needed: the
        owner trusts the newest.
        """
        path = self.path(name)
        try:
            lineage = Lineage.load(path.read_bytes())
            lineage.check_chain()
        except OSError as error:
            message = f"the committee file {path} cannot be read: {error.strerror}"
            raise SettingsError(message, setting=name) from None
        except DragonError as error:
            message = f"the committee file {path} is refused: {error.name}: {error}"
            raise SettingsError(message, setting=name) from None
        return lineage


def _network(text: str) -> Network:
    """Raises ValueError: no address and no network; the message says so in words."""
    try:
        return ip_network(text)
    except ValueError:
        what = "has bits after its prefix" if _has_bits_after_prefix(text) else "is neither"
        raise ValueError(f"{text!a} {what}") from None


def _has_bits_after_prefix(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
