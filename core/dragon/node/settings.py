"""Reading settings from a mapping like the environment; a wrong one gets a good message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dragon.errors import DragonError, SettingsError
from dragon.net import tls
from dragon.net.tls import Tls
from dragon.protocol.committee import Committee

SHORTEST_TOKEN: Final = 16  # characters


@dataclass(frozen=True, slots=True)
class Environment:
    """Typed access to named settings. Every method raises SettingsError, naming the setting."""

    values: Mapping[str, str]

    def text(self, name: str, default: str | None = None) -> str:
        value = self.values.get(name, default)
        if not value:
            raise SettingsError(f"the setting {name} is missing", setting=name)
        return value

    def path(self, name: str, default: str | None = None) -> Path:
        return Path(self.text(name, default))

    def integer(self, name: str, default: int, *, least: int, most: int) -> int:
        value = self.values.get(name) or str(default)
        digits = value.isascii() and value.isdigit() and len(value) < 10
        if not digits or not least <= int(value) <= most:
            message = f"the setting {name} is an integer from {least} to {most}"
            raise SettingsError(message, setting=name)
        return int(value)

    def token(self, name: str) -> str:
        """The token in a file: what a caller could not guess."""
        path = self.path(name)
        try:
            token = path.read_text("ascii").strip()
        except UnicodeDecodeError:
            token = ""
        except OSError as error:
            message = f"the token file {path} cannot be read: {error.strerror}"
            raise SettingsError(message, setting=name) from None
        if len(token) < SHORTEST_TOKEN or not token.isprintable() or " " in token:
            message = f"the token file {path} holds no token of {SHORTEST_TOKEN} characters or more"
            raise SettingsError(message, setting=name)
        return token

    def tls(self) -> Tls:
        """Certificate and key, which go together, and the authorities that clients believe."""
        certfile, keyfile, ca = map(self.optional_path, (tls.CERTFILE, tls.KEYFILE, tls.CA))
        if (certfile is None) != (keyfile is None):
            given, missing = tls.CERTFILE, tls.KEYFILE
            if certfile is None:
                given, missing = missing, given
            raise SettingsError(f"the setting {missing} is missing beside {given}", setting=missing)
        if ca is not None:
            tls.client_context(ca)
        return Tls(certfile, keyfile, ca)

    def optional_path(self, name: str) -> Path | None:
        value = self.values.get(name)
        return Path(value) if value else None

    def committee(self, name: str = "DRAGON_COMMITTEE") -> Committee:
        path = self.path(name)
        try:
            return Committee.load(path.read_bytes())
        except OSError as error:
            message = f"the committee file {path} cannot be read: {error.strerror}"
            raise SettingsError(message, setting=name) from None
        except DragonError as error:
            message = f"the committee file {path} is refused: {error.name}: {error}"
            raise SettingsError(message, setting=name) from None
