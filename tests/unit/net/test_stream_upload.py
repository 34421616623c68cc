"""Uploads through unreliable connections: nothing is lost or stored twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from dragon.errors import BadAnswer, Unreachable
from dragon.net.stream_upload import FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS, StreamUpload


@dataclass
class Stream:
    """A stream service that stores what it receives and breaks connections on purpose."""

    mode: str = "bytes"
    chunk: int = 4
    data: bytes = b""  # stored
    chunks: list[bytes] = field(default_factory=list)
    breaks: list[int] = field(default_factory=list)  # pieces after which a connection breaks
    away: int = 0  # attempts to connect that fail
    slept: list[float] = field(default_factory=list)
    now: float = 0.0

    @contextmanager
    def ingest(self, _stream: str) -> Iterator[Sending]:
        if self.away:
            self.away -= 1
            raise Unreachable("closed port", reason="unreachable")
        yield Sending(self, self.breaks.pop(0) if self.breaks else None)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def upload(self, *pieces: bytes, **options: Any) -> StreamUpload:
        return StreamUpload(
            self,  # type: ignore[arg-type]
            *("0x", pieces),
            **options,
            monotonic=lambda: self.now,
            sleep=self.sleep,
        )


class Sending:
    """One connection."""

    def __init__(self, stream: Stream, left: int | None) -> None:
        self._stream, self._left, self._buffer = stream, left, b""
        self.mode = stream.mode

    @property
    def total(self) -> int:
        return len(self._stream.data)

    @property
    def sequence(self) -> int:
        return len(self._stream.chunks)

    def send(self, piece: bytes) -> None:
        if self._left == 0:
            raise Unreachable("the connection ended", reason="closed")
        self._left = None if self._left is None else self._left - 1
        self._buffer += piece
        if self.mode == "message":
            self._keep(len(self._buffer))
        while len(self._buffer) >= self._stream.chunk:
            self._keep(self._stream.chunk)

    def _keep(self, size: int) -> None:
        chunk, self._buffer = self._buffer[:size], self._buffer[size:]
        self._stream.data += chunk
        self._stream.chunks.append(chunk)

    def flush(self) -> None:
        if self._buffer:
            self._keep(len(self._buffer))

    def receive(self, _timeout: float | None) -> None:
        """All data is stored already."""


def test_all_data_is_stored_once() -> None:
    stream = Stream()

    assert stream.upload(b"abc", b"defgh", b"i").run() == (9, 3)

    assert stream.data == b"abcdefghi"
    assert stream.slept == []


@pytest.mark.parametrize("mode", ["bytes", "message"])
@pytest.mark.parametrize("breaks", [[0], [1], [2], [3, 1, 0], [0, 0, 4]], ids=str)
def test_lost_connections_lose_no_data(mode: str, breaks: list[int]) -> None:
    stream = Stream(mode=mode, breaks=[*breaks], data=b"before", chunks=[b"before"])
    pieces = [b"abc", b"de", b"fghijk", b"l", b"mnopqrs"]

    total, chunks = stream.upload(*pieces).run()

    assert stream.data == b"before" + b"".join(pieces)
    assert (total, chunks) == (len(stream.data), len(stream.chunks))
    if mode == "message":
        assert stream.chunks[1:] == pieces
    assert len(stream.slept) == len(breaks)


def test_equal_messages_are_all_stored() -> None:
    stream = Stream(mode="message", breaks=[2, 1])

    stream.upload(*[b"21.5"] * 5).run()

    assert stream.chunks == [b"21.5"] * 5


def test_pauses_between_attempts_grow_to_a_limit() -> None:
    stream = Stream(away=6)

    stream.upload(b"abc").run()

    assert stream.slept == [
        FIRST_BACKOFF_SECONDS,
        1.0,
        2.0,
        4.0,
        MAX_BACKOFF_SECONDS,
        MAX_BACKOFF_SECONDS,
    ]


def test_attempts_end_after_the_retry_time() -> None:
    stream = Stream(away=10**6)

    with pytest.raises(Unreachable, match="closed port"):
        stream.upload(b"abc", retry_seconds=20.0).run()

    assert 20 < sum(stream.slept) < 30


def test_data_of_another_client_is_an_error() -> None:
    stream = Stream(breaks=[1])

    def pieces() -> Iterator[bytes]:
        yield b"abcd"
        stream.data += b"strange"
        yield b"efgh"

    upload = stream.upload()
    upload.pieces = pieces()
    with pytest.raises(BadAnswer, match="another client may have written"):
        upload.run()


def test_a_stream_of_unexpected_length_is_an_error() -> None:
    stream = Stream(data=b"more", chunks=[b"more"])

    with pytest.raises(BadAnswer, match="The stream has 4 bytes, expected 0"):
        StreamUpload(stream, "0x", [b"abc"], base=0).run()  # type: ignore[arg-type]

    assert stream.data == b"more"


def test_progress_reports_stored_data() -> None:
    seen: list[tuple[int, int]] = []
    stream = Stream()

    stream.upload(b"abcde", b"fgh", progress=lambda *now: seen.append(now)).run()

    assert seen[-1] == (8, 2)
    assert seen == sorted(seen)
