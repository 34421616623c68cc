"""What a stream client tries again, and what is final: over real sockets."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from authorities import Papers
from dragon.errors import BadAnswer, DragonError, NotFound, PeerError, Unauthorized
from dragon.net.http_client import HttpClient, retry_after
from dragon.net.retries import is_temporary
from dragon.net.stream_client import StreamClient
from dragon.net.tls import Tls, server_context

STREAM = "0x" + "01" * 32
FINAL = [400, 401, 403, 404, 405, 409, 411, 413, 415, 422, 426, 431, 501, 505]
TEMPORARY = [408, 425, 429, 500, 502, 503, 504, 507]


@contextmanager
def answering(answer: bytes, *, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that sends the same bytes to every connection and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        stop = threading.Event()

        def run() -> None:
            while not stop.is_set():
                try:
                    accepted, _ = listener.accept()
                except TimeoutError:
                    continue
                accepted.settimeout(5)
                try:
                    with tls.wrap_socket(accepted, server_side=True) if tls else accepted as taken:
                        taken.recv(65_536)
                        taken.sendall(answer)
                except OSError:
                    continue

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()


def client(url: str, ca: Path | None = None) -> StreamClient:
    return StreamClient(url, HttpClient.create(ca), "token", ca)


def ask(used: StreamClient) -> None:
    used.get(f"/streams/{STREAM}")


def ingest(used: StreamClient) -> None:
    with used.ingest(STREAM) as sender:
        sender.wait(lambda: False)


def response(status: int, headers: str = "") -> bytes:
    body = b'{"detail": "the reason"}'
    head = f"HTTP/1.1 {status} Status\r\nContent-Length: {len(body)}\r\n{headers}"
    return f"{head}Connection: close\r\n\r\n".encode() + body


@pytest.mark.parametrize("request_", [ask, ingest])
@pytest.mark.parametrize("status", [*FINAL, *TEMPORARY])
def test_statuses_are_final_or_temporary(
    status: int, request_: Callable[[StreamClient], None]
) -> None:
    expected = {401: Unauthorized, 404: NotFound}.get(status, PeerError)
    with answering(response(status)) as url, pytest.raises(expected) as refused:
        request_(client(url))

    assert "the reason" in str(refused.value)
    temporary = isinstance(refused.value, PeerError) and is_temporary(refused.value)
    assert temporary is (status in TEMPORARY)


@pytest.mark.parametrize("request_", [ask, ingest])
def test_retry_after_is_read(request_: Callable[[StreamClient], None]) -> None:
    answer = response(503, "Retry-After: 17\r\n")
    with answering(answer) as url, pytest.raises(PeerError) as refused:
        request_(client(url))

    assert refused.value.facts["retry_after"] == 17


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("17", 17), (" 0 ", 0), ("-1", None), ("1.5", None), ("9" * 30, None), ("٣", None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", None), ("", None), (None, None)],
)  # fmt: skip
def test_retry_after_is_a_number_of_seconds(header: str | None, seconds: int | None) -> None:
    assert retry_after(header) == seconds


@pytest.mark.parametrize("request_", [ask, ingest])
def test_a_closed_port_and_a_cut_connection_are_temporary(
    request_: Callable[[StreamClient], None],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(PeerError) as refused:
        request_(client(closed))
    assert is_temporary(refused.value)

    with answering(b"") as url, pytest.raises(PeerError) as cut:
        request_(client(url))
    assert is_temporary(cut.value)


@pytest.mark.parametrize("request_", [ask, ingest])
def test_a_cut_tls_handshake_is_temporary(
    papers: Papers, request_: Callable[[StreamClient], None]
) -> None:
    with answering(b"") as url, pytest.raises(PeerError) as cut:
        request_(client(url.replace("http:", "https:"), papers.ca))

    assert is_temporary(cut.value), cut.value


@pytest.mark.parametrize("request_", [ask, ingest])
def test_a_wrong_certificate_is_final(
    papers: Papers, shown: Tls, tmp_path: Path, request_: Callable[[StreamClient], None]
) -> None:
    other = Papers.make(tmp_path)
    with (
        answering(b"", tls=server_context(shown)) as url,
        pytest.raises(PeerError, match="its certificate is not trusted") as refused,
    ):
        request_(client(url, other.ca))

    assert not is_temporary(refused.value)


@pytest.mark.parametrize(("hello", "sent"), [({"end_window": True}, "end_window"), ({}, "flush")])
def test_a_window_is_ended_if_the_service_can(hello: dict[str, bool], sent: str) -> None:
    """Earlier services refuse the message."""
    received: list[str | bytes] = []

    def handle(connection: ServerConnection) -> None:
        said = {"type": "hello", "sequence": 0, "bytes": 0, "mode": "bytes", **hello}
        connection.send(json.dumps(said))
        received.append(connection.recv())

    with serving(handle) as url, client(url).ingest("0x00") as sender:
        sender.end_window()
        with pytest.raises(ConnectionClosed):
            sender.receive(10)

    assert json.loads(received[0]) == {"type": sent}


@contextmanager
def closing(code: int) -> Iterator[str]:
    """A WebSocket server that says hello and closes with this code."""

    def handle(connection: ServerConnection) -> None:
        connection.send('{"type":"hello","sequence":0,"bytes":0,"mode":"bytes"}')
        connection.close(code, "the reason")

    with serving(handle) as url:
        yield url


@contextmanager
def serving(handle: Callable[[ServerConnection], None]) -> Iterator[str]:
    """A WebSocket server; its URL."""
    server: Server
    with serve(handle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("code", "temporary"),
    [(1000, True), (1001, True), (1011, True), (1012, True), (1013, True), (1014, True),
     (1002, False), (1003, False), (1007, False), (1008, False), (1009, False), (4000, False)],
)  # fmt: skip
def test_close_codes_are_final_or_temporary(code: int, temporary: bool) -> None:
    with closing(code) as url, pytest.raises(DragonError) as ended:
        ingest(client(url))

    assert isinstance(ended.value, PeerError)
    assert is_temporary(ended.value) is temporary
    assert isinstance(ended.value, BadAnswer) is not temporary
