"""How targets are reached, over real sockets on this host."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509

from authorities import Papers
from dragon.errors import PeerError
from dragon.net.connecting import Connector
from dragon.net.http_client import MAX_RESPONSE_BYTES
from dragon.net.name_lookup import NameLookups
from dragon.net.runtime import Runtime
from dragon.net.target_network import SocketNetwork, TargetNetwork, real_networks
from dragon.net.tls import Tls
from peers import Behaviour, after_request, is_silent, listening, sends

SLACK = 1.0  # seconds of delay on a busy machine
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture
def public() -> TargetNetwork:
    return real_networks()(False)


@pytest.fixture
def unrestricted(papers: Papers) -> TargetNetwork:
    return real_networks(papers.ca)(True)


def endpoint(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


def over_tls(shown: Tls) -> Behaviour:
    """Complete a TLS handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert shown.certfile is not None
    context.load_cert_chain(shown.certfile, shown.keyfile)

    def run(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            encrypted.recv(1)

    return run


def reason(error: pytest.ExceptionInfo[PeerError]) -> object:
    return error.value.facts["reason"]


def test_hosts_on_this_machine_are_refused_without_a_connection(public: TargetNetwork) -> None:
    arrived: list[bytes] = []
    with listening(after_request(sends(OK % 0), arrived)) as url:
        host, port = endpoint(url)
        for call in (
            lambda: public.exchange("GET", url, deadline=2),
            lambda: public.exchange("GET", f"http://localhost:{port}/", deadline=2),
            lambda: public.connect(host, port, deadline=2),
            lambda: public.handshake(host, port, deadline=2),
        ):
            with pytest.raises(PeerError) as refused:
                call()
            assert reason(refused) == "private_address"

    assert arrived == []


def test_the_networks_of_a_real_service_tell_targets_apart() -> None:
    networks = Runtime.real().networks

    assert networks(True) is not networks(False)
    assert networks(True) is networks(True)


def test_a_permitted_host_is_reached_by_its_name_at_the_address_that_was_found() -> None:
    asked: list[str] = []
    heads: list[bytes] = []

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    network = SocketNetwork.create(Connector(NameLookups(resolve)))
    with listening(after_request(sends(OK % 0), heads)) as url:
        answer = network.exchange("GET", f"http://site.example:{endpoint(url)[1]}/", deadline=2)

    assert (answer.status, asked) == (200, ["site.example"])
    assert b"\r\nHost: site.example:" in heads[0]


def test_a_larger_response_is_cut_on_request(unrestricted: TargetNetwork) -> None:
    body = bytes(2 * MAX_RESPONSE_BYTES)
    with listening(after_request(sends(OK % len(body) + body))) as url:
        answer = unrestricted.exchange("GET", url, deadline=5, cut=True)
    with (
        listening(after_request(sends(OK % len(body) + body))) as url,
        pytest.raises(PeerError) as refused,
    ):
        unrestricted.exchange("GET", url, deadline=5)

    assert (len(answer.body), reason(refused)) == (MAX_RESPONSE_BYTES, "too_large")


def test_a_connection_that_is_accepted_and_one_that_is_refused(
    unrestricted: TargetNetwork,
) -> None:
    with listening(is_silent) as url:
        unrestricted.connect(*endpoint(url), deadline=2)
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(PeerError) as refused:
        unrestricted.connect("127.0.0.1", port, deadline=2)

    assert reason(refused) == "refused"


def test_a_handshake_returns_when_the_certificate_expires(
    unrestricted: TargetNetwork, shown: Tls
) -> None:
    assert shown.certfile is not None
    certificate = x509.load_pem_x509_certificate(shown.certfile.read_bytes())
    with listening(over_tls(shown)) as url:
        expires = unrestricted.handshake(*endpoint(url), deadline=5)

    assert expires == certificate.not_valid_after_utc.timestamp()


def test_a_handshake_verifies_chain_host_name_and_dates(papers: Papers, shown: Tls) -> None:
    trusting = SocketNetwork.create(Connector(NameLookups(lambda *_: ["127.0.0.1"])), papers.ca)
    system = SocketNetwork.create(Connector())
    with listening(over_tls(shown)) as url, pytest.raises(PeerError, match="another name"):
        trusting.handshake("other.example", endpoint(url)[1], deadline=5)
    with listening(over_tls(shown)) as url, pytest.raises(PeerError, match="not trusted"):
        system.handshake(*endpoint(url), deadline=5)
    with listening(over_tls(papers.expired())) as url, pytest.raises(PeerError) as refused:
        trusting.handshake(*endpoint(url), deadline=5)

    assert "expired" in str(refused.value)
    assert reason(refused) == "tls"


def test_the_systems_authorities_count_beside_those_of_the_fleet(
    tmp_path: Path, papers: Papers, shown: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Papers.make(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(papers.ca))  # read by OpenSSL: the system's
    network = SocketNetwork.create(Connector(), fleet.ca)

    for serving in (shown, fleet.service("own")):
        with listening(over_tls(serving)) as url:
            assert network.handshake(*endpoint(url), deadline=5)
    with listening(over_tls(shown), "https") as url, pytest.raises(PeerError) as refused:
        network.exchange("GET", url, deadline=5)
    assert reason(refused) != "tls"


def test_a_handshake_that_hangs_ends_at_its_deadline(unrestricted: TargetNetwork) -> None:
    with listening(is_silent) as url:
        begun = time.monotonic()
        with pytest.raises(PeerError) as refused:
            unrestricted.handshake(*endpoint(url), deadline=0.2)

    assert reason(refused) == "timeout"
    assert time.monotonic() - begun < 0.2 + SLACK


def test_a_name_that_does_not_exist_has_its_reason() -> None:
    def resolve(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    network = SocketNetwork.create(Connector(NameLookups(resolve)))
    for call in (network.connect, network.handshake):
        with pytest.raises(PeerError) as refused:
            call("name.example", 80, deadline=2)
        assert reason(refused) == "no_such_name"
