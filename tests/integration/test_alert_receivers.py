"""Webhooks to a local receiver that fails, hangs, closes, redirects, limits and lies."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Library

from alerting import PaperFleet, config
from authorities import Papers
from dragon.encoding import parse
from dragon.net.http_client import HttpClient
from dragon.protocol import event
from dragon_explorer.alerts.channels import INCOMPLETE, Attempt, Webhook, secret_text
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.alerts.config import AlertsConfig
from dragon_explorer.alerts.delivery import Worker
from dragon_explorer.alerts.outbox import Message
from dragon_explorer.alerts.routes import Route
from peers import Behaviour, drips, floods, is_silent, listening, sends

SECRET = b"s" * 32
PATH = "/hooks/secret-path"
DEADLINE_SECONDS = 0.5  # for a receiver that hangs
SLACK_SECONDS = 1.5  # of delay on a busy machine
MESSAGE = Message("msg_1", "nodes", "node_down.begun", 0.0, "title", "text", "{}")
ACCEPTED = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass
class Server:
    """A receiver. `manners` are applied to requests in turn; then everything is accepted."""

    manners: list[str] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    hanging: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.requests.append((handler.path, headers, body))
        handler.close_connection = True
        manner = self.manners.pop(0) if self.manners else "accept"
        if manner == "hang":
            self.hanging.set()
            self.released.wait(30)
        elif manner != "close":
            self._answer(handler, manner, headers, body)

    def _answer(
        self, handler: BaseHTTPRequestHandler, manner: str, headers: dict[str, str], body: bytes
    ) -> None:
        status = {"fail": 500, "limit": 429, "redirect": 302}.get(manner, 200)
        handler.send_response(status)
        answer = b""
        if manner == "limit":
            handler.send_header("Retry-After", "90")
        elif manner == "redirect":
            handler.send_header("Location", f"{self.url}/elsewhere")
        elif manner == "fail":  # it echoes what it has received
            detail = f"{PATH} {headers.get('webhook-signature')} {SECRET.decode()}"
            answer = json.dumps({"detail": detail}).encode()
        elif manner == "flood":
            answer = b"x" * 100_000
        length = len(answer) + (50 if manner == "lie" else 0)
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(answer)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.handle(self)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    made.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    yield made
    made.released.set()
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def with_route(server: Server) -> AlertsConfig:
    made = config(Condition.NODE_DOWN)
    route = Route("team", "webhook", f"{server.url}{PATH}", (SECRET,))
    return replace(made, routes={"team": route})


def use_webhook(fleet: PaperFleet) -> Worker:
    """Give the fleet's route a real webhook in place of the receiver in memory."""
    route = fleet.config.routes["team"]
    channel = Webhook(route, HttpClient.create(), lambda: fleet.now, DEADLINE_SECONDS)
    worker = Worker("team", channel, fleet.alerting.outbox, lambda: fleet.now, bytes)
    fleet.alerting = replace(fleet.alerting, workers=[worker])
    return worker


def check_signature(headers: dict[str, str], body: bytes) -> None:
    """Compare a signature with that of the library for receivers."""
    sent_at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    expected = Library(secret_text(SECRET)).sign(headers["webhook-id"], sent_at, body.decode())
    assert headers["webhook-signature"] == expected


MANNERS = ("fail", "hang", "close", "limit", "redirect", "lie", "flood")
ERRORS = [
    "answered 500",
    "no answer in time",
    INCOMPLETE,
    "answered 429",
    "answered 302: redirects are not followed; set the final URL",
    INCOMPLETE,
    "the answer has more than 16384 bytes",
]


def test_a_bad_receiver_gets_the_message_until_it_accepts_it(
    tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.manners = list(MANNERS)
    with PaperFleet(tmp_path, with_route(server)) as fleet:
        use_webhook(fleet)
        fleet.up("target_1")
        fleet.pass_time(10)
        fleet.down("target_1")
        fleet.pass_time(2000, step=5)
        page = fleet.app().test_client().get("/api/alerts").text

    assert len(server.requests) == len(MANNERS) + 1
    assert {path for path, _, _ in server.requests} == {PATH}  # no redirect was followed
    assert len({headers["webhook-id"] for _, headers, _ in server.requests}) == 1
    assert len({body for _, _, body in server.requests}) == 1
    times = [int(headers["webhook-timestamp"]) for _, headers, _ in server.requests]
    assert times == sorted(set(times))
    assert times[4] - times[3] >= 90  # Retry-After
    for _, headers, body in server.requests:
        check_signature(headers, body)
    said: Any = parse(server.requests[-1][2])
    event.decode(said["data"]["incidents"][0]["event"]).verify(fleet.committee)
    fields: list[Any] = [vars(record).get("fields", {}) for record in caplog.records]
    assert [each["detail"] for each in fields] == ERRORS
    for shown in (page, caplog.text, str(fields)):
        assert "secret-path" not in shown
        assert SECRET.decode() not in shown
    assert json.loads(page)["deliveries"][0]["state"] == "delivered"


def test_a_receiver_that_hangs_delays_no_other(tmp_path: Path, server: Server) -> None:
    server.manners = ["hang"]
    made = with_route(server)
    rule = replace(made.rules[0], routes=("team", "other"))
    routes = {**made.routes, "other": Route("other", "webhook", "http://127.0.0.1/")}
    with PaperFleet(tmp_path, AlertsConfig((rule,), routes)) as fleet:
        workers = fleet.alerting.workers
        fleet.alerting = replace(fleet.alerting, workers=())
        fleet.up("target_1")
        fleet.pass_time(10)
        fleet.down("target_1")
        fleet.pass_time(10)
        thread = threading.Thread(target=use_webhook(fleet).step)
        thread.start()
        assert server.hanging.wait(30)

        assert workers[1].step()

        assert fleet.receiver.types == ["node_down.begun"]
        server.released.set()
        thread.join(30)


# One attempt at receivers that break the protocol.


def after_message(behave: Behaviour, heads: list[bytes] | None = None) -> Behaviour:
    """Read the whole request, and behave. Unread bytes would reset the connection at its end."""

    def run(connection: socket.socket) -> None:
        received = b""
        while not received.endswith(MESSAGE.body.encode()):
            if not (piece := connection.recv(65_536)):
                return
            received += piece
        if heads is not None:
            heads.append(received)
        behave(connection)

    return run


def attempt(url: str, ca: Path | None = None, *, seconds: float = DEADLINE_SECONDS) -> Attempt:
    """Make one attempt, and check that nothing secret is in its outcome."""
    http = HttpClient.create(ca)
    route = Route("team", "webhook", f"{url}{PATH}", (SECRET,))
    found = Webhook(route, http, lambda: 1.0, seconds).send(MESSAGE)
    http.close()
    assert "secret" not in found.error
    return found


ECHO = b"POST " + PATH.encode()
OK = b"HTTP/1.1 200 OK\r\n"
TOO_LONG = "the answer has more than 16384 bytes"
NOT_HTTP = "no answer: the answer is not valid HTTP"
HOSTILE: dict[str, tuple[Behaviour, str]] = {
    "body without end": (floods(OK + b"\r\n", ECHO * 1000), TOO_LONG),
    "chunks without end": (
        floods(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n"),
        TOO_LONG,
    ),
    "header without end": (floods(OK + b"A: ", ECHO * 1000), INCOMPLETE),
    "headers without end": (floods(OK, b"A: b\r\n" * 1000), INCOMPLETE),
    "status line that drips": (drips(b"", b"H"), "no answer in time"),
    "body that drips": (
        drips(OK + b"Content-Length: 9000\r\n\r\n", b"x"),
        "no answer in time",
    ),
    "closed before the status": (sends(b""), INCOMPLETE),
    "closed within the headers": (sends(OK + b"Content-Len"), ""),
    "closed within the body": (sends(OK + b"Content-Length: 9\r\n\r\nx"), INCOMPLETE),
    "no HTTP": (sends(ECHO + b" what?\r\n\r\n"), INCOMPLETE),
    "status that is no number": (sends(b"HTTP/1.1 OK " + ECHO + b"\r\n\r\n"), INCOMPLETE),
    "200 with garbage": (sends(OK + b"Content-Length: 4\r\n\r\n\xff\x00{]"), ""),
    "200 with a broken encoding": (
        sends(OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\xff\x00{]"),
        "",
    ),
}


@pytest.mark.parametrize("manner", HOSTILE)
def test_a_hostile_receiver_takes_bounded_time_and_memory(manner: str) -> None:
    behave, error = HOSTILE[manner]
    tracemalloc.start()
    begun = time.monotonic()
    with listening(after_message(behave)) as url:
        found = attempt(url)
        took = time.monotonic() - begun
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found.error == error
    assert took < DEADLINE_SECONDS + SLACK_SECONDS
    assert peak < 4_000_000


def over_tls(certificate: Any, behave: Behaviour) -> Behaviour:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certfile, certificate.keyfile)

    def run(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            behave(encrypted)

    return run


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers.make(tmp_path_factory.mktemp("papers"))


def test_a_receiver_without_the_right_certificate_receives_nothing(papers: Papers) -> None:
    heads: list[bytes] = []
    seen = after_message(sends(ACCEPTED), heads)
    shown = papers.service("receiver")
    cases = [
        (papers.service("other", "other.example"), papers.ca, "its certificate is for another"),
        (papers.expired(), papers.ca, "its certificate has expired"),
        (shown, None, "its certificate is not trusted"),
    ]
    for certificate, ca, why in cases:
        host = "127.0.0.2" if certificate is cases[0][0] else "127.0.0.1"
        with listening(over_tls(certificate, seen), "https", host) as url:
            assert f"no answer: {why}" in attempt(url, ca, seconds=5).error
    with listening(is_silent, "https") as url:
        assert attempt(url, papers.ca).error == "no answer in time"
    with listening(seen, "https") as url:  # the port speaks plain HTTP
        assert attempt(url, papers.ca).error
    assert PATH.encode() not in b"".join(heads)
    with listening(over_tls(shown, seen), "https") as url:
        assert attempt(url, papers.ca, seconds=5) == Attempt()
    assert PATH.encode() in heads[-1]


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_a_receiver_at_an_ipv6_address() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("needs IPv6")
    port = listener.getsockname()[1]

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            after_message(sends(ACCEPTED))(connection)

    with closing(listener):
        thread = threading.Thread(target=answer)
        thread.start()
        assert attempt(f"http://[::1]:{port}", seconds=5) == Attempt()
        thread.join(5)
    route = Route("team", "webhook", f"http://[::1]:{port}{PATH}")
    assert route.target == f"http://[::1]:{port}"


NAME = "hooks.example"


@contextmanager
def resolver(monkeypatch: pytest.MonkeyPatch, look_up: Callable[[], Any]) -> Iterator[None]:
    """Let lookups of `NAME` end as `look_up` says."""
    real = socket.getaddrinfo

    def found(host: str, *rest: Any, **options: Any) -> Any:
        return look_up() if host == NAME else real(host, *rest, **options)

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", found)
        yield


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (socket.EAI_NONAME, "no answer: the host name does not exist"),
        (socket.EAI_AGAIN, "no answer: the host name could not be looked up"),
    ],
)
def test_a_name_that_cannot_be_looked_up(
    monkeypatch: pytest.MonkeyPatch, number: int, error: str
) -> None:
    def fail() -> Any:
        raise socket.gaierror(number, "secret")

    with resolver(monkeypatch, fail):
        assert attempt(f"http://{NAME}").error == error


def test_a_resolver_that_hangs_ends_the_attempt_and_delays_no_other_route(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, released = threading.Event(), threading.Event()

    def hang() -> Any:
        asked.set()
        released.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "secret")

    found: list[Attempt] = []
    with (
        resolver(monkeypatch, hang),
        listening(after_message(sends(ACCEPTED))) as url,
    ):
        slow = threading.Thread(target=lambda: found.append(attempt(f"http://{NAME}", seconds=3)))
        slow.start()
        assert asked.wait(30)
        assert attempt(url, seconds=5) == Attempt()  # while the first one waits
        assert found == []
        slow.join(30)
        released.set()

    [late] = found
    assert late.error == "no answer: the host name could not be looked up"


def test_a_closed_port() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]

    assert attempt(f"http://127.0.0.1:{port}").error == "no answer: the connection was refused"
