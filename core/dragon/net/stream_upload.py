"""Sending data to a stream, through whatever happens to the connection.

What the service has not called safe is kept here and sent again, from where the service says that
the stream ends. So nothing is lost or doubled, whoever is killed meanwhile.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from dragon.errors import BadAnswer, Unreachable
from dragon.net.stream_client import Sender, StreamClient

PIECE: Final = 64 * 1024
AGAIN: Final = 0.5  # seconds until the next attempt, at first
SLOWEST: Final = 5.0

Progress = Callable[[int, int], None]  # bytes and chunks of the stream that are safe


@dataclass
class StreamUpload:
    """One run over pieces of data. In a stream of messages a piece is a message and a chunk."""

    client: StreamClient
    stream: str
    pieces: Iterable[bytes]
    base: int | None = None  # the stream's bytes before the first piece; None: as it is now
    patience: float = 120.0  # seconds without any connection
    progress: Progress = lambda _bytes, _chunks: None
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    first: int | None = None  # sequence of the first chunk, once it is known
    _unsafe: deque[bytes] = field(default_factory=deque)
    _at: int = 0  # the stream's bytes before what is unsafe
    _sequence: int = 0  # in a stream of messages, its chunks before what is unsafe

    def run(self) -> tuple[int, int]:
        """Send everything; returns the stream's bytes and chunks when all of it is safe.

        Raises:
            Unreachable: no connection for too long.
            BadAnswer: the service refuses, or the stream is not where it should be.
            Unauthorized, NotFound.
        """
        pieces, pause, since = iter(self.pieces), AGAIN, self.monotonic()
        while True:
            try:
                with self.client.ingest(self.stream) as sender:
                    pause = AGAIN
                    self._agree(sender)
                    self._send(sender, pieces)
                    return sender.total, sender.sequence
            except Unreachable:
                since = since if pause > AGAIN else self.monotonic()
                if self.monotonic() - since > self.patience:
                    raise
            self.sleep(pause)
            pause = min(2 * pause, SLOWEST)

    def _agree(self, sender: Sender) -> None:
        """Where to go on. Raises BadAnswer: somebody else has written meanwhile."""
        if self.base is None:
            self.base = sender.total
        if self.first is None:
            self.first, self._at, self._sequence = sender.sequence, self.base, sender.sequence
        self._drop_safe(sender)
        if sender.total != self._at:
            message = f"the stream has {sender.total} bytes, and {self._at} were expected"
            raise BadAnswer(message, reason="offset")
        for piece in list(self._unsafe):
            self._hand(sender, piece)

    def _send(self, sender: Sender, pieces: Iterator[bytes]) -> None:
        for piece in pieces:
            self._unsafe.append(piece)
            self._hand(sender, piece)
        sender.flush()
        end = self._at + sum(map(len, self._unsafe))
        while self._unsafe:
            sender.receive(None)
            self._note(sender)
        if sender.total != end:
            raise BadAnswer("the stream has another length than was sent", reason="offset")

    def _hand(self, sender: Sender, piece: bytes) -> None:
        sender.send(piece)
        self._note(sender)

    def _note(self, sender: Sender) -> None:
        self._drop_safe(sender)
        self.progress(sender.total, sender.sequence)

    def _drop_safe(self, sender: Sender) -> None:
        if sender.mode == "message":
            while self._unsafe and self._sequence < sender.sequence:
                self._at += len(self._unsafe.popleft())
                self._sequence += 1
            return
        while self._unsafe and self._at < sender.total:
            piece, more = self._unsafe[0], sender.total - self._at
            if more >= len(piece):
                self._at += len(self._unsafe.popleft())
            else:
                self._unsafe[0] = piece[more:]
                self._at += more
