"""TLS certificates for tests: a CA, certificates that it signed, and expired ones."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from dragon.net.tls import Tls
from dragon_cli.fleet.certificates import SERVICE_DAYS, Authority


@dataclass(frozen=True, slots=True)
class Papers:
    """A CA, and certificates for services at 127.0.0.1 and localhost."""

    folder: Path
    authority: Authority
    ca: Path

    @classmethod
    def make(cls, folder: Path) -> Papers:
        authority = Authority.make("tests", dt.datetime.now(dt.UTC))
        ca = folder / "ca.crt"
        ca.write_bytes(authority.certificate.public_bytes(serialization.Encoding.PEM))
        return cls(folder, authority, ca)

    def service(self, name: str, host: str = "127.0.0.1", *, days: int = 0) -> Tls:
        """Write a certificate and its key to disk, made `days` from now."""
        made = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        certificate, key = self.authority.issue(name, host, made)
        certfile, keyfile = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        certfile.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        keyfile.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return Tls(certfile, keyfile, self.ca)

    def expired(self) -> Tls:
        return self.service("expired", days=-SERVICE_DAYS - 1)
