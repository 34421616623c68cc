"""WebSockets of a real stream service, and clients that violate the protocol.

Neither prover nor aggregator runs: data is accepted without them. No client may block other clients
or make the service's memory grow.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

import forked
from dragon.node.sockets import MAX_LISTENERS_PER_ADDRESS
from dragon.node.websocket import MAX_TEXT_BYTES
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import STREAMS, Home
from ports import free_block

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

MAX_PENDING_WINDOWS: Final = 2  # no window is ever certified, so credit ends soon
CREDIT_BYTES: Final = 4 << 20
CHUNK_BYTES: Final = 65_536
MAX_GROWTH_MIB: Final = 48.0  # of memory, while a client sends a hundred


@dataclass
class Service:
    """A running stream service, without any other service."""

    home: Home
    port: int
    process: forked.Process

    @property
    def url(self) -> str:
        return self.home.services()[STREAMS]

    def token(self) -> str:
        return self.home.token(STREAMS).read_text().strip()

    def ask(self, method: str, path: str, token: str = "", **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        verify = str(self.home.ca) if self.url.startswith("https") else True
        return requests.request(
            method, self.url + path, headers=headers, timeout=10, verify=verify, **more
        )

    def make(self, name: str, **settings: Any) -> tuple[str, str]:
        """Create a stream with windows of one chunk by default. Return its path and token."""
        body = {"name": name, "window_chunks": 1, "window_ms": 600_000, **settings}
        made = self.ask("POST", "/streams", self.token(), json=body).json()
        return f"/streams/{made['stream']}", made["token"]

    def socket(self, path: str, token: str = "") -> ClientConnection:
        secure = self.url.startswith("https")
        return connect(
            "ws" + self.url.removeprefix("http") + path,
            additional_headers={"Authorization": f"Bearer {token}"} if token else None,
            ssl=ssl.create_default_context(cafile=str(self.home.ca)) if secure else None,
            open_timeout=10,
            max_size=1 << 20,
        )

    def memory(self) -> float:
        """Private memory of the service's processes in MiB."""
        kib = 0
        for entry in Path("/proc").iterdir():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == self.process.pid:  # its session
                    lines = (entry / "smaps_rollup").read_text().splitlines()
                    kib += sum(int(line.split()[1]) for line in lines if "Private_" in line)
            except (OSError, ValueError):
                continue
        return kib / 1024

    def start(self) -> None:
        log = (self.home.path / "stream.log").open("ab")
        with log:
            self.process = forked.start(
                ["serve", "stream", "--home", self.home.path],
                stdout=log,
                environ={**os.environ, "STREAM_WAITING": str(MAX_PENDING_WINDOWS)},
                new_session=True,
            )
        ends = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None, (self.home.path / "stream.log").read_text()
            assert time.monotonic() < ends
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return self.ask("GET", "/healthz").ok
        except requests.ConnectionError:
            return False

    def kill(self) -> None:
        os.killpg(self.process.pid, 9)
        self.process.wait(10)


@contextmanager
def serving(folder: Path, *, tls: bool = False) -> Iterator[Service]:
    base = free_block(8)
    ports = Ports(base, base + 4, base + 5, prover=base + 6, streams=base + 7)
    home = Home(folder / "fleet")
    make_fleet(home, Plan(ports=ports, tls=tls), genesis=int(time.time()))
    service = Service(home, base + 7, None)  # type: ignore[arg-type]
    service.start()
    try:
        yield service
    finally:
        service.process.terminate()
        assert service.process.wait(10) == 0
        assert "Traceback" not in (home.path / "stream.log").read_text()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("sockets")) as running:
        yield running


@pytest.fixture(autouse=True)
def others_are_served(service: Service) -> Iterator[None]:
    """During and after each test, other clients are served."""
    path, token = service.make("bystander", mode="message", window_chunks=4095)
    with service.socket(f"{path}/ingest", token) as bystander:
        before = receive_until(bystander, "credit")[0]["sequence"]
        yield
        assert service.ask("GET", "/healthz").elapsed.total_seconds() < 2
        bystander.send(b"still here")
        assert receive_until(bystander, "accepted")[-1]["sequence"] == before + 1


def receive_until(ws: ClientConnection, last: str) -> list[dict[str, Any]]:
    """All messages up to one of that type."""
    messages: list[dict[str, Any]] = []
    while not messages or messages[-1]["type"] != last:
        messages.append(json.loads(ws.recv(timeout=10)))
    return messages


def closed(ws: ClientConnection) -> tuple[int, str]:
    """The code and reason with which the service closes the connection."""
    with pytest.raises(ConnectionClosed) as ended:
        listen(ws)
    assert ended.value.rcvd is not None, "the connection ended without a close frame"
    return ended.value.rcvd.code, ended.value.rcvd.reason


def listen(ws: ClientConnection) -> None:
    while True:
        ws.recv(timeout=15)


def raw_socket(service: Service, path: str, token: str = "") -> socket.socket:
    """An upgraded connection on which the test sends raw bytes."""
    made = socket.create_connection(("127.0.0.1", service.port), timeout=15)
    made.sendall(handshake(path, token))
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += made.recv(4096)
    assert answer.startswith(b"HTTP/1.1 101"), answer
    return made


def handshake(path: str, token: str = "") -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *([f"Authorization: Bearer {token}"] if token else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


# -- the protocol ---------------------------------------------------------------------------------


def test_accepted_messages_contain_sequence_and_bytes(service: Service) -> None:
    path, token = service.make("accepted", mode="message")
    with service.socket(f"{path}/ingest", token) as ws:
        hello, credit = receive_until(ws, "credit")
        ws.send(b"21.5")
        messages = receive_until(ws, "accepted")

    assert (hello["type"], hello["sequence"], hello["bytes"]) == ("hello", 0, 0)
    assert credit["bytes"] == CREDIT_BYTES
    assert messages[-1] == {"type": "accepted", "sequence": 1, "bytes": 4}


def test_events_are_sent_to_every_listener(service: Service) -> None:
    path, token = service.make("events")
    with service.socket(f"{path}/events") as listener:
        service.ask("POST", f"{path}/data", token, data=b"x" * CHUNK_BYTES)
        event = receive_until(listener, "closed")[-1]
        listener.send("a message")
        assert closed(listener) == (1008, "this socket accepts no messages")

    assert event == {"type": "closed", "window": 0, "first": 0, "count": 1}


def test_a_client_can_end_a_window(service: Service) -> None:
    path, token = service.make("ended", window_chunks=63)
    with service.socket(f"{path}/ingest", token) as ws:
        assert receive_until(ws, "credit")[0]["end_window"] is True
        ws.send(b"a few bytes")
        ws.send('{"type":"end_window"}')
        event = receive_until(ws, "closed")[-1]

    assert event == {"type": "closed", "window": 0, "first": 0, "count": 1}


def test_a_second_connection_takes_the_stream_over(service: Service) -> None:
    path, token = service.make("over")
    with service.socket(f"{path}/ingest", token) as first:
        receive_until(first, "credit")
        with service.socket(f"{path}/ingest", token) as second:
            receive_until(second, "credit")
            assert closed(first) == (1008, "another connection has taken over this stream")


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("21.5 degrees", 1007, "a text message must be JSON; send data in binary messages"),
        ("{", 1007, "a text message must be JSON; send data in binary messages"),
        ('{"type":"more"}', 1008, "type"),
        ('{"type":"flush","now":1}', 1008, "now"),
        ("[]", 1008, "object"),
        ("x" * (MAX_TEXT_BYTES + 1), 1009, str(MAX_TEXT_BYTES)),
    ],
    ids=["words", "half", "unknown", "more", "list", "long"],
)
def test_an_invalid_text_message_closes_the_connection(
    service: Service, text: str, code: int, reason: str
) -> None:
    path, token = service.make("text")
    with service.socket(f"{path}/ingest", token) as ws:
        receive_until(ws, "credit")
        ws.send(text)
        found = closed(ws)

    assert found[0] == code
    assert reason in found[1]


def test_invalid_frames_close_the_connection(service: Service) -> None:
    path, token = service.make("noise")
    for noise in (os.urandom(4096), b"\x81\x85\0\0\0\0\xff\xff\xff\xff\xff", b"\xff" * 64):
        with closing(raw_socket(service, f"{path}/ingest", token)) as peer:
            peer.sendall(noise)
            while peer.recv(65_536):
                pass  # until the service closes the connection


@pytest.mark.parametrize(
    ("path", "token", "status", "title"),
    [
        ("/ingest", "", 401, "unauthorized"),
        ("/ingest", "wrong", 401, "unauthorized"),
        ("/nowhere", "", 404, None),
    ],
)
def test_errors_are_reported_before_the_upgrade(
    service: Service, path: str, token: str, status: int, title: str | None
) -> None:
    stream, _ = service.make("refusing")
    with pytest.raises(InvalidStatus) as refused, service.socket(stream + path, token):
        pass

    response = refused.value.response
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert title is None or json.loads(response.body or b"")["title"] == title


def test_an_unknown_stream_or_a_missing_handshake_is_refused(service: Service) -> None:
    stream, token = service.make("refusing")
    with pytest.raises(InvalidStatus) as refused, service.socket(f"/streams/0x{'0' * 64}/events"):
        pass

    assert refused.value.response.status_code == 404
    plain = service.ask("GET", f"{stream}/ingest", token)
    assert plain.status_code == 400
    assert plain.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"HTTP/1.1", b"HTTP/1.0"), 400),
        ((b"dGhlIHNhbXBsZSBub25jZQ==", b"AAAA"), 400),
        ((b"dGhlIHNhbXBsZSBub25jZQ==", b"not Base64 at all"), 400),
        ((b"Version: 13", b"Version: 8"), 400),
        ((b"Upgrade: websocket", b"Upgrade: websocket\r\nOrigin: https://evil.example"), 403),
        ((b"Upgrade: websocket", b"Upgrade: websocket\r\nOrigin: null"), 403),
        ((b"Upgrade: websocket", b"Upgrade: websocket\r\nOrigin: http://127.0.0.1"), 101),
    ],
)
def test_only_proper_handshakes_of_permitted_pages_are_upgraded(
    service: Service, change: tuple[bytes, bytes], status: int
) -> None:
    path, _ = service.make("shaken")
    request = handshake(f"{path}/events")
    assert change[0] in request
    with closing(socket.create_connection(("127.0.0.1", service.port), timeout=10)) as peer:
        peer.sendall(request.replace(*change))
        assert int(peer.recv(4096).split()[1]) == status


# -- clients that violate the protocol ------------------------------------------------------------


GONE: Final = r"(?i)reset|broken pipe"


def flood(peer: socket.socket, block: bytes, measure: Callable[[], None]) -> None:
    """Send up to a hundred blocks without reading. Raises OSError: the connection was closed."""
    for _ in range(100):
        measure()
        peer.sendall(block)


def test_data_beyond_the_credit_closes_the_connection(service: Service) -> None:
    """Two windows are pending already, so no more credit is granted."""
    path, token = service.make("greedy")
    with service.socket(f"{path}/ingest", token) as ws:
        granted = receive_until(ws, "credit")[-1]["bytes"]
        for _ in range(granted // CHUNK_BYTES):
            ws.send(bytes(CHUNK_BYTES))
        until_accepted(ws, granted)
        ws.send(b"one more")
        code, reason = closed(ws)

    assert (code, reason) == (
        1009,
        f"more data than the {granted} bytes of credit that were granted",
    )
    assert service.ask("GET", path).json()["bytes"] == granted
    assert service.ask("POST", f"{path}/data", token, data=b"more").status_code == 429


def until_accepted(ws: ClientConnection, size: int) -> None:
    while receive_until(ws, "accepted")[-1]["bytes"] < size:
        pass


def test_a_message_larger_than_a_chunk_closes_the_connection(service: Service) -> None:
    path, token = service.make("large", mode="message")
    with service.socket(f"{path}/ingest", token) as ws:
        receive_until(ws, "credit")
        ws.send(bytes(CHUNK_BYTES + 1))
        code, reason = closed(ws)

    assert (code, reason) == (
        1009,
        f"the message exceeds {CHUNK_BYTES} bytes, the limit of this stream",
    )
    assert service.ask("GET", path).json()["chunks"] == 0


@pytest.mark.parametrize("mode", ["bytes", "message"])
def test_a_frame_of_a_hundred_megabytes_is_never_buffered(service: Service, mode: str) -> None:
    path, token = service.make(f"frame-{mode}", mode=mode)
    block = bytes(1 << 20)
    head = b"\x82\xff" + (100 << 20).to_bytes(8, "big") + bytes(4)
    with closing(raw_socket(service, f"{path}/ingest", token)) as peer:
        before, seen = service.memory(), list[float]()
        peer.sendall(head)
        with pytest.raises(OSError, match=GONE):
            flood(peer, block, lambda: seen.append(service.memory()))

    assert max(seen) - before < MAX_GROWTH_MIB
    assert service.memory() - before < MAX_GROWTH_MIB
    assert service.ask("GET", path).json()["bytes"] <= CREDIT_BYTES


def test_a_client_that_never_reads_is_disconnected(service: Service) -> None:
    """Its pings are answered until its buffers are full; then the connection is closed."""
    path, token = service.make("deaf")
    ping = Frame(Opcode.PING, bytes(125)).serialize(mask=True)
    with closing(raw_socket(service, f"{path}/ingest", token)) as peer:
        before, seen = service.memory(), list[float]()
        with pytest.raises(OSError, match=GONE):
            flood(peer, ping * 4096, lambda: seen.append(service.memory()))

    assert max(seen) - before < MAX_GROWTH_MIB


def test_five_hundred_sockets_leave_room_for_others(service: Service) -> None:
    path, token = service.make("crowd")
    with ExitStack() as stack:
        before, crowd = service.memory(), []
        for _ in range(500):
            peer = socket.create_connection(("127.0.0.1", service.port), timeout=20)
            stack.enter_context(closing(peer))
            peer.sendall(handshake(f"{path}/events"))
            crowd.append(peer)
        answers = [peer.recv(4096).split(b"\r\n")[0] for peer in crowd]

        assert service.ask("GET", "/healthz").ok
        assert service.ask("POST", f"{path}/data", token, data=b"served").ok
        assert service.memory() - before < MAX_GROWTH_MIB

    upgraded = answers.count(b"HTTP/1.1 101 Switching Protocols")
    assert upgraded == MAX_LISTENERS_PER_ADDRESS
    assert {answer.split()[1] for answer in answers} == {b"101", b"503"}


def test_listeners_never_keep_the_owner_out(service: Service) -> None:
    path, token = service.make("kept-in")
    with ExitStack() as stack:
        for _ in range(MAX_LISTENERS_PER_ADDRESS):
            stack.enter_context(closing(raw_socket(service, f"{path}/events")))
        with pytest.raises(InvalidStatus, match="503"), service.socket(f"{path}/events"):
            pass
        with service.socket(f"{path}/ingest", token) as ws:
            assert receive_until(ws, "credit")[-1]["bytes"] == CREDIT_BYTES
        with service.socket(f"{path}/events", token):
            pass


SLOW = {
    "idle": b"",
    "half a head": b"GET /readyz HTTP/1.1\r\nHo",
    "a slow body": b"POST /streams HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n{",
    "a slow long body": b"POST /streams HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n{",
    "an unread response": b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 9,
}


@pytest.mark.parametrize("kind", SLOW)
def test_slow_connections_do_not_delay_others(service: Service, kind: str) -> None:
    """200 connections that wait; a request and an upload are served before their deadlines.

    They would wait in every attempt; a busy machine is slow in one.
    """
    path, token = service.make(f"beside-{kind.replace(' ', '-')}")

    attempts = (seconds_beside(service, SLOW[kind], path, token) for _ in range(3))

    assert any(took < 2.5 for took in attempts), "all 200 connections end after 3 s"


def seconds_beside(service: Service, sent: bytes, path: str, token: str) -> float:
    """Return the time of a request and an upload beside 200 connections that have sent this."""
    with ExitStack() as stack:
        for _ in range(200):
            peer = socket.create_connection(("127.0.0.1", service.port), timeout=10)
            stack.enter_context(closing(peer)).sendall(sent)
        begun_at = time.monotonic()
        assert service.ask("GET", "/readyz").status_code == 503  # no ledger runs
        with service.socket(f"{path}/ingest", token) as ws:
            receive_until(ws, "credit")
            ws.send(b"in time")
            ws.send('{"type":"flush"}')
            receive_until(ws, "accepted")
        return time.monotonic() - begun_at


def test_new_sockets_are_accepted_after_the_others_close(service: Service) -> None:
    path, _ = service.make("crowd")
    ends = time.monotonic() + 10
    while not upgrades(service, f"{path}/events"):
        assert time.monotonic() < ends
        time.sleep(0.2)


def upgrades(service: Service, path: str) -> bool:
    try:
        with service.socket(path):
            return True
    except InvalidStatus as refused:
        return refused.response.status_code != 503


# -- stops and kills -----------------------------------------------------------------------------


def test_a_stop_closes_sockets_and_a_kill_loses_no_accepted_data(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        path, token = service.make("through", window_chunks=4095, chunk_bytes=1000)
        sent = os.urandom(64_000)
        with service.socket(f"{path}/ingest", token) as ws:
            receive_until(ws, "credit")
            ws.send(sent[:32_000])
            until_accepted(ws, 32_000)
            ws.send(sent[32_000:32_500])
            service.kill()
        service.start()

        with service.socket(f"{path}/ingest", token) as ws:
            at = receive_until(ws, "credit")[0]["bytes"]
            assert 32_000 <= at <= 32_500
            ws.send(sent[at:])
            ws.send('{"type":"flush"}')
            until_accepted(ws, 64_000)
            begun = time.monotonic()
            service.process.terminate()
            assert closed(ws) == (1001, "the service is stopping")
        assert service.process.wait(10) == 0
        assert time.monotonic() - begun < 5  # an open socket does not delay the stop
        service.start()

        assert service.ask("GET", path).json()["bytes"] == 64_000


def test_data_is_accepted_over_tls(tmp_path: Path) -> None:
    with serving(tmp_path, tls=True) as service:
        assert service.url.startswith("https://")
        path, token = service.make("secret", window_chunks=2)
        with service.socket(f"{path}/ingest", token) as ws:
            receive_until(ws, "credit")
            ws.send(os.urandom(3 * CHUNK_BYTES))
            until_accepted(ws, 3 * CHUNK_BYTES)
        untrusting = ssl.create_default_context()
        address = f"wss://127.0.0.1:{service.port}{path}/events"
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(address, ssl=untrusting, open_timeout=10)
        with pytest.raises((OSError, InvalidMessage)):  # no TLS on a TLS port
            connect(address.replace("wss:", "ws:"), open_timeout=5)
