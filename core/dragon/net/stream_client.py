"""Using a stream service: making a stream, and sending it data from where it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from dragon.encoding import Json, Members, parse
from dragon.errors import BadAnswer, InvalidEncoding, NotFound, Unauthorized, Unreachable
from dragon.net.http_client import HttpClient
from dragon.net.tls import client_context

DEADLINE: Final = 10.0  # seconds for one request, for opening a socket, for any sign of life
PATIENCE: Final = 30.0  # for a sign of life while data is sent
LEAST: Final = 1024  # bytes of credit that a message takes at the least
LARGEST: Final = 2 << 20  # bytes of a receipt with its proof
REFUSED: Final[Mapping[int, type[Unauthorized] | type[NotFound]]] = {
    401: Unauthorized,
    404: NotFound,
}


@dataclass(frozen=True, slots=True)
class StreamClient:
    """One stream service. `token` is the service's for making streams, else the stream's."""

    url: str
    http: HttpClient
    token: str = field(default="", repr=False)
    ca: Path | None = None

    def make(self, wanted: Mapping[str, Json]) -> dict[str, Json]:
        """The stream of that name, new or as it is. Raises PeerError, Unauthorized."""
        return self._ask("POST", "/streams", json.dumps(dict(wanted)).encode())

    def get(self, path: str, **params: str | int) -> dict[str, Json]:
        """One JSON object. Raises PeerError, Unauthorized, NotFound."""
        return self._ask("GET", path, params=params)

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        params: Mapping[str, str | int] | None = None,
    ) -> dict[str, Json]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        answer = self.http.send(
            method,
            self.url + path,
            deadline=DEADLINE,
            body=body,
            headers=headers,
            params=params,
            max_bytes=LARGEST,
        )
        if answer.status in REFUSED:
            raise REFUSED[answer.status](answer.detail())
        found = answer.successful()
        if not isinstance(found, dict):
            raise BadAnswer("the answer is no JSON object")
        return found

    @contextmanager
    def ingest(self, stream: str) -> Iterator[Sender]:
        """The socket by which data goes in. Raises as `Sender` does."""
        address = "ws" + self.url.removeprefix("http") + f"/streams/{stream}/ingest"
        secure = address.startswith("wss:")
        try:
            with connect(
                address,
                ssl=client_context(self.ca) if secure else None,
                additional_headers={"Authorization": f"Bearer {self.token}"},
                compression=None,
                proxy=None,
                open_timeout=DEADLINE,
                close_timeout=DEADLINE,
                ping_interval=DEADLINE,
                ping_timeout=PATIENCE,
                max_queue=1024,
                max_size=1 << 20,
            ) as socket:
                yield Sender.begin(socket)
        except InvalidStatus as error:
            raise _refusal(error) from None
        except ConnectionClosed as error:
            raise _closed(error) from None
        except (WebSocketException, OSError) as error:
            kind = type(error).__name__
            raise Unreachable(f"no socket ({kind})", reason="unreachable") from None


def _refusal(error: InvalidStatus) -> Exception:
    status, detail = error.response.status_code, ""
    try:
        problem = parse(bytes(error.response.body or b""))
        if isinstance(problem, dict):
            detail = ascii(str(problem.get("detail", ""))[:200])[1:-1]
    except InvalidEncoding:
        pass
    if status in REFUSED:
        return REFUSED[status](detail or f"answered {status}")
    return BadAnswer(f"answered {status}: {detail or 'no explanation'}", status=status)


def _closed(error: ConnectionClosed) -> Exception:
    """What the service says when it closes is worth telling; a connection that breaks is not."""
    received = error.rcvd
    if received is None or received.code in {1000, 1001, 1006, 1011, 1012}:
        return Unreachable("the connection ended", reason="closed")
    reason = ascii(received.reason)[1:-1]
    return BadAnswer(f"the service closed the stream: {reason}", reason=str(received.code))


class Sender:
    """A socket that data goes in by, within the credit that the service grants.

    Every method raises ConnectionClosed, which `StreamClient.ingest` turns into Unreachable (worth
    trying again) or BadAnswer; Overdue never: without any sign of life the connection is closed.
    """

    def __init__(self, socket: ClientConnection, sequence: int, total: int, mode: str) -> None:
        self._socket = socket
        self._credit = 0
        self.sequence = sequence  # chunks that are safe
        self.total = total  # bytes of the stream that are safe
        self.mode = mode
        self.windows: dict[int, str] = {}  # what has become of those that were told of

    @classmethod
    def begin(cls, socket: ClientConnection) -> Self:
        said = _message(socket.recv(timeout=DEADLINE))
        if said.get("type") != "hello":
            raise BadAnswer("the service does not say hello")
        members = Members(said, "hello")
        sequence, total = members.integer("sequence"), members.integer("bytes")
        return cls(socket, sequence, total, members.text("mode"))

    def send(self, data: bytes | memoryview) -> None:
        """As soon as there is credit for it."""
        cost = max(LEAST, len(data)) if self.mode == "message" else len(data)
        while self._credit < cost:
            self.receive(None)
        self._credit -= cost
        self._socket.send(data)
        while self._take(0.0):
            pass

    def flush(self) -> None:
        """Have a chunk made of what was sent."""
        self._socket.send(json.dumps({"type": "flush"}))

    def receive(self, seconds: float | None) -> bool:
        """Take what the service says next; whether it came in time."""
        return self._take(seconds)

    def wait(self, true: Callable[[], bool]) -> None:
        """Until what the service says makes something true."""
        while not true():
            self.receive(None)

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
        raise BadAnswer("the service says something that is no message")
    return said
