"""A real S3 server (moto) in a process of its own, and a proxy before it that breaks it.

with s3_server() as server:
    server.make_bucket("bucket")
    with Proxy(server.port) as proxy:
        proxy.on_request = lambda method, path: ...     # may answer, wait, or kill somebody
"""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

import requests

from ports import free_block

ACCESS_KEY: Final = "an-access-key"
SECRET_KEY: Final = "the-secret-of-the-access-key"
PATIENCE: Final = 60.0  # seconds until the server answers


@dataclass(frozen=True)
class S3Server:
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def make_bucket(self, name: str) -> None:
        """Create a bucket, without what was in one of this name."""
        requests.post(f"{self.url}/moto-api/reset", timeout=10).raise_for_status()
        requests.put(f"{self.url}/{name}", timeout=10).raise_for_status()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    port = free_block(1)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    try:
        wait_until_answering(port)
        yield S3Server(port)
    finally:
        process.kill()
        process.wait(10)


def wait_until_answering(port: int) -> None:
    ends = time.monotonic() + PATIENCE
    while True:
        try:
            requests.get(f"http://127.0.0.1:{port}/moto-api/", timeout=5)
        except requests.ConnectionError:
            assert time.monotonic() < ends, "the S3 server does not answer"
            time.sleep(0.05)
        else:
            return


@dataclass(frozen=True)
class Answer:
    """What the proxy answers. `length`: what it says of the body, if that is not the truth."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] | None = None
    length: int | None = None


Request = Callable[[str, str], Answer | None]
Response = Callable[[str, str, Answer], Answer]


class Proxy:
    """Forwards requests. `on_request` may answer itself, `on_response` may change an answer.

    After its end another one may listen on the same `port`: the server was gone for a while.
    """

    def __init__(self, target: int, port: int = 0) -> None:
        self.on_request: Request = lambda _method, _path: None
        self.on_response: Response = lambda _method, _path, answer: answer
        self.seen: list[tuple[str, str]] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.seen.append((self.command, self.path))
                answer = proxy.on_request(self.command, self.path)
                if answer is None:
                    answer = _forward(target, self, body)
                    answer = proxy.on_response(self.command, self.path, answer)
                self.send_response_only(answer.status)
                for name, value in (answer.headers or {}).items():
                    if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                        self.send_header(name, value)
                length = len(answer.body) if answer.length is None else answer.length
                self.send_header("Content-Length", str(length))
                self.send_header("Connection", "close")
                self.close_connection = True
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _handle  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _forward(port: int, handler: BaseHTTPRequestHandler, body: bytes) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = dict(handler.headers.items())
        connection.request(handler.command, handler.path, body, headers)
        answer = connection.getresponse()
        length = answer.headers.get("Content-Length")
        read = answer.read()
        said = int(length) if handler.command == "HEAD" and length else None
        return Answer(answer.status, read, dict(answer.headers.items()), said)
    finally:
        connection.close()
