"""The protocol of the WebSocket that accepts data.

Binary frames carry data, text frames carry JSON. The service grants credit in bytes and closes the
connection if the client sends more, which bounds the memory of a source. `accepted` messages say
what is on disk; a client that reconnects continues from there.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from dragon import errors
from dragon.encoding import Members, parse
from dragon.node.websocket import (
    INTERNAL,
    NOT_TEXT,
    POLICY,
    TOO_BIG,
    TRY_AGAIN,
    Closed,
    Connection,
)
from dragon_stream.chunker import MESSAGE_MODE
from dragon_stream.streams import Stream

MAX_CREDIT_BYTES: Final = 4 << 20  # credit of one source
MIN_CREDIT_BYTES: Final = 256 << 10  # credit of one source beside many others
TOTAL_CREDIT_BYTES: Final = 64 << 20  # credit of all sources, approximately
MIN_MESSAGE_COST_BYTES: Final = 1024  # least credit for a message, which becomes a chunk


def credit_for(sockets: int) -> int:
    """The bytes that one source may have in flight while that many sockets are open."""
    return max(MIN_CREDIT_BYTES, min(MAX_CREDIT_BYTES, TOTAL_CREDIT_BYTES // max(1, sockets)))


class IngestSession:
    """One connection that sends data.

    The thread that owns the socket calls all methods except `on_accepted`, `on_replaced` and
    `on_capacity`.
    """

    def __init__(
        self,
        stream: Stream,
        connection: Connection,
        *,
        credit: int,
        may_grant: Callable[[], bool],
    ) -> None:
        """
        Args:
            stream: the stream that the data belongs to.
            connection: where messages are sent.
            credit: bytes that may be in flight.
            may_grant: returns whether pending windows leave room for more data.
        """
        self._stream = stream
        self._connection = connection
        self._credit = credit
        self._may_grant = may_grant
        self._lock = threading.Lock()  # guards everything below
        self._costs: deque[int] = deque()  # of messages that are not on disk yet
        self._message = 0  # bytes of the message that is arriving
        self._received = 0  # credit that was used on this connection
        self._stored = 0  # credit of data that is on disk
        self._granted = 0  # credit that was granted on this connection
        self._first_byte = 0  # the stream's size when this connection took over
        self._sequence = 0  # chunks that are on disk
        self._begun = False
        self._lost: errors.DiskError | None = None  # why data could not be written

    def begin(self) -> None:
        """Take the stream over and tell the client where to continue. Raises Closed."""
        try:
            sequence, total = self._stream.chunker.attach(self)
        except errors.Overdue as error:
            raise Closed(TRY_AGAIN, str(error)) from None
        except errors.StreamStopped as error:
            raise Closed(POLICY, str(error)) from None
        row = self._stream.row
        with self._lock:
            self._first_byte, self._sequence, self._begun = total, sequence, True
        hello = {"stream": f"0x{row.stream.hex()}", "sequence": sequence, "bytes": total}
        facts = {"chunk_bytes": row.chunk_bytes, "mode": row.mode, "end_window": True}
        self._send("hello", **hello, **facts)
        self.on_capacity()

    def end(self, cleanly: bool) -> None:
        """Release the stream.

        After a clean close the remaining data becomes a chunk; otherwise the client resends it.
        """
        try:
            if cleanly:
                self._stream.chunker.flush(self)
        except errors.StreamStopped:
            pass
        finally:
            self._stream.chunker.detach(self)

    # Called by the connection

    def on_bytes(self, piece: bytes | bytearray, *, finished: bool) -> None:
        self._use_credit(len(piece), finished=finished)
        try:
            self._stream.chunker.feed(self, piece, finished=finished)
        except errors.TooLarge as error:
            raise Closed(TOO_BIG, str(error)) from None
        except errors.StreamStopped as error:
            raise self._closed(error) from None

    def _use_credit(self, size: int, *, finished: bool) -> None:
        with self._lock:
            self._received += size
            self._message += size
            if finished and self._stream.row.mode == MESSAGE_MODE:
                cost = max(MIN_MESSAGE_COST_BYTES, self._message)
                self._received += cost - self._message
                self._costs.append(cost)
            if finished:
                self._message = 0
            if self._received > self._granted:
                message = f"more data than the {self._granted} bytes of credit that were granted"
                raise Closed(TOO_BIG, message)

    def on_text(self, text: str) -> None:
        """Handle `{"type":"flush"}` or `{"type":"end_window"}`. Raises Closed."""
        try:
            members = Members(parse(text), "the message")
            wanted = members.word("type", ["flush", "end_window"])
            members.end()
        except errors.NotJson:
            message = "a text message must be JSON; send data in binary messages"
            raise Closed(NOT_TEXT, message) from None
        except errors.InvalidEncoding as error:
            raise Closed(POLICY, str(error)) from None
        chunker = self._stream.chunker
        try:
            if wanted == "flush":
                chunker.flush(self)
            else:
                chunker.end_window(self)
        except errors.StreamStopped as error:
            raise self._closed(error) from None

    def _closed(self, error: errors.StreamStopped) -> Closed:
        """A source whose data could not be written was not replaced: it may try again."""
        return Closed(INTERNAL, str(self._lost)) if self._lost else Closed(POLICY, str(error))

    # Called by other threads

    def on_accepted(self, sequence: int, total: int) -> None:
        with self._lock:
            if not self._begun:
                return  # chunks of the previous source
            if self._stream.row.mode == MESSAGE_MODE:
                stored = (self._costs.popleft() for _ in range(sequence - self._sequence))
                self._stored += sum(stored)
            else:
                self._stored = total - self._first_byte
            self._sequence = sequence
        self._send("accepted", sequence=sequence, bytes=total)
        self.on_capacity()

    def on_replaced(self, reason: str) -> None:
        self._connection.close(POLICY, reason)

    def on_lost(self, error: errors.DiskError) -> None:
        self._lost = error
        self._connection.close(INTERNAL, str(error))  # with this code clients try again

    def on_capacity(self) -> None:
        """Grant credit again, in steps of at least a quarter, while there is capacity."""
        if not self._begun or not self._may_grant():
            return
        with self._lock:
            more = self._stored + self._credit - self._granted
            if 4 * more < self._credit:
                return
            self._granted += more
        self._send("credit", bytes=more)

    def _send(self, kind: str, **facts: object) -> None:
        self._connection.send(json.dumps({"type": kind, **facts}))


class Upload:
    """A source for the data of one HTTP request, which needs no notifications but one."""

    def __init__(self) -> None:
        self.error: errors.DiskError | None = None  # why its data could not be written

    def check(self) -> None:
        """Raises DiskFull, DiskFailed: data of the request was not written."""
        if self.error is not None:
            raise self.error

    def on_accepted(self, sequence: int, total: int) -> None:
        """Nothing to do: the request waits with `Chunker.wait_for`."""

    def on_replaced(self, reason: str) -> None:
        """Nothing to do: the request's next call raises StreamStopped."""

    def on_lost(self, error: errors.DiskError) -> None:
        self.error = error

    @property
    def is_lost(self) -> bool:
        """Whether data of the request was not written."""
        return self.error is not None

    def on_capacity(self) -> None:
        """Nothing to do: the request checked the capacity before it began."""
