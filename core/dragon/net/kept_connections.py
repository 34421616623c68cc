"""Kept connections: several exchanges on one connection, each with a deadline of its own.

Only for requests that may be sent twice: a peer may close a kept connection at the moment when the
next request is sent. Such a request is repeated once, on a new connection and within the same
deadline.

A service ends a connection that waits for a request, after 2 s or more. A connection is therefore
used again only within a shorter time, so that this seldom happens. It is opened anew now and then:
the host name, the certificate or the authorities may have changed.
"""

from __future__ import annotations

import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPResponse, IncompleteRead
from typing import Any, Final, NamedTuple, Protocol, Self
from urllib.parse import urlencode, urlsplit

from requests.exceptions import InvalidURL

IDLE_SECONDS: Final = 1.5  # after which a connection is not used again
MAX_AGE_SECONDS: Final = 30.0  # after which a connection is opened anew
MAX_IDLE: Final = 64  # connections that wait, in all; beyond, the oldest is closed
_PORTS: Final = {"http": 80, "https": 443}
# How the end of a connection shows in the next exchange, if the peer has not read the request.
_ENDED: Final = (
    ConnectionResetError,
    BrokenPipeError,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)


class Connection(Protocol):
    """A connection that may serve several exchanges."""

    sock: Any  # connected

    @property
    def is_connected(self) -> bool:
        """Whether neither side has closed it, and nothing has arrived that was not asked for."""

    def renew(self, ends: float) -> None:
        """Begin an exchange, which may last until `ends` (monotonic seconds)."""

    def close(self) -> None: ...


class Peer(NamedTuple):
    """Whom a connection reaches."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Message:
    """A request, ready to be sent."""

    peer: Peer
    method: str
    raw: bytes  # head and body

    @classmethod
    def of(
        cls,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> Self:
        """Encode a request. Raises InvalidURL: not a valid http:// or https:// URL."""
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
        query = "&".join(filter(None, (parts.query, urlencode(params or {}, doseq=True))))
        target = (parts.path or "/") + (f"?{query}" if query else "")
        if port is None or not parts.hostname or "@" in parts.netloc or not _is_plain(target):
            raise InvalidURL("not an http:// or https:// URL")
        stated = {"Host": parts.netloc, "Accept": "*/*", "Accept-Encoding": "identity"}
        if body is not None:
            stated["Content-Length"] = str(len(body))
        lines = [f"{method} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in {**stated, **(headers or {})}.items()]
        if not all(map(_is_line, lines)):
            raise InvalidURL("not a valid request")
        head = "\r\n".join([*lines, "", ""]).encode("ascii")
        return cls(Peer(parts.scheme, parts.hostname, port), method, head + (body or b""))


@dataclass(slots=True)
class _Idle:
    """A connection that waits for its next exchange."""

    connection: Connection
    opened_at: float  # monotonic seconds
    used_at: float  # monotonic seconds, the end of its last exchange


class _Response(HTTPResponse):
    """A response whose body must not end early.

    The library returns what has arrived of a body whose sender has closed the connection.
    """

    def read(self, amt: int | None = None) -> bytes:
        """As the library does. Raises IncompleteRead: the body ended early."""
        return self._checked(super().read(amt))

    def read1(self, n: int = -1) -> bytes:
        """As the library does. Raises IncompleteRead: the body ended early."""
        return self._checked(super().read1(n))

    def _checked(self, piece: bytes) -> bytes:
        if not piece and self.isclosed() and self.length:
            raise IncompleteRead(piece, self.length)
        return piece


class KeptConnections:
    """Connections to any number of peers. May be used by many threads."""

    def __init__(
        self,
        open_connection: Callable[[Peer, float], Connection],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create an empty set.

        Args:
            open_connection: connects to a peer until a time (monotonic seconds).
            monotonic: a clock in seconds.
        """
        self._open = open_connection
        self._monotonic = monotonic
        self._lock = threading.Lock()  # guards the next line
        self._idle: dict[Connection, tuple[Peer, _Idle]] = {}  # the oldest first
        # Not every owner of a session closes it; its connections end with it all the same.
        weakref.finalize(self, _close_all, self._idle)

    @property
    def idle(self) -> int:
        """The number of connections that wait for their next exchange."""
        return len(self._idle)

    @contextmanager
    def exchange(self, message: Message, deadline: float) -> Iterator[HTTPResponse]:
        """Send a request and yield the response, whose body the caller reads within the block.

        The connection is kept if the body was read to its end, and closed otherwise.

        Args: `deadline`, seconds for everything, the response's body included.

        Raises OSError, HTTPException, and the errors of urllib3.
        """
        ends = self._monotonic() + deadline
        used, response = self._respond(message, ends)
        keep = False
        try:
            yield response
            # `read1` leaves a response open of which nothing is left, unlike `read`.
            whole = response.isclosed() or response.length == 0
            # After an interim answer such as 103, the real one would answer the next request.
            is_final = response.status >= HTTPStatus.OK
            keep = whole and is_final and not response.will_close
        finally:
            response.close()
            if keep:
                self._put(message.peer, used)
            else:
                used.connection.close()

    def _respond(self, message: Message, ends: float) -> tuple[_Idle, HTTPResponse]:
        if (kept := self._take(message.peer)) is not None:
            try:
                return kept, _send(kept.connection, message, ends)
            except _ENDED:
                pass  # by its peer, which has not answered: repeated on a new connection
        connection = self._open(message.peer, ends)
        return _Idle(connection, self._monotonic(), 0.0), _send(connection, message, ends)

    def _take(self, peer: Peer) -> _Idle | None:
        """Take the connection that was used last, if the peer has not closed it."""
        while True:
            with self._lock:
                self._drop_old()
                found = next((e for p, e in reversed(self._idle.values()) if p == peer), None)
                if found is None:
                    return None
                del self._idle[found.connection]
            if found.connection.is_connected:
                return found
            found.connection.close()

    def _put(self, peer: Peer, used: _Idle) -> None:
        used.used_at = self._monotonic()
        with self._lock:
            self._idle[used.connection] = peer, used
            self._drop_old()

    def _drop_old(self) -> None:
        """Close what is not used again, and the oldest ones beyond the maximum."""
        now, surplus = self._monotonic(), len(self._idle) - MAX_IDLE
        for place, (_, each) in enumerate(list(self._idle.values())):
            expired = now > each.used_at + IDLE_SECONDS or now > each.opened_at + MAX_AGE_SECONDS
            if expired or place < surplus:
                del self._idle[each.connection]
                each.connection.close()

    def close(self) -> None:
        """Close all connections that wait."""
        with self._lock:
            _close_all(self._idle)


def _close_all(idle: dict[Connection, tuple[Peer, _Idle]]) -> None:
    for connection in idle:
        connection.close()
    idle.clear()


def _send(connection: Connection, message: Message, ends: float) -> HTTPResponse:
    """Send a request and receive the head of the response. Closes the connection on failure."""
    try:
        connection.renew(ends)
        connection.sock.sendall(message.raw)
        response = _Response(connection.sock, method=message.method)
        try:
            response.begin()
        except BaseException:
            response.close()
            raise
    except BaseException:
        connection.close()
        raise
    return response


def _is_plain(target: str) -> bool:
    return target.isascii() and target.isprintable() and " " not in target


def _is_line(line: str) -> bool:
    return line.isascii() and line.isprintable()
