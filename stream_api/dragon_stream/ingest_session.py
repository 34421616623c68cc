"""What is said on the socket by which data comes in.

Binary frames are data, text frames are JSON. The service grants credit in bytes and holds no more
than it granted: what comes above it ends the connection. `accepted` says what would survive a
crash; a client that comes again goes on from there.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from dragon import errors
from dragon.encoding import Members, parse
from dragon.node.websocket import NOT_TEXT, POLICY, TOO_BIG, Closed, Connection
from dragon_stream.chunker import MESSAGE
from dragon_stream.streams import Stream

CREDIT_EACH: Final = 4 << 20  # bytes that one source may have under way
CREDIT_LEAST: Final = 256 << 10
CREDIT_IN_ALL: Final = 64 << 20
LEAST: Final = 1024  # what a message counts at the least: each is a chunk, however small


def credit_for(sockets: int) -> int:
    """How many bytes a source may have under way, beside so many others."""
    return max(CREDIT_LEAST, min(CREDIT_EACH, CREDIT_IN_ALL // max(1, sockets)))


class Ingest:
    """One socket that data comes in by. Its methods are called by the thread that owns the socket,
    but `accepted`, `ousted` and `has_room`."""

    def __init__(
        self,
        stream: Stream,
        connection: Connection,
        *,
        credit: int,
        may_grant: Callable[[], bool],
    ) -> None:
        """`may_grant`: whether windows that wait leave room for more data."""
        self._stream = stream
        self._connection = connection
        self._credit = credit
        self._may_grant = may_grant
        self._lock = threading.Lock()  # guards what follows
        self._costs: deque[int] = deque()  # of messages that are not safe yet
        self._message = 0  # bytes of the one that is coming
        self._received = 0  # what came on this connection, in credit
        self._safe = 0  # of it
        self._granted = 0
        self._began = 0  # the stream's bytes when it was attached
        self._sequence = 0  # chunks that are safe
        self._begun = False

    def begin(self) -> None:
        """Take the stream over, and say where to go on. Raises Closed."""
        try:
            sequence, total = self._stream.intake.attach(self)
        except (errors.StreamStopped, errors.Overdue) as error:
            raise Closed(POLICY, str(error)) from None
        row = self._stream.row
        with self._lock:
            self._began, self._sequence, self._begun = total, sequence, True
        hello = {"stream": f"0x{row.stream.hex()}", "sequence": sequence, "bytes": total}
        self._say("hello", **hello, chunk_bytes=row.chunk_bytes, mode=row.mode)
        self.has_room()

    def end(self, cleanly: bool) -> None:
        """What was sent before a clean end makes a chunk; else the client sends it again."""
        try:
            if cleanly:
                self._stream.intake.flush(self)
        except errors.StreamStopped:
            pass
        finally:
            self._stream.intake.detach(self)

    # For the connection

    def on_bytes(self, piece: bytes | bytearray, *, finished: bool) -> None:
        self._count(len(piece), finished=finished)
        try:
            self._stream.intake.feed(self, piece, finished=finished)
        except errors.TooLarge as error:
            raise Closed(TOO_BIG, str(error)) from None
        except errors.StreamStopped as error:
            raise Closed(POLICY, str(error)) from None

    def _count(self, size: int, *, finished: bool) -> None:
        """Against the credit. Raises Closed."""
        with self._lock:
            self._received += size
            self._message += size
            if finished and self._stream.row.mode == MESSAGE:
                cost = max(LEAST, self._message)
                self._received += cost - self._message
                self._costs.append(cost)
            if finished:
                self._message = 0
            if self._received > self._granted:
                raise Closed(TOO_BIG, f"{self._granted} bytes were granted, and more came")

    def on_text(self, text: str) -> None:
        """The one thing that a client may say: make a chunk of what has come. Raises Closed."""
        try:
            members = Members(parse(text), "the message")
            members.word("type", ["flush"])
            members.end()
        except errors.NotJson:
            raise Closed(NOT_TEXT, "a text message is JSON; data comes in binary ones") from None
        except errors.InvalidEncoding as error:
            raise Closed(POLICY, str(error)) from None
        try:
            self._stream.intake.flush(self)
        except errors.StreamStopped as error:
            raise Closed(POLICY, str(error)) from None

    # For other threads

    def accepted(self, sequence: int, total: int) -> None:
        with self._lock:
            if not self._begun:
                return  # what the source before has sent
            if self._stream.row.mode == MESSAGE:
                self._safe += sum(self._costs.popleft() for _ in range(sequence - self._sequence))
            else:
                self._safe = total - self._began
            self._sequence = sequence
        self._say("accepted", sequence=sequence, bytes=total)
        self.has_room()

    def ousted(self, why: str) -> None:
        self._connection.close(POLICY, why)

    def has_room(self) -> None:
        """Grant what is safe anew, a quarter of the whole at the least, while there is room."""
        if not self._begun or not self._may_grant():
            return
        with self._lock:
            more = self._safe + self._credit - self._granted
            if 4 * more < self._credit:
                return
            self._granted += more
        self._say("credit", bytes=more)

    def _say(self, kind: str, **facts: object) -> None:
        self._connection.send(json.dumps({"type": kind, **facts}))


class Upload:
    """Data that comes in one request: a source that is told nothing on the way."""

    def accepted(self, sequence: int, total: int) -> None:
        """The request waits for it."""

    def ousted(self, why: str) -> None:
        """The request sees it."""

    def has_room(self) -> None:
        """It asked before it began."""
