"""HTTPS requests end by their deadline and with a named error."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from urllib3.util import connection as urllib3_connection

from authorities import Papers
from dragon.errors import BadAnswer, PeerError, SettingsError, Unreachable
from dragon.net import tls
from dragon.net.deadlines import DeadlineSocket, TlsSocket
from dragon.net.http_client import HttpClient
from dragon.net.session import make_session
from dragon.net.tls import Tls
from dragon_sequencer.errors import GatewayUnreachable
from dragon_sequencer.gateway import Gateway
from peers import Behaviour, after_request, drips, floods, is_silent, listening, sends

DEADLINE = 0.3  # seconds
SLACK = 1.0  # seconds of delay on a busy machine
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def http(papers: Papers) -> Iterator[HttpClient]:
    made = HttpClient(make_session(papers.ca))
    yield made
    made.close()


def over_tls(shown: Tls, behave: Behaviour) -> Behaviour:
    """Make a TLS handshake, read the head of a request, then behave."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert shown.certfile is not None
    context.load_cert_chain(shown.certfile, shown.keyfile)

    def run(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            after_request(behave)(encrypted)

    return run


def https_server(behave: Behaviour, host: str = "127.0.0.1") -> AbstractContextManager[str]:
    return listening(behave, "https", host)


def refusal(http: HttpClient, url: str, deadline: float = 2) -> PeerError:
    with pytest.raises(PeerError) as refused:
        http.get(url, deadline=deadline)
    return refused.value


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_trusted_certificate_is_accepted(http: HttpClient, shown: Tls, host: str) -> None:
    with https_server(over_tls(shown, sends(OK)), host=host) as url:
        assert http.get(url, deadline=2).successful() == {}


def test_a_response_says_when_the_certificate_expires(http: HttpClient, shown: Tls) -> None:
    assert shown.certfile is not None
    certificate = x509.load_pem_x509_certificate(shown.certfile.read_bytes())

    with https_server(over_tls(shown, sends(OK))) as url:
        expires = http.get(url, deadline=2).certificate_expires
    assert expires == int(certificate.not_valid_after_utc.timestamp())
    with listening(after_request(sends(OK))) as url:
        assert http.get(url, deadline=2).certificate_expires is None


def test_an_unknown_authority_is_not_trusted(http: HttpClient, shown: Tls, tmp_path: Path) -> None:
    stranger = Papers.make(tmp_path).service("stranger")
    with https_server(over_tls(stranger, sends(OK))) as url:
        refused = refusal(http, url)

    assert isinstance(refused, Unreachable)
    assert str(refused) == "no answer: its certificate is not trusted"
    assert refused.facts == {"reason": "tls"}

    system = HttpClient(make_session())
    with https_server(over_tls(shown, sends(OK))) as url:
        assert "not trusted" in str(refusal(system, url))
    system.close()


def test_a_certificate_for_another_address_or_name_is_refused(http: HttpClient, shown: Tls) -> None:
    with https_server(over_tls(shown, sends(OK)), host="127.0.0.2") as url:
        assert str(refusal(http, url)) == "no answer: its certificate is for another address"

    context = tls.client_context(shown.ca)
    with https_server(over_tls(shown, sends(OK))) as url, connected(url) as plain:
        with pytest.raises(ssl.SSLCertVerificationError) as refused:
            context.wrap_socket(plain, server_hostname="example.org")
        assert tls.tls_failure_reason(refused.value) == "its certificate is for another name"


def connected(url: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5)


@pytest.mark.parametrize(("days", "said"), [(-826, "has expired"), (2, "is not valid yet")])
def test_an_expired_or_future_certificate_is_refused(
    http: HttpClient, papers: Papers, days: int, said: str
) -> None:
    dated = papers.service(f"dated-{days}", days=days)
    with https_server(over_tls(dated, sends(OK))) as url:
        assert str(refusal(http, url)) == f"no answer: its certificate {said}"


@pytest.mark.parametrize("raw", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n", bytes(99)])
def test_a_peer_without_tls_is_refused(http: HttpClient, raw: bytes) -> None:
    with https_server(sends(raw)) as url:
        refused = refusal(http, url)

    assert str(refused) == "no answer: it does not support TLS 1.2 or later"
    assert refused.facts == {"reason": "tls"}


def test_a_closed_connection_is_not_a_tls_failure(http: HttpClient) -> None:
    with https_server(lambda connection: connection.recv(65_536)) as url:
        assert refusal(http, url).facts == {"reason": "unreachable"}


def test_plain_http_to_a_tls_service_is_unreachable(http: HttpClient, shown: Tls) -> None:
    with listening(over_tls(shown, sends(OK))) as url:
        assert refusal(http, url).facts == {"reason": "unreachable"}


RECORD = b"\x16\x03\x03\x40\x00"  # a handshake of 16 KB begins

SLOW: dict[str, Callable[[Tls], Behaviour]] = {
    "makes no handshake": lambda _: is_silent,
    "drips its handshake": lambda _: drips(RECORD, b"\x02"),
    "never answers": lambda shown: over_tls(shown, is_silent),
    "drips its answer": lambda shown: over_tls(shown, drips(b"HTTP/1.1 200 OK\r\nA: ", b"b")),
    "drips its body": lambda shown: over_tls(shown, drips(OK[:-2].replace(b"2\r", b"999\r"), b"x")),
}


@pytest.mark.parametrize("manner", SLOW)
def test_a_slow_peer_times_out_at_the_deadline(http: HttpClient, shown: Tls, manner: str) -> None:
    with https_server(SLOW[manner](shown)) as url:
        begun = time.monotonic()
        with pytest.raises(Unreachable) as refused:
            http.get(url, deadline=DEADLINE)
        took = time.monotonic() - begun

    assert refused.value.facts == {"reason": "timeout"}
    assert DEADLINE - 0.05 <= took < DEADLINE + SLACK


def test_a_slow_handshake_leaves_less_time_for_the_response(http: HttpClient, shown: Tls) -> None:
    """The handshake uses half of the deadline; the response gets the rest."""
    answering = over_tls(shown, drips(b"HTTP/1.1 200 OK\r\nA: ", b"b"))

    def late(connection: socket.socket) -> None:
        time.sleep(DEADLINE * 0.6)
        answering(connection)

    with https_server(late) as url:
        begun = time.monotonic()
        with pytest.raises(Unreachable):
            http.get(url, deadline=DEADLINE)
        took = time.monotonic() - begun

    assert took < DEADLINE * 1.5


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_time_for_connecting_counts_against_the_deadline(
    http: HttpClient, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = urllib3_connection.create_connection

    def connect_late(*args: Any, **options: Any) -> socket.socket:
        time.sleep(DEADLINE * 0.8)
        return connect(*args, **options)

    monkeypatch.setattr(urllib3_connection, "create_connection", connect_late)
    with listening(is_silent, scheme) as url:
        begun = time.monotonic()
        with pytest.raises(Unreachable):
            http.get(url, deadline=DEADLINE)

    assert time.monotonic() - begun < DEADLINE * 1.6


def test_a_tls_socket_keeps_the_budget_of_the_plain_socket(shown: Tls) -> None:
    context = tls.client_context(shown.ca)
    with https_server(over_tls(shown, floods(b"HTTP/1.1 200 OK\r\nA: "))) as url:
        adopted = DeadlineSocket.adopt(connected(url))
        adopted.settimeout(2)
        adopted.budget = 50_000
        with context.wrap_socket(adopted, server_hostname="localhost") as wrapped:
            assert isinstance(wrapped, TlsSocket)
            assert wrapped.budget == 50_000
            wrapped.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with pytest.raises(ConnectionAbortedError):
                list(iter(lambda: wrapped.recv(16_384), b""))


def test_a_tls_socket_keeps_the_deadline_of_the_plain_socket(shown: Tls) -> None:
    context = tls.client_context(shown.ca)
    with https_server(over_tls(shown, is_silent)) as url:
        adopted = DeadlineSocket.adopt(connected(url))
        adopted.settimeout(2 * DEADLINE)
        begun = time.monotonic()
        with context.wrap_socket(adopted, server_hostname="localhost") as wrapped:
            time.sleep(max(0.0, begun + DEADLINE - time.monotonic()))
            with pytest.raises(TimeoutError):
                wrapped.recv(1)

    assert time.monotonic() - begun < 2.8 * DEADLINE


def test_a_peer_cannot_send_more_than_the_budget(http: HttpClient, shown: Tls) -> None:
    """A chunk of size -1, which the library would read without end in one call."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"

    with https_server(over_tls(shown, floods(head))) as url:
        begun = time.monotonic()
        assert refusal(http, url, deadline=5).facts == {"reason": "unreachable"}

    assert time.monotonic() - begun < 3


def test_a_body_above_the_limit_is_a_bad_answer(http: HttpClient, shown: Tls) -> None:
    with https_server(over_tls(shown, sends(OK))) as url, pytest.raises(BadAnswer):
        http.get(url, deadline=2, max_bytes=1)


def test_verification_cannot_be_switched_off(
    papers: Papers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = Papers.make(tmp_path)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(stranger.ca))
    session = make_session(papers.ca)
    session.verify = False

    with (
        https_server(over_tls(stranger.service("stranger"), sends(OK))) as url,
        pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        session.get(url, timeout=2, verify=False)
    session.close()


def test_requests_adds_no_authorities(
    papers: Papers, shown: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts: list[ssl.SSLContext] = []
    make = tls.client_context

    def record(ca: Path | None, **options: bool) -> ssl.SSLContext:
        contexts.append(make(ca, **options))
        return contexts[-1]

    monkeypatch.setattr(tls, "client_context", record)
    session = make_session(papers.ca)
    with https_server(over_tls(shown, sends(OK))) as url:
        session.get(url, timeout=2).close()
    session.close()

    assert [len(context.get_ca_certs()) for context in contexts] == [1]


def test_an_unreadable_authority_is_refused_when_the_session_is_made(
    tmp_path: Path, shown: Tls
) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        make_session(tmp_path / "nothing")
    with pytest.raises(SettingsError, match=r"DRAGON_TLS_CA: .* contains no PEM certificate"):
        make_session(shown.keyfile)


def test_a_gateway_error_explains_the_certificate(papers: Papers) -> None:
    session = make_session(papers.ca)
    with https_server(over_tls(papers.expired(), sends(OK))) as url:
        gateway = Gateway(url, session, time.monotonic)
        with pytest.raises(GatewayUnreachable, match="its certificate has expired"):
            gateway.newest("app", seconds=2)
    session.close()
