"""Client of a stream service: creates streams, reads their state, and sends data to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)
from websockets.sync.client import ClientConnection, connect

from dragon.encoding import Json, Members, parse
from dragon.errors import (
    BadAnswer,
    InvalidEncoding,
    NotFound,
    PeerError,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from dragon.net.causes import OTHER_FAULT, UPGRADE_LOST, connection_fault
from dragon.net.http_client import HttpClient, HttpResponse, quoted, retry_after
from dragon.net.retries import Retries
from dragon.net.tls import client_context, tls_failure_reason

DEADLINE_SECONDS: Final = 10.0  # for a request, for opening a socket, and between pings
PONG_TIMEOUT_SECONDS: Final = 30.0
MIN_MESSAGE_CREDIT_BYTES: Final = 1024  # credit that a message of any size uses
MAX_RESPONSE_BYTES: Final = 2 << 20  # a receipt with its proof
MAX_QUEUED_MESSAGES: Final = 1024  # messages of the service that wait to be read
MAX_MESSAGE_BYTES: Final = 1 << 20
IDLE_SECONDS: Final = 1.0  # without a message of the service, until `Sender.on_idle` is called
# Codes of RFC 6455, section 7.4.1, and of IANA's registry by which a connection ends that may be
# opened again.
RETRY_CODES: Final = frozenset({1000, 1001, 1005, 1006, 1011, 1012, 1013, 1014})
# Statuses of refusals that are not final: timeouts, limits of rate, and faults of the service.
RETRY_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 507})
# Statuses of answers to a handshake that did not arrive as one.
UPGRADE_LOST_STATUSES: Final = frozenset({200, 204, 405, 426})
NO_HANDSHAKE: Final = "no WebSocket handshake arrived"  # also the service says so
CHUNK_DAMAGED: Final = "chunk_damaged"  # title of the problem that data is damaged on the disk
REFUSALS: Final[Mapping[int, type[Unauthorized] | type[NotFound]]] = {
    401: Unauthorized,
    404: NotFound,
}


@dataclass(frozen=True, slots=True)
class StreamClient:
    """Client of one stream service.

    `token` is the service's token for creating streams, and otherwise the stream's token. `ca` is
    the file with the certificate authorities to trust for `wss`; None for the system's. `retries`
    repeats requests after temporary failures; None: every failure is raised.
    """

    url: str
    http: HttpClient
    token: str = field(default="", repr=False)
    ca: Path | None = None
    retries: Retries | None = None

    def make(self, wanted: Mapping[str, Json]) -> dict[str, Any]:
        """Create a stream, or return the stream that has this name and these settings already.

        Raises PeerError, Unauthorized.
        """
        return self._ask("POST", "/streams", json.dumps(dict(wanted)).encode())

    def get(self, path: str, **params: str | int) -> dict[str, Any]:
        """Fetch the JSON object at `path`. Raises PeerError, Unauthorized, NotFound."""
        return self._ask("GET", path, params=params)

    def data(self, stream: str, sequence: int) -> bytes | None:
        """Return the data of a chunk; None if the service does not have it any more.

        Args: `stream`, the stream's id, 0x…; the client needs the token of the stream.

        Raises PeerError, Unauthorized.
        """

        def attempt() -> bytes | None:
            response = self._send("GET", f"/streams/{stream}/chunks/{sequence}/data")
            is_gone = response.status == HTTPStatus.NOT_FOUND
            if is_gone or response.problem().get("title") == CHUNK_DAMAGED:
                return None
            if not 200 <= response.status < 300:
                raise _refusal(response)
            return response.body

        return self.retries.call(attempt) if self.retries else attempt()

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        params: Mapping[str, str | int] | None = None,
    ) -> dict[str, Json]:
        def attempt() -> dict[str, Json]:
            return self._ask_once(method, path, body, params)

        return self.retries.call(attempt) if self.retries else attempt()

    def _ask_once(
        self, method: str, path: str, body: bytes, params: Mapping[str, str | int] | None
    ) -> dict[str, Json]:
        response = self._send(method, path, body, params)
        if not 200 <= response.status < 300:
            raise _refusal(response)
        found = response.json()
        if not isinstance(found, dict):
            raise BadAnswer("the answer is not a JSON object")
        return found

    def _send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        params: Mapping[str, str | int] | None = None,
    ) -> HttpResponse:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return self.http.send(
            method,
            self.url + path,
            deadline=DEADLINE_SECONDS,
            body=body,
            headers=headers,
            params=params,
            max_bytes=MAX_RESPONSE_BYTES,
        )

    @contextmanager
    def ingest(self, stream: str) -> Iterator[Sender]:
        """Open the socket that takes the data of a stream.

        Args:
            stream: the stream's id, 0x and 64 hexadecimal digits.

        Raises:
            Unreachable: the connection failed or ended; with the reason `tls` the service's
                certificate or TLS is wrong, otherwise a later attempt may succeed.
            Unavailable: the service cannot take the data now; a later attempt may succeed.
            BadAnswer: the service refused the connection, or closed the stream.
            Unauthorized, NotFound.
        """
        address = "ws" + self.url.removeprefix("http") + f"/streams/{stream}/ingest"
        secure = address.startswith("wss:")
        try:
            with connect(
                address,
                ssl=client_context(self.ca) if secure else None,
                additional_headers={"Authorization": f"Bearer {self.token}"},
                compression=None,
                proxy=None,
                open_timeout=DEADLINE_SECONDS,
                close_timeout=DEADLINE_SECONDS,
                ping_interval=DEADLINE_SECONDS,
                ping_timeout=PONG_TIMEOUT_SECONDS,
                max_queue=MAX_QUEUED_MESSAGES,
                max_size=MAX_MESSAGE_BYTES,
            ) as socket:
                yield Sender.begin(socket)
        except InvalidStatus as error:
            raise _not_upgraded(_response(error)) from None
        except ConnectionClosed as error:
            raise _closed(error) from None
        except (WebSocketException, OSError) as error:
            raise _not_opened(error) from None


def _response(error: InvalidStatus) -> HttpResponse:
    response = error.response
    later = retry_after(response.headers.get("Retry-After"))
    return HttpResponse(response.status_code, bytes(response.body or b""), later)


def _not_upgraded(response: HttpResponse) -> PeerError | Unauthorized | NotFound:
    """Return the error for an answer to a handshake that does not open the socket.

    Without its header `Upgrade`, which many proxies do not pass on, a handshake is an ordinary
    request.
    """
    status, detail = response.status, response.detail()
    if status in UPGRADE_LOST_STATUSES or detail.startswith(NO_HANDSHAKE):
        why = "" if detail.startswith(NO_HANDSHAKE) else f": {detail}"
        message = f"{NO_HANDSHAKE}: a proxy does not pass on `Upgrade` (answered {status}{why})"
        return BadAnswer(message, status=status, reason=UPGRADE_LOST)
    return _refusal(response)


def _refusal(response: HttpResponse) -> PeerError | Unauthorized | NotFound:
    """Return the error for a status that is not 2xx: Unavailable if it may change, else final."""
    status, detail = response.status, response.detail()
    if status in REFUSALS:
        return REFUSALS[status](detail)
    message = f"answered {status}: {detail}"
    if status not in RETRY_STATUSES:
        return BadAnswer(message, status=status)
    if response.retry_after is None:
        return Unavailable(message, status=status)
    return Unavailable(message, status=status, retry_after=response.retry_after)


def _closed(error: ConnectionClosed) -> PeerError:
    """Return the error for a closed socket; it is not final if the socket may be opened again."""
    received = error.rcvd
    if received is None:
        return Unreachable("the connection ended", reason="closed")
    code, said = received.code, quoted(received.reason)
    if code in RETRY_CODES:
        why = f": {said}" if said else ""
        return Unavailable(f"the service closed the connection ({code}){why}", code=code)
    return BadAnswer(f"the service closed the stream: {said}", reason=str(code))


def _not_opened(error: WebSocketException | OSError) -> Unreachable:
    if (why := tls_failure_reason(error)) is not None:
        return Unreachable(f"the socket could not be opened: {why}", reason="tls")
    if isinstance(error, InvalidURI):
        why = "the address is not a valid URL"
    elif isinstance(error, TimeoutError):
        why = "no answer in time"
    else:
        why = connection_fault(error)
        if why == OTHER_FAULT and isinstance(error, InvalidHandshake):
            why = "the answer is not a WebSocket handshake"
    return Unreachable(f"the socket could not be opened: {why}", reason="unreachable")


class Sender:
    """Sends data through a socket, within the credit that the service grants.

    Every method raises ConnectionClosed when the socket closes, also after a missing pong.
    `StreamClient.ingest` turns it into Unreachable or Unavailable (try again) or BadAnswer.
    """

    def __init__(
        self,
        socket: ClientConnection,
        sequence: int,
        total: int,
        mode: str,
        *,
        may_end_window: bool = False,
    ) -> None:
        """`may_end_window`: whether the service knows `end_window`, as earlier ones do not."""
        self._socket = socket
        self._may_end_window = may_end_window
        self._credit = 0
        self.sequence = sequence  # chunks of the stream that are stored
        self.total = total  # bytes of the stream that are stored
        self.mode = mode
        self.windows: dict[int, str] = {}  # the latest state of each window
        self.on_idle: Callable[[], object] = lambda: None  # called while the service says nothing

    @classmethod
    def begin(cls, socket: ClientConnection) -> Self:
        """Read the service's first message. Raises BadAnswer, InvalidEncoding."""
        said = _message(socket.recv(timeout=DEADLINE_SECONDS))
        if said.get("type") != "hello":
            raise BadAnswer(f"the first message is {said.get('type')!a}, expected 'hello'")
        members = Members(said, "hello")
        sequence, total = members.integer("sequence"), members.integer("bytes")
        may_end_window = said.get("end_window") is True
        return cls(socket, sequence, total, members.text("mode"), may_end_window=may_end_window)

    def send(self, data: bytes | memoryview) -> None:
        """Send one message, as soon as there is credit for it."""
        cost = max(MIN_MESSAGE_CREDIT_BYTES, len(data)) if self.mode == "message" else len(data)
        while self._credit < cost:
            self.receive_or_idle()
        self._credit -= cost
        self._socket.send(data)
        while self._take(0.0):
            pass

    def flush(self) -> None:
        """Ask the service to make a chunk of the data that it has received."""
        self._socket.send(json.dumps({"type": "flush"}))

    def end_window(self) -> None:
        """Flush, and ask the service not to wait for more data before it closes the window."""
        if self._may_end_window:
            self._socket.send(json.dumps({"type": "end_window"}))
        else:
            self.flush()

    def receive(self, seconds: float | None) -> bool:
        """Read one message of the service.

        Args:
            seconds: the time to wait; None for no limit.

        Returns:
            False if no message arrived in time.
        """
        return self._take(seconds)

    def receive_or_idle(self) -> None:
        """Read one message of the service, or call `on_idle` if none arrives in IDLE_SECONDS."""
        if not self.receive(IDLE_SECONDS):
            self.on_idle()

    def wait(self, true: Callable[[], bool]) -> None:
        """Read messages of the service until `true()` returns True."""
        while not true():
            self.receive_or_idle()

    def _take(self, seconds: float | None) -> bool:
        try:
            said = _message(self._socket.recv(timeout=seconds))
        except TimeoutError:
            return False
        match said.get("type"):
            case "credit":
                self._credit += Members(said, "credit").integer("bytes")
            case "accepted":
                members = Members(said, "accepted")
                self.sequence, self.total = members.integer("sequence"), members.integer("bytes")
            case "closed" | "announced" | "proven" | "certified" | "invalid" as state:
                self.windows[Members(said, "the window").integer("window")] = str(state)
            case _:
                pass
        return True


def _message(raw: str | bytes) -> dict[str, Json]:
    try:
        said = parse(raw)
    except InvalidEncoding:
        said = None
    if not isinstance(said, dict):
        raise BadAnswer("the service sent a message that is not a JSON object")
    return said
