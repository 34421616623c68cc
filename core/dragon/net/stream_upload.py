"""Upload data to a stream, resuming after lost connections.

Data that the stream service has not stored yet is kept in memory. After a lost connection the
upload continues where the service says that the stream ends, so no byte is lost or stored twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from dragon.errors import BadAnswer, PeerError, Unavailable
from dragon.net.retries import STALL_NOTICE_SECONDS, Retries
from dragon.net.stream_client import Sender, StreamClient

PIECE_BYTES: Final = 64 * 1024  # a suitable size of pieces for a stream of bytes

Progress = Callable[[int, int], None]  # bytes and chunks of the stream that the service has stored


@dataclass
class StreamUpload:
    """One upload to one stream.

    Args:
        client: a client with the stream's token.
        stream: the id of the stream, 0x….
        pieces: the data, in order. In a stream of messages each piece is one message.
        base: the bytes that the stream must have before the first piece; None: any number.
        progress: called with the bytes and chunks of the stream that are stored.
        retries: what happens while the service cannot be reached or stores nothing.
        end_window: whether the last window is closed at the end, and not later with other data.

    `first` is the number of the first chunk, known after the first connection.
    """

    client: StreamClient
    stream: str
    pieces: Iterable[bytes]
    base: int | None = None
    progress: Progress = lambda _bytes, _chunks: None
    retries: Retries = field(default_factory=Retries)
    end_window: bool = False
    first: int | None = field(default=None, init=False)
    _pending: deque[bytes] = field(default_factory=deque)  # pieces that are not stored yet
    _stored_bytes: int = 0  # bytes of the stream before the pending pieces
    _stored_chunks: int = 0  # in a stream of messages: chunks before the pending pieces

    def run(self) -> tuple[int, int]:
        """Upload all pieces; return bytes and chunks of the stream once all are stored.

        Raises:
            Unreachable, Unavailable: nothing was stored for as long as `retries` allows.
            BadAnswer: the service refuses, or the stream has another length than expected.
            Unauthorized: the token is wrong.
            NotFound: the stream does not exist.
        """
        pieces = iter(self.pieces)
        while True:
            try:
                with self.client.ingest(self.stream) as sender:
                    sender.on_idle = partial(self._stalled, sender)
                    self._resume(sender)
                    self._send_all(sender, pieces)
                    return sender.total, sender.sequence
            except PeerError as error:
                self.retries.failed(error)

    def _resume(self, sender: Sender) -> None:
        """Send the pending pieces again. Raises BadAnswer: the stream has an unexpected length."""
        if self.base is None:
            self.base = sender.total
        if self.first is None:
            self.first, self._stored_chunks = sender.sequence, sender.sequence
            self._stored_bytes = sender.total
            self._check_length(sender, self.base)
        self._report(sender)
        self._check_length(sender, self._stored_bytes)
        if not self._pending:
            self.retries.progress()  # connected, and everything is stored
        for piece in list(self._pending):
            self._send(sender, piece)

    def _send_all(self, sender: Sender, pieces: Iterator[bytes]) -> None:
        for piece in pieces:
            self._pending.append(piece)  # before anything that can fail
            sender.receive(0.0)  # the service may have stored data while the source was slow
            self._report(sender)
            self._send(sender, piece)
        if self.end_window:
            sender.end_window()
        else:
            sender.flush()
        end = self._stored_bytes + sum(map(len, self._pending))
        while self._pending:
            sender.receive_or_idle()
            self._report(sender)
        self._check_length(sender, end)

    def _send(self, sender: Sender, piece: bytes) -> None:
        sender.send(piece)
        self._report(sender)

    def _report(self, sender: Sender) -> None:
        before = self._stored
        self._drop_stored(sender)
        if self._stored != before:
            self.retries.progress()
        self.progress(sender.total, sender.sequence)

    def _stalled(self, sender: Sender) -> None:
        """Handle a second without a message. Raises Unavailable: it was one too many."""
        self._report(sender)
        self.retries.stalled(
            Unavailable(
                f"nothing was stored for {STALL_NOTICE_SECONDS:.0f} s; "
                "earlier windows of the stream may wait to be certified",
                reason="stalled",
            )
        )

    @property
    def _stored(self) -> tuple[int, int]:
        return self._stored_bytes, self._stored_chunks

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
