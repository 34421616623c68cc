"""Upload data to a stream, resuming after lost connections.

Data that the stream service has not stored yet is kept in memory. After a lost connection the
upload continues where the service says that the stream ends, so no byte is lost or stored twice.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from dragon.errors import BadAnswer, Unreachable
from dragon.net.stream_client import Sender, StreamClient

PIECE_BYTES: Final = 64 * 1024  # a suitable size of pieces for a stream of bytes
FIRST_BACKOFF_SECONDS: Final = 0.5
MAX_BACKOFF_SECONDS: Final = 5.0

Progress = Callable[[int, int], None]  # bytes and chunks of the stream that the service has stored


@dataclass
class StreamUpload:
    """One upload to one stream.

    Args:
        client: a client with the stream's token.
        stream: the id of the stream, 0x….
        pieces: the data, in order. In a stream of messages each piece is one message.
        base: the bytes that the stream must have before the first piece; None: any number.
        retry_seconds: the upload fails after this time without a connection.
        progress: called with the bytes and chunks of the stream that are stored.
        monotonic: a clock in seconds.
        sleep: waits for a number of seconds.

    `first` is the number of the first chunk, known after the first connection.
    """

    client: StreamClient
    stream: str
    pieces: Iterable[bytes]
    base: int | None = None
    retry_seconds: float = 120.0
    progress: Progress = lambda _bytes, _chunks: None
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    first: int | None = field(default=None, init=False)
    _pending: deque[bytes] = field(default_factory=deque)  # pieces that are not stored yet
    _stored_bytes: int = 0  # bytes of the stream before the pending pieces
    _stored_chunks: int = 0  # in a stream of messages: chunks before the pending pieces

    def run(self) -> tuple[int, int]:
        """Upload all pieces; return bytes and chunks of the stream once all are stored.

        Raises:
            Unreachable: no connection for `retry_seconds`.
            BadAnswer: the service refuses, or the stream has another length than expected.
            Unauthorized: the token is wrong.
            NotFound: the stream does not exist.
        """
        pieces, pause, since = iter(self.pieces), FIRST_BACKOFF_SECONDS, self.monotonic()
        while True:
            try:
                with self.client.ingest(self.stream) as sender:
                    pause = FIRST_BACKOFF_SECONDS
                    self._resume(sender)
                    self._send_all(sender, pieces)
                    return sender.total, sender.sequence
            except Unreachable:
                since = since if pause > FIRST_BACKOFF_SECONDS else self.monotonic()
                if self.monotonic() - since > self.retry_seconds:
                    raise
            self.sleep(pause)
            pause = min(2 * pause, MAX_BACKOFF_SECONDS)

    def _resume(self, sender: Sender) -> None:
        """Send the pending pieces again. Raises BadAnswer: the stream has an unexpected length."""
        if self.base is None:
            self.base = sender.total
        if self.first is None:
            self.first, self._stored_chunks = sender.sequence, sender.sequence
            self._stored_bytes = sender.total
            self._check_length(sender, self.base)
        self._drop_stored(sender)
        self._check_length(sender, self._stored_bytes)
        for piece in list(self._pending):
            self._send(sender, piece)

    def _send_all(self, sender: Sender, pieces: Iterator[bytes]) -> None:
        for piece in pieces:
            self._pending.append(piece)
            self._send(sender, piece)
        sender.flush()
        end = self._stored_bytes + sum(map(len, self._pending))
        while self._pending:
            sender.receive(None)
            self._report(sender)
        self._check_length(sender, end)

    def _send(self, sender: Sender, piece: bytes) -> None:
        sender.send(piece)
        self._report(sender)

    def _report(self, sender: Sender) -> None:
        self._drop_stored(sender)
        self.progress(sender.total, sender.sequence)

    @staticmethod
    def _check_length(sender: Sender, expected: int) -> None:
        if sender.total != expected:
            message = (
                f"The stream has {sender.total} bytes, expected {expected}: "
                "another client may have written to it."
            )
            raise BadAnswer(message, reason="offset")

    def _drop_stored(self, sender: Sender) -> None:
        """Forget pieces, and parts of pieces, that the service has stored."""
        if sender.mode == "message":
            while self._pending and self._stored_chunks < sender.sequence:
                self._stored_bytes += len(self._pending.popleft())
                self._stored_chunks += 1
            return
        while self._pending and self._stored_bytes < sender.total:
            piece, stored = self._pending[0], sender.total - self._stored_bytes
            if stored >= len(piece):
                self._stored_bytes += len(self._pending.popleft())
            else:
                self._pending[0] = piece[stored:]
                self._stored_bytes += stored
