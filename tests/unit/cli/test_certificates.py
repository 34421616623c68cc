"""`dragon init --tls` creates a CA and a certificate for each service, with private keys."""

from __future__ import annotations

import datetime as dt
import json
import stat
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from dragon.errors import KeystoreError, SettingsError
from dragon.net import tls, tls_names
from dragon.net.tls import Tls
from dragon.protocol.committee import Committee
from dragon_cli.fleet.certificates import (
    AUTHORITY_DAYS,
    SERVICE_DAYS,
    Authority,
    certify,
    make_authority,
)
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.settings import environment, transport
from dragon_cli.main import main

NOW = 1_732_522_000
SERVICES = (
    "operator_1",
    "operator_2",
    "operator_3",
    "aggregator",
    "sequencer",
    "zkp_api",
    "stream_api",
    "explorer",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The folder that `dragon init --tls` creates."""
    path = tmp_path_factory.mktemp("init") / "fleet"
    with pytest.raises(SystemExit) as done:
        main(["init", "--home", str(path), "--operators", "3", "--tls"])
    assert not done.value.code
    return Home(path)


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def days(certificate: x509.Certificate, since: int) -> float:
    end = certificate.not_valid_after_utc
    return (end - dt.datetime.fromtimestamp(since, dt.UTC)).total_seconds() / 86_400


def test_all_files_are_created_with_their_permissions(home: Home) -> None:
    for service in SERVICES:
        assert home.tls_certificate(service) == home.path / "keys" / service / "tls.crt"
        assert home.tls_certificate(service).is_file()
    private = [home.path / "keys" / "ca" / "ca.key", *map(home.tls_key, SERVICES)]

    assert sorted(home.path.rglob("*.key")) == sorted(private)
    for path in private:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert home.ca == home.path / "ca.crt"
    assert b"PRIVATE" not in home.ca.read_bytes()


def test_every_address_is_https(home: Home) -> None:
    committee = home.committee()
    urls = [*committee.urls.values(), *(one.url for one in committee.aggregators)]

    assert all(url.startswith("https://127.0.0.1:") for url in [*urls, home.sequencer_url()])
    # The id covers the URLs, so a change to TLS or back is a handover.
    plain = json.loads(home.committee_file.read_text().replace("https://", "http://"))
    assert Committee.from_json(plain).id != committee.id


def test_the_tls_settings_of_each_service_are_valid(home: Home) -> None:
    for service in SERVICES:
        settings = environment(home, service, host="127.0.0.1", port=1)
        told = Tls(
            *(
                Path(settings[name])
                for name in (tls_names.CERTFILE, tls_names.KEYFILE, tls_names.CA)
            )
        )

        assert told == Tls(home.tls_certificate(service), home.tls_key(service), home.ca)
        assert tls.server_context(told) is not None


@pytest.mark.parametrize("service", SERVICES)
def test_a_strict_verifier_accepts_each_certificate(home: Home, service: str) -> None:
    store = Store([read(home.authority_file)])
    shown = read(home.tls_certificate(service))

    for name in (x509.DNSName("localhost"), *map(x509.IPAddress, addresses())):
        verifier = PolicyBuilder().store(store).build_server_verifier(name)
        assert len(verifier.verify(shown, [])) == 2
    stranger = PolicyBuilder().store(store).build_server_verifier(x509.DNSName("example.org"))
    with pytest.raises(VerificationError):
        stranger.verify(shown, [])


def addresses() -> list[object]:
    return [ip_address("127.0.0.1"), ip_address("::1")]


def test_validity_usage_and_keys_of_certificates(home: Home) -> None:
    genesis = home.committee().rounds.genesis
    authority, shown = read(home.authority_file), read(home.tls_certificate("operator_2"))
    extended = shown.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    basic = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = authority.extensions.get_extension_for_class(x509.KeyUsage)

    assert (days(authority, genesis), days(shown, genesis)) == (AUTHORITY_DAYS, SERVICE_DAYS)
    assert (AUTHORITY_DAYS, SERVICE_DAYS) == (3650, 825)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    assert (usage.critical, usage.value.key_cert_sign) == (True, True)
    assert set(extended) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    for key in (authority.public_key(), shown.public_key()):
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert isinstance(key.curve, ec.SECP256R1)
    assert len({read(home.tls_certificate(name)).serial_number for name in SERVICES}) == len(
        SERVICES
    )


def test_a_certificate_names_the_host_of_the_url(tmp_path: Path) -> None:
    home = Home(tmp_path)
    urls = {"operator_1": "https://operator-1:5001", "operator_2": "https://[fd00::2]:5002"}

    make_authority(home, "containers", urls, now=NOW)

    listed = {
        service: read(home.tls_certificate(service))
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value
        for service in urls
    }
    local = [*map(str, addresses())]
    assert listed["operator_1"].get_values_for_type(x509.DNSName) == ["operator-1", "localhost"]
    assert listed["operator_2"].get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(one) for one in listed["operator_1"].get_values_for_type(x509.IPAddress)] == local
    assert [str(one) for one in listed["operator_2"].get_values_for_type(x509.IPAddress)] == [
        "fd00::2",
        *local,
    ]


def test_no_key_is_overwritten(tmp_path: Path) -> None:
    home = Home(tmp_path)
    make_authority(home, "once", {"operator_1": "https://a:1"}, now=NOW)

    with pytest.raises(KeystoreError, match="is not overwritten"):
        make_authority(home, "twice", {"operator_1": "https://a:1"}, now=NOW)


def test_a_long_committee_name_is_truncated() -> None:
    moment = dt.datetime.fromtimestamp(NOW, dt.UTC)

    assert len(Authority.make("n" * 64, moment).certificate.subject.rfc4514_string()) == 67


def test_without_a_ca_there_are_no_tls_settings(tmp_path: Path) -> None:
    home = Home(tmp_path)

    assert home.ca is None
    assert transport(home, "operator_1") == {}


def test_an_operator_that_joins_gets_a_certificate_of_the_same_authority(tmp_path: Path) -> None:
    home = Home(tmp_path)
    make_authority(home, "test", {}, now=NOW)

    new = ["key", "new", "acme", "https://acme.example.org:5001", "--home", str(tmp_path)]

    for rotate in ([], ["--rotate"]):  # a rotated key keeps the certificate
        with pytest.raises(SystemExit) as done:
            main([*new, *rotate])
        assert not done.value.code

    certificate = read(home.tls_certificate("acme"))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "acme.example.org" in names.get_values_for_type(x509.DNSName)
    certificate.verify_directly_issued_by(read(home.authority_file))
    assert stat.S_IMODE(home.tls_key("acme").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nx\n"])
def test_a_damaged_authority_signs_nothing(tmp_path: Path, content: bytes) -> None:
    home = Home(tmp_path)
    make_authority(home, "test", {}, now=NOW)
    home.authority_file.write_bytes(content)

    with pytest.raises(SettingsError, match="Cannot use the authority of"):
        certify(home, "acme", "https://acme:5001", now=NOW)

    assert not home.tls_key("acme").exists()
