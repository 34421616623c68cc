"""Unusable certificates and keys are reported before a service starts."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from authorities import Papers
from committees import make_members
from dragon.errors import SettingsError
from dragon.net import tls, tls_names
from dragon.net.deadlines import TlsServerSocket, TlsSocket
from dragon.net.tls import Tls
from dragon.node.settings import Environment
from dragon_cli.main import main


def environ(told: Tls) -> dict[str, str]:
    named = {
        tls_names.CERTFILE: told.certfile,
        tls_names.KEYFILE: told.keyfile,
        tls_names.CA: told.ca,
    }
    return {name: str(path) for name, path in named.items() if path}


def test_without_settings_a_service_uses_plain_http() -> None:
    assert Environment({}).tls() == Tls()
    assert tls.server_context(Tls()) is None


def test_the_settings_are_read(shown: Tls) -> None:
    assert Environment(environ(shown)).tls() == shown


@pytest.mark.parametrize(
    ("missing", "given"),
    [(tls_names.KEYFILE, tls_names.CERTFILE), (tls_names.CERTFILE, tls_names.KEYFILE)],
)
def test_certificate_and_key_need_each_other(shown: Tls, missing: str, given: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Environment({**environ(shown), missing: ""}).tls()

    assert str(refused.value) == f"the setting {missing} is missing; {given} needs it"


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ("missing", "cannot be read: No such file or directory"),
        ("empty", "contains no PEM certificate"),
    ],
)
def test_an_unusable_authority_file_is_named(tmp_path: Path, spoilt: str, said: str) -> None:
    (tmp_path / "empty").touch()

    with pytest.raises(SettingsError) as refused:
        Environment({tls_names.CA: str(tmp_path / spoilt)}).tls()

    assert str(refused.value) == f"DRAGON_TLS_CA: {tmp_path / spoilt} {said}"


def test_both_contexts_require_tls_1_2_and_clients_check_the_host_name(shown: Tls) -> None:
    server, client = tls.server_context(shown), tls.client_context(shown.ca)

    assert server is not None
    assert (server.sslsocket_class, client.sslsocket_class) == (TlsServerSocket, TlsSocket)
    for context in (server, client):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.maximum_version == ssl.TLSVersion.MAXIMUM_SUPPORTED
    assert client.check_hostname
    assert client.verify_mode == ssl.CERT_REQUIRED
    assert len(client.get_ca_certs()) == 1


def locked(papers: Papers) -> bytes:
    return papers.authority.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )


def test_a_faulty_certificate_or_key_file_is_named(papers: Papers, shown: Tls) -> None:
    certfile, keyfile, folder = shown.certfile, shown.keyfile, papers.folder
    other = papers.service("other").keyfile
    (folder / "locked").write_bytes(locked(papers))
    (folder / "text").write_text("no PEM")
    unusable = "contains no PEM private key without a password"
    faults = {
        Tls(folder / "gone", keyfile): f"{tls_names.CERTFILE}: {folder}/gone cannot be read",
        Tls(certfile, folder / "gone"): f"{tls_names.KEYFILE}: {folder}/gone cannot be read",
        Tls(folder, keyfile): f"{tls_names.CERTFILE}: {folder} cannot be read: Is a directory",
        Tls(
            folder / "text", keyfile
        ): f"{tls_names.CERTFILE}: {folder}/text contains no PEM certificate",
        Tls(keyfile, keyfile): f"{tls_names.CERTFILE}: {keyfile} contains no PEM certificate",
        Tls(certfile, folder / "text"): f"{tls_names.KEYFILE}: {folder}/text {unusable}",
        Tls(certfile, certfile): f"{tls_names.KEYFILE}: {certfile} {unusable}",
        Tls(certfile, folder / "locked"): f"{tls_names.KEYFILE}: {folder}/locked {unusable}",
        Tls(certfile, other): f"{tls_names.KEYFILE}: {other} is not the key of the certificate in",
    }
    for told, said in faults.items():
        with pytest.raises(SettingsError) as refused:
            tls.server_context(told)
        assert str(refused.value).startswith(said)
        assert refused.value.facts == {"setting": said.partition(":")[0]}


@pytest.mark.parametrize("change", ["half", "mismatch", "no authority"])
def test_wrong_settings_end_a_service_with_code_2_and_one_sentence(
    papers: Papers,
    shown: Tls,
    change: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "committee.json").write_text(json.dumps(make_members().committee.to_json()))
    told = {
        "half": Tls(shown.certfile, None, None),
        "mismatch": Tls(shown.certfile, papers.service("another").keyfile, None),
        "no authority": Tls(None, None, shown.keyfile),
    }[change]
    for name, value in environ(told).items():
        monkeypatch.setenv(name, value)
    # The development sequencer has the fewest other settings.
    monkeypatch.setenv("SEQUENCER_DATABASE", str(tmp_path / "data" / "sequencer.db"))

    with pytest.raises(SystemExit) as done:
        main(["serve", "sequencer", "--home", str(tmp_path), "--port", "1"])

    said = capsys.readouterr().err
    setting = {
        "half": tls_names.KEYFILE,
        "mismatch": tls_names.KEYFILE,
        "no authority": tls_names.CA,
    }[change]
    assert done.value.code == 2
    assert said.startswith("dragon: failed: settings_error: ")
    assert setting in said.splitlines()[0]
    assert "Traceback" not in said
