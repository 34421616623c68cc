"""One HTTP/1.1 connection: it receives whole requests, and sends answers, each within a deadline.

A connection costs no thread. It takes one, in the lane of its request, only while the app computes
the answer to a whole request. `h11` parses and checks the protocol.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final, Protocol

import h11

from dragon.node import client_gone
from dragon.node.admission import Clients
from dragon.node.lane_threads import Finished
from dragon.node.lanes import Job, LaneQueue
from dragon.node.log_format import get_logger
from dragon.node.wsgi_call import Answer, Request, WsgiApp, environ_of, path_of

RECEIVE_SECONDS: Final = 3.0  # from the start of a connection, or the last answer, to a request
ANSWER_SECONDS: Final = 15.0  # from the whole request until the client has taken the answer
LINGER_SECONDS: Final = 1.0  # for the client to close, or to take the last bytes
MAX_HEAD_BYTES: Final = 16 * 1024  # request line and headers
MAX_TARGET_BYTES: Final = 4094
MAX_FIELDS: Final = 64  # headers of a request
PATIENT_SECONDS: Final = 0.5  # without a request, after which a connection takes a turn of its own
MAX_AHEAD_BYTES: Final = 16 * 1024  # of further requests, received before the answer is sent
WRITE_BYTES: Final = 64 * 1024  # given to the transport at once

VERSIONS: Final = {b"1.0", b"1.1"}  # of HTTP

_TOO_MANY_FIELDS: Final = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"more than {MAX_FIELDS} headers, or more than {MAX_HEAD_BYTES} bytes of them",
)
_AMBIGUOUS_LINE: Final = (
    HTTPStatus.BAD_REQUEST,
    "each line of the head must end with CR LF, and none may begin with a space",
)
_CONTINUE: Final = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")

logger = get_logger(__name__)


class Phase(Enum):
    RECEIVING = auto()  # until a request is whole
    WORKING = auto()  # the app computes the answer
    SENDING = auto()  # until the client has taken the answer
    LINGERING = auto()  # until the client has closed its side; what it sends is dropped
    CLOSED = auto()


class Host(Protocol):
    """What a connection asks of its server."""

    app: WsgiApp
    max_body: int
    clients: Clients
    stopping: bool
    held: int  # bytes that all connections hold
    buffer: memoryview  # shared by all connections: each read is taken out at once

    def lane(self, path: str) -> LaneQueue: ...

    def balance(self) -> None:
        """Close connections until what all of them hold in memory is within its limit."""

    def ended(self, connection: Connection) -> None: ...


class Connection(asyncio.BufferedProtocol):
    """The state of one connection. All methods run on the event loop's thread."""

    def __init__(self, host: Host, client: tuple[str, int]) -> None:
        """`client`: the address and the port of the peer."""
        self.peer = host.clients.identify(client[0])
        self.phase = Phase.RECEIVING
        self.held = 0  # bytes of a body that is arriving, or of an answer that is not taken
        self.cut: Callable[[], None] | None = None  # ends the TLS handshake
        self._host, self._client = host, client
        self._server, self._scheme = ("", 0), "http"
        self._transport: asyncio.Transport | None = None
        self._seconds_left = RECEIVE_SECONDS
        self._parser = h11.Connection(h11.SERVER, MAX_HEAD_BYTES)
        self._head: h11.Request | None = None
        self._body: list[bytes] = []
        self._max_body = 0
        self._ahead = 0
        self._requester = self.peer  # behind a believed proxy, each request has another one
        self._lane: LaneQueue | None = None
        self._job: Job[Any] | None = None
        self._answer: Answer | None = None
        self._out: deque[memoryview] = deque()
        self._writable = True
        self._has_left = False  # whether the client has closed its side
        self._last = False  # whether the connection ends after the answer
        self._is_patient = True  # whether its request follows no other one closely

    @property
    def is_idle(self) -> bool:
        """Whether the connection has sent no byte of its next request."""
        return self.phase is Phase.RECEIVING and not self._ahead and self._head is None

    # Events of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of TCP and of TLS
        self._transport = transport
        if self.phase is Phase.CLOSED:
            transport.abort()
            return
        transport.set_write_buffer_limits(high=1, low=0)
        self._server = transport.get_extra_info("sockname")[:2]
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._host.buffer

    def buffer_updated(self, count: int) -> None:
        if self.phase in {Phase.LINGERING, Phase.CLOSED}:
            return
        self._parser.receive_data(bytes(self._host.buffer[:count]))
        self._ahead += count
        if self.phase is Phase.RECEIVING:
            self._receive()
        elif self._ahead > MAX_AHEAD_BYTES and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._has_left = True
        if self.phase is Phase.RECEIVING:
            self.close()
        elif self.phase is Phase.LINGERING:
            self.abort()
        else:
            self._last = True  # a client may close its side and still read the answer
        return self._scheme == "http"

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if self.phase is Phase.SENDING:
            self._write()

    def connection_lost(self, _error: Exception | None) -> None:
        self._has_left = True
        self._forget()

    # Deadlines

    def tick(self, seconds: float) -> None:
        """Count time, and end what has missed its deadline."""
        self._seconds_left -= seconds
        if self._seconds_left > 0:
            return
        if self.phase is Phase.RECEIVING and self._head is not None:
            self.refuse(HTTPStatus.REQUEST_TIMEOUT, f"no whole request within {RECEIVE_SECONDS} s")
        elif self.phase is Phase.WORKING:
            self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, f"no answer within {ANSWER_SECONDS} s")
        elif self.phase is Phase.RECEIVING:
            self.close()
        else:
            self.abort()

    def abort(self) -> None:
        """Close the connection without sending the rest."""
        if self._transport is not None:
            self._transport.abort()
        self._forget()

    def close(self) -> None:
        """Close the connection; it is aborted if the client has not taken the last bytes soon."""
        if self._transport is None:
            self._forget()
            return
        self.phase, self._seconds_left = Phase.LINGERING, LINGER_SECONDS
        self._transport.close()

    def _forget(self) -> None:
        if self.phase is not Phase.CLOSED:
            self.phase = Phase.CLOSED
            if self._transport is None and self.cut is not None:
                self.cut()
            self._host.ended(self)
            self._release()
            self._drop_work()

    def _hold(self, count: int) -> None:
        self.held += count
        self._host.held += count

    def _release(self) -> None:
        self._hold(-self.held)
        self._out.clear()
        self._body.clear()

    def _drop_work(self) -> None:
        """Forget the work and close its answer, now or when the thread that reads it has ended."""
        job, answer = self._job, self._answer
        self._job = self._answer = None
        is_read = job is not None and self._lane is not None and not self._lane.cancel(job)
        if answer is not None and not is_read:
            _close(answer)

    # A request

    def _receive(self) -> None:
        """Take events from the parser until the request is whole."""
        if self._head is None and (refusal := _refusal_of(self._parser.trailing_data[0])):
            self.refuse(*refusal)
            return
        try:
            while self.phase is Phase.RECEIVING and self._take(self._parser.next_event()):
                pass
        except h11.RemoteProtocolError as error:
            self.refuse(HTTPStatus(error.error_status_hint), "the request is not valid HTTP/1.1")

    def _take(self, event: object) -> bool:
        """Handle one event of the parser. Return whether another one may follow."""
        match event:
            case h11.Request():
                self._take_head(event)
            case h11.Data():
                self._body.append(bytes(event.data))
                self._hold(len(event.data))
                if self.held > self._max_body:
                    self._dispatch(self.held, whole=False)
                else:
                    self._host.balance()
            case h11.EndOfMessage():
                self._dispatch(self.held, whole=True)
            case h11.ConnectionClosed():
                self.close()
            case _:  # h11 needs more data
                if self._parser.they_are_waiting_for_100_continue:
                    self._send(_CONTINUE)
                return False
        return True

    def _take_head(self, head: h11.Request) -> None:
        self._head = head
        if len(head.target) > MAX_TARGET_BYTES:
            self.refuse(
                HTTPStatus.REQUEST_URI_TOO_LONG,
                f"the request target is longer than {MAX_TARGET_BYTES} bytes",
            )
        elif head.http_version not in VERSIONS:
            self.refuse(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "use HTTP/1.1")
        elif _size(head) > MAX_HEAD_BYTES:
            self.refuse(*_TOO_MANY_FIELDS)
        elif any(name == b"transfer-encoding" for name, _value in head.headers):
            # Chunks of one byte would take a thousand times the processor time of a whole body.
            self.refuse(HTTPStatus.LENGTH_REQUIRED, "send the body with Content-Length")
        else:
            stated = int(dict(head.headers).get(b"content-length", b"0"))
            lane = self._host.lane(path_of(head.target)).lane
            self._max_body = lane.max_body or self._host.max_body
            if stated > self._max_body:
                self._dispatch(stated, whole=False)

    def _dispatch(self, length: int, *, whole: bool) -> None:
        """Let the app answer, in the lane of the request.

        Args:
            length: of the body, in bytes.
            whole: false if the body is too long; the app answers 413, and the connection ends.
        """
        head, body = self._head, b"".join(self._body) if whole else b""
        if head is None or self._transport is None:
            return
        self._last = self._last or not whole
        request = Request(
            head.method.decode("ascii"),
            head.target,
            list(head.headers),
            head.http_version,
            body,
            length,
        )
        environ = environ_of(request, self._client, self._server, self._scheme)
        forwarded = environ.get("HTTP_X_FORWARDED_FOR", "")
        self._requester = self._host.clients.identify(self._client[0], forwarded)
        environ[client_gone.ENVIRON_KEY] = lambda: self._has_left
        self._release()
        self._ahead = len(self._parser.trailing_data[0])
        if self._seconds_left <= RECEIVE_SECONDS - PATIENT_SECONDS:
            self._is_patient = True
        self.phase, self._seconds_left = Phase.WORKING, ANSWER_SECONDS
        self._lane = self._host.lane(environ["PATH_INFO"])
        self._run(lambda: Answer(self._host.app, environ))

    def _run(self, start: Any) -> None:
        """Compute the answer, or its next part, on a thread of the lane."""

        def work() -> tuple[Answer, bytes]:
            answer = start()
            return answer, answer.read()

        def done(future: Finished[tuple[Answer, bytes]]) -> None:
            if self._job is job:
                self._job = None
                self._take_part(future)
            elif future.exception() is None:
                _close(future.result()[0])

        # Clients that ask without pause wait for each other; others at their address need not.
        share, is_member = self._requester.share, self._requester.is_member
        turn = f"{share} patient" if self._is_patient else share
        job = Job(turn, work, done, self._refuse_busy, is_member)
        self._job = job
        if self._lane is not None:
            self._lane.submit(job)  # type: ignore[arg-type]

    def _refuse_busy(self) -> None:
        self._job = None
        self.refuse(HTTPStatus.TOO_MANY_REQUESTS, "too many requests are waiting; try again later")

    # The answer

    def _take_part(self, future: Finished[tuple[Answer, bytes]]) -> None:
        if error := future.exception():
            logger.error("request_failed", exc_info=error)
            if self._answer is None:
                self.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "an unexpected error occurred")
            else:
                self.abort()
            return
        answer, part = future.result()
        if self._answer is None:
            self._begin(answer)
        if part and self.phase is Phase.SENDING and not self._is_head():
            self._send(h11.Data(data=part))
        if answer.ended and self.phase is Phase.SENDING:
            self._send(h11.EndOfMessage())
        self._write()

    def _is_head(self) -> bool:
        return self._head is not None and self._head.method == b"HEAD"

    def _begin(self, answer: Answer) -> None:
        self._answer, self.phase = answer, Phase.SENDING
        last = self._last or self._host.stopping
        own = [(b"Date", formatdate(usegmt=True).encode())]
        own += [(b"Connection", b"close")] if last else []
        self._send(
            h11.Response(
                status_code=answer.status, headers=answer.headers + own, reason=answer.reason
            )
        )

    def refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer with a problem document that the app did not make, and end the connection."""
        self._drop_work()
        self._release()
        if self._parser.our_state not in {h11.IDLE, h11.SEND_RESPONSE} or self._answer is not None:
            self.abort()
            return
        body = _problem(status, detail)
        headers = [
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(body))),
            ("Date", formatdate(usegmt=True)),
            ("Connection", "close"),
        ]
        if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
            headers.append(("Retry-After", "1"))
        self.phase, self._seconds_left, self._last = Phase.SENDING, LINGER_SECONDS, True
        self._send(h11.Response(status_code=status, headers=headers, reason=status.phrase))
        if not self._is_head():
            self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())
        self._write()

    def _send(self, event: h11.Event) -> None:
        """Encode an event of the answer, to be written."""
        try:
            parts = self._parser.send_with_data_passthrough(event) or []
        except h11.LocalProtocolError as error:
            logger.error("answer_failed", exc_info=error)
            self.abort()
            return
        for part in parts:
            self._out.append(memoryview(part))
            self._hold(len(part))
        if isinstance(event, h11.InformationalResponse):
            self._flush()

    def _write(self) -> None:
        """Write as much as the client takes; then go on with the answer, or end it."""
        if self.phase is not Phase.SENDING:
            return
        self._flush()
        if self._out or not self._writable:
            self._host.balance()
        elif self._parser.our_state is h11.SEND_BODY and self._job is None:
            answer = self._answer
            self._run(lambda: answer)
        elif self._job is None:
            self._end()

    def _flush(self) -> None:
        while self._out and self._writable and self._transport is not None:
            together, room = [], WRITE_BYTES
            while self._out and room:
                part = self._out.popleft()
                together.append(part[:room])
                if len(part) > room:
                    self._out.appendleft(part[room:])
                room -= len(together[-1])
            self._transport.write(b"".join(together))
            self._hold(room - WRITE_BYTES)

    def _end(self) -> None:
        """The client has the answer: wait for its next request, or close."""
        self._answer = self._head = None
        if self._parser.their_state in {h11.IDLE, h11.SEND_BODY, h11.ERROR}:
            self._linger()
        elif self._last or self._host.stopping or self._parser.our_state is not h11.DONE:
            self.close()
        else:
            self._parser.start_next_cycle()
            self._is_patient = False
            self.phase, self._seconds_left = Phase.RECEIVING, RECEIVE_SECONDS
            if self._transport is not None and not self._transport.is_reading():
                self._transport.resume_reading()
            if self._ahead:  # after the other connections, which would wait for this one
                asyncio.get_running_loop().call_soon(self._receive)

    def _linger(self) -> None:
        """Let the client read the answer: closing at once would reset what it is still sending."""
        if self._transport is None or not self._transport.can_write_eof():
            self.close()  # TLS closes by a message of its own
            return
        self.phase, self._seconds_left = Phase.LINGERING, LINGER_SECONDS
        try:
            self._transport.write_eof()
        except OSError:  # the client reset the connection, and the transport has not seen it yet
            self.abort()
            return
        if not self._transport.is_reading():
            self._transport.resume_reading()


def _close(answer: Answer) -> None:
    """Close an answer that is not read to its end. A fault of the app ends nothing else."""
    if answer.ended:
        return
    try:
        answer.close()
    except Exception:
        logger.exception("request_failed")


def _refusal_of(received: bytes) -> tuple[HTTPStatus, str] | None:
    """Why a head is refused before it is parsed; None if it is not, or is not complete yet.

    Many short lines take long to parse. Lines that end with LF alone, and continued lines, are read
    in another way by some proxies, which would then see other requests than this server.
    """
    lines = received.split(b"\n", MAX_FIELDS + 2)[:-1]
    for line in lines:
        if line == b"\r":
            return None
        if not line.endswith(b"\r") or line.startswith((b" ", b"\t")):
            return _AMBIGUOUS_LINE
    return _TOO_MANY_FIELDS if len(lines) == MAX_FIELDS + 2 else None


def _size(head: h11.Request) -> int:
    return len(head.target) + sum(len(name) + len(value) for name, value in head.headers)


def _problem(status: HTTPStatus, detail: str) -> bytes:
    busy = status is HTTPStatus.TOO_MANY_REQUESTS
    problem = {
        "type": "urn:datadragon:problem:busy" if busy else "about:blank",
        "title": "busy" if busy else status.phrase,
        "status": int(status),
        "detail": detail,
    }
    return json.dumps(problem).encode()
