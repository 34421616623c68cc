"""The same network with TLS between all services, by the override alone."""

from __future__ import annotations

import ssl
from dataclasses import replace

import pytest
import requests

from dragon.encoding import canonical
from dragon.errors import Unreachable
from dragon.net.stream_upload import StreamUpload
from dragon.protocol.committee import Committee
from dragon.protocol.streams.receipt import Receipt
from dragon.protocol.streams.receipt_verification import refused, verify
from stack import OPERATORS, PORTS, Stack, wait_until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240, func_only=True)]


@pytest.fixture(scope="module")
def encrypted(
    stack_with_tls: Stack, tmp_path_factory: pytest.TempPathFactory, report: list[str]
) -> Stack:
    stack_with_tls.compose("up", "-d")
    healthy = stack_with_tls.wait_healthy()
    folder = tmp_path_factory.mktemp("authority")
    authority = stack_with_tls.copy("operator-1", "/fleet/ca.crt", folder)
    stack_with_tls.authority = str(authority)
    stack_with_tls.wait_settled()
    report.append(f"with TLS: all healthy {healthy:.1f} s after compose was done")
    return stack_with_tls


def test_every_service_answers_to_who_knows_the_authority_and_to_nobody_in_clear(
    encrypted: Stack,
) -> None:
    for service, port in PORTS.items():
        assert encrypted.get(service, "/readyz")["status"] == "ready"
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"https://127.0.0.1:{port}/healthz", timeout=5)
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5)


def test_every_address_in_the_committee_is_https(encrypted: Stack) -> None:
    code, committee = encrypted.run("operator-1", "cat", "/fleet/committee.json")
    assert code == 0
    assert committee.count('"https://') == len(OPERATORS) + 1
    assert "http://" not in committee


def test_the_authoritys_key_is_seen_by_no_service(encrypted: Stack) -> None:
    for service in PORTS:
        own = service.replace("-", "_")
        keys = encrypted.run(service, "find", "/fleet/keys", "-name", "*.key")[1].split()
        assert keys == [f"/fleet/keys/{own}/tls.key"]


def test_a_certificate_is_for_one_name_only(encrypted: Stack) -> None:
    script = (
        "import socket, ssl; c = ssl.create_default_context(cafile='/fleet/ca.crt');"
        "s = socket.create_connection(('operator-2', 5002), 5);"
        "print(c.wrap_socket(s, server_hostname='{}').version())"
    )
    assert encrypted.python("operator-1", script.format("operator-2")) == "TLSv1.3"
    code, printed = encrypted.run("operator-1", "python", "-c", script.format("operator-3"))
    assert code != 0
    assert "CERTIFICATE_VERIFY_FAILED" in printed


def test_data_streams_over_tls_from_the_host_and_from_the_sources(encrypted: Stack) -> None:
    public = encrypted.streams()
    made = public.make({"name": "over-tls", "mode": "message", "window_ms": 1000})
    stream = str(made["stream"])
    client = replace(public, token=str(made["token"]))
    with pytest.raises(Unreachable), replace(client, ca=None).ingest(stream):
        pass

    _, chunks = StreamUpload(client, stream, [b"%d" % number for number in range(20)]).run()

    assert chunks == 20
    wait_until(
        lambda: int(str(client.get(f"/streams/{stream}")["certified"])) >= 1, "it is certified", 45
    )
    receipt = client.get(f"/streams/{stream}/chunks/0/receipt", disclose=1)
    committee = encrypted.run("operator-1", "cat", "/fleet/committee.json")[1]
    found = Receipt.decode(canonical(receipt))
    assert not refused(verify(Committee.load(committee.encode()), found, b"0"))
    listed = encrypted.get("stream-api", "/streams")["streams"]
    assert all(each["chunks"] > 0 for each in listed)
    assert {"sensor", "ticker"} <= {each["name"] for each in listed}


def test_an_outage_is_certified_over_tls(encrypted: Stack) -> None:
    encrypted.container("operator-2").kill()
    encrypted.wait_certified("operator-2", "down")
    encrypted.start("operator-2")
    encrypted.wait_certified("operator-2", "up")
    encrypted.wait_identical()
    assert ssl.create_default_context(cafile=encrypted.authority)


def test_stopping_drains_over_tls_too(encrypted: Stack) -> None:
    encrypted.compose("stop", "-t", "20")
    for service, container in encrypted.containers().items():
        assert container.attrs["State"]["ExitCode"] == 0, service
