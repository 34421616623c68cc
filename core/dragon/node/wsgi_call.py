"""One call of a WSGI app: the environment of a whole request, and the answer in pieces."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final
from urllib.parse import unquote_to_bytes

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Headers = Sequence[tuple[bytes, bytes]]

READ_BYTES: Final = 1 << 20  # of an answer that are held before the client has taken them


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request.

    If `stated_length` is more than `body` has, the body was refused unread. The app then finds a
    Content-Length above its limit, and answers 413 in its own format.
    """

    method: str
    target: bytes
    headers: Headers  # names in lower case
    version: bytes  # "1.1"
    body: bytes
    stated_length: int


def path_of(target: bytes) -> str:
    """The path of a request target, percent-decoded, one character for each byte (PEP 3333)."""
    return unquote_to_bytes(_split(target)[0]).decode("latin-1")


def _split(target: bytes) -> tuple[bytes, bytes]:
    """Path and query. A target in absolute form (RFC 9112, 3.2.2) loses scheme and host."""
    path, _, query = target.partition(b"#")[0].partition(b"?")
    if not path.startswith(b"/") and b"://" in path:
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    return path, query


def environ_of(
    request: Request, client: tuple[str, int], server: tuple[str, int], scheme: str
) -> dict[str, Any]:
    """Return the WSGI environment of a request.

    Headers with an underscore in their names are dropped: they would be taken for others.
    """
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path_of(request.target),
        "QUERY_STRING": _split(request.target)[1].decode("latin-1"),
        "RAW_URI": request.target.decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{request.version.decode('ascii')}",
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers:
        if b"_" in name or name in {b"content-length", b"transfer-encoding"}:
            continue
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    if request.stated_length or request.method not in {"GET", "HEAD", "OPTIONS", "DELETE"}:
        environ["CONTENT_LENGTH"] = str(request.stated_length)
    return environ


class Answer:
    """An app's answer: status and headers at once, and the body as it is read."""

    def __init__(self, app: WsgiApp, environ: dict[str, Any]) -> None:
        self.status, self.reason = 500, b"Internal Server Error"
        self.headers: list[tuple[bytes, bytes]] = []
        self._early: list[bytes] = []
        self._body = app(environ, self._start)
        self._pieces: Iterator[bytes] = chain(self._early, self._body)
        self.ended = False

    def _start(
        self, status: str, headers: Sequence[tuple[str, str]], _error: object = None
    ) -> Callable[[bytes], None]:
        code, _, reason = status.partition(" ")
        self.status, self.reason = int(code), reason.encode("latin-1")
        self.headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers
        ]
        return self._early.append

    def read(self) -> bytes:
        """Return the next part of the body, usually all of it. Sets `ended` with the last one."""
        parts, size = [], 0
        for piece in self._pieces:
            parts.append(piece)
            size += len(piece)
            if size >= READ_BYTES:
                break
        else:
            self.ended = True
            self.close()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        with suppress(AttributeError):
            self._body.close()  # type: ignore[attr-defined]
