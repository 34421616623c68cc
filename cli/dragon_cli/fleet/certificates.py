"""A certificate authority for one fleet, created by `dragon init --tls`.

It signs one certificate for each service, and for each operator that joins with its key in the same
home. It is meant for demonstrations and small fleets; services accept any other certificate
(docs/operating.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Final, Self
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dragon.errors import SettingsError
from dragon.storage import keystore
from dragon_cli.files import PUBLIC_MODE, write_whole
from dragon_cli.fleet.layout import Home

AUTHORITY_DAYS: Final = 3650
SERVICE_DAYS: Final = 825  # some clients refuse certificates with a longer validity
BACKDATED: Final = timedelta(hours=1)  # for machines with a slow clock
LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")
_NO_USAGE: Final = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority: its own certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, name: str, now: datetime) -> Self:
        """Create an authority for the committee `name`, valid from `now`."""
        key = ec.generate_private_key(ec.SECP256R1())
        common_name = f"DataDragon authority of {name}"[:64]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        usage = x509.KeyUsage(**(_NO_USAGE | {"key_cert_sign": True, "crl_sign": True}))
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = _begin(subject, subject, key, now, AUTHORITY_DAYS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        builder = builder.add_extension(usage, True).add_extension(identifier, False)
        return cls(builder.sign(key, hashes.SHA256()), key)

    def issue(
        self, service: str, host: str, now: datetime
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """Return a certificate for a service at `host` and at local addresses, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, service)])
        builder = _begin(subject, self.certificate.subject, key, now, SERVICE_DAYS)
        names = x509.SubjectAlternativeName(
            [_name(one) for one in dict.fromkeys((host, *LOCAL_NAMES))]
        )
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        usage = x509.KeyUsage(**(_NO_USAGE | {"digital_signature": True}))
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        builder = builder.add_extension(usage, True).add_extension(names, False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(both), False)
        builder = builder.add_extension(issuer, False)
        return builder.sign(self.key, hashes.SHA256()), key


def make_authority(home: Home, name: str, services: Mapping[str, str], *, now: int) -> None:
    """Create the authority of a fleet, and key and certificate for each service.

    Args:
        home: the folder of the fleet.
        name: the name of the committee.
        services: the URL of each service by the name of its folder.
        now: Unix seconds; the certificates are valid from this time.

    Raises KeystoreError: a key file already exists; no key is overwritten.
    """
    moment = datetime.fromtimestamp(now, UTC)
    authority = Authority.make(name, moment)
    keystore.write_private(home.authority_key, _private(authority.key))
    for service, url in services.items():
        _certify(home, authority, service, url, moment)
    # Written last: its existence switches the fleet to TLS.
    write_whole(home.authority_file, _public(authority.certificate), mode=PUBLIC_MODE)


def certify(home: Home, service: str, url: str, *, now: int) -> None:
    """Create key and certificate of a service that joins a fleet with an authority.

    Raises SettingsError: the authority cannot be read; KeystoreError: there is such a key already.
    """
    try:
        certificate = x509.load_pem_x509_certificate(home.authority_file.read_bytes())
        key = serialization.load_pem_private_key(home.authority_key.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is damaged"
        raise SettingsError(f"Cannot use the authority of {home.path}: {why}.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise SettingsError(f"{home.authority_key} is not the key that `dragon init --tls` makes.")
    authority = Authority(certificate, key)
    _certify(home, authority, service, url, datetime.fromtimestamp(now, UTC))


def _certify(home: Home, authority: Authority, service: str, url: str, now: datetime) -> None:
    certificate, key = authority.issue(service, urlsplit(url).hostname or "localhost", now)
    keystore.write_private(home.tls_key(service), _private(key))
    write_whole(home.tls_certificate(service), _public(certificate), mode=PUBLIC_MODE)


def _begin(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - BACKDATED,
        not_valid_after=now + timedelta(days=days),
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _public(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _private(key: ec.EllipticCurvePrivateKey) -> str:
    raw = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return raw.decode()
