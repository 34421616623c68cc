"""Webhooks to a local receiver that fails, hangs, closes, redirects, limits and lies."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from alerting import PaperFleet, config
from dragon.encoding import parse
from dragon.net.http_client import HttpClient
from dragon.protocol import event
from dragon_explorer.alerts.channels import INCOMPLETE, Webhook
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.alerts.config import AlertsConfig
from dragon_explorer.alerts.delivery import Worker
from dragon_explorer.alerts.routes import Route

SECRET = b"s" * 32
PATH = "/hooks/secret-path"
DEADLINE_SECONDS = 0.5  # for a receiver that hangs


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
    """Verify a request as the specification of Standard Webhooks says."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


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
