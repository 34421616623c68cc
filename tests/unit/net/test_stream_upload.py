"""Uploads through unreliable connections: nothing is lost or stored twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from dragon.errors import BadAnswer, PeerError, Unavailable, Unreachable
from dragon.net.retries import STALL_NOTICE_SECONDS, Retries
from dragon.net.stream_upload import StreamUpload


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
    outages: list[str] = field(default_factory=list)
    recoveries: int = 0
    refusal: PeerError | None = None  # of attempts to connect
    ended: int = 0  # windows that the client has ended
    stalls: int = 0  # seconds in which an open connection stores nothing

    @contextmanager
    def ingest(self, _stream: str) -> Iterator[Sending]:
        if self.away:
            self.away -= 1
            raise self.refusal or Unreachable("closed port", reason="unreachable")
        yield Sending(self, self.breaks.pop(0) if self.breaks else None)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def upload(self, *pieces: bytes, **options: Any) -> StreamUpload:
        return StreamUpload(
            self,  # type: ignore[arg-type]
            *("0x", pieces),
            **options,
            retries=self.retries(),
        )

    def retries(self, patience: float | None = 600.0) -> Retries:
        return Retries(
            patience,
            on_outage=lambda error: self.outages.append(str(error)),
            on_recovery=self._recovered,
            monotonic=lambda: self.now,
            sleep=self.sleep,
            draw=lambda: 1.0,
        )

    def _recovered(self) -> None:
        self.recoveries += 1


class Sending:
    """One connection."""

    def __init__(self, stream: Stream, left: int | None) -> None:
        self._stream, self._left, self._buffer = stream, left, b""
        self.mode = stream.mode
        self.on_idle: Callable[[], object] = lambda: None

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
        while self._stream.stalls:
            self._stream.stalls -= 1
            self._stream.now += 1.0
            self.on_idle()
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

    def end_window(self) -> None:
        self.flush()
        self._stream.ended += 1

    def receive(self, _timeout: float | None) -> bool:
        """Say nothing: all data is stored already."""
        if self._left == 0:
            raise Unreachable("the connection ended", reason="closed")
        return False

    def receive_or_idle(self) -> None:
        """All data is stored already."""


def test_all_data_is_stored_once() -> None:
    stream = Stream()

    assert stream.upload(b"abc", b"defgh", b"i").run() == (9, 3)

    assert stream.data == b"abcdefghi"
    assert stream.slept == []


@pytest.mark.parametrize("wanted", [True, False])
def test_the_last_window_is_ended_if_somebody_waits_for_it(wanted: bool) -> None:
    stream = Stream()

    assert stream.upload(b"abcde", end_window=wanted).run() == (5, 2)
    assert stream.ended == wanted


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


def test_attempts_end_after_the_patience() -> None:
    stream = Stream(away=10**6)
    upload = stream.upload(b"abc")
    upload.retries = stream.retries(patience=20.0)

    with pytest.raises(Unreachable, match="closed port"):
        upload.run()

    assert 20 < sum(stream.slept) < 30
    assert stream.outages == ["closed port"]


def test_an_upload_without_a_limit_waits_for_a_day() -> None:
    stream = Stream(away=9000)
    upload = stream.upload(b"abc")
    upload.retries = stream.retries(patience=None)

    assert upload.run() == (3, 1)

    assert stream.now > 86_400
    assert (stream.outages, stream.recoveries) == (["closed port"], 1)


def test_each_outage_is_reported_once() -> None:
    stream = Stream(mode="message", breaks=[2, 1], away=5)

    stream.upload(b"one", b"two", b"three", b"four", b"five").run()

    assert stream.outages == ["closed port", "the connection ended", "the connection ended"]
    assert stream.recoveries == 3


def test_progress_renews_the_patience() -> None:
    """Each connection stores one message and breaks: every outage is short."""
    stream = Stream(mode="message", breaks=[1] * 50)
    upload = stream.upload(*[b"21.5"] * 51)
    upload.retries = stream.retries(patience=2.0)

    upload.run()

    assert stream.chunks == [b"21.5"] * 51
    assert stream.now > 20


def test_connections_that_store_nothing_do_not_renew_the_patience() -> None:
    stream = Stream(breaks=[0] * 10**4)
    upload = stream.upload(b"abcd")
    upload.retries = stream.retries(patience=60.0)

    with pytest.raises(Unreachable, match="the connection ended"):
        upload.run()

    assert 60 < stream.now < 75


def test_a_stalled_connection_is_reported_and_then_given_up() -> None:
    stream = Stream(stalls=10**6)
    upload = stream.upload(b"abcd")
    upload.retries = stream.retries(patience=60.0)

    with pytest.raises(Unavailable, match="nothing was stored"):
        upload.run()

    assert stream.outages == [f"nothing was stored for {STALL_NOTICE_SECONDS:.0f} s; "
                              "earlier windows of the stream may wait to be certified"]  # fmt: skip
    assert stream.now == pytest.approx(60, abs=2)


def test_a_short_stall_is_not_reported() -> None:
    stream = Stream(stalls=8)

    stream.upload(b"abcd").run()

    assert (stream.data, stream.outages, stream.recoveries) == (b"abcd", [], 0)


@pytest.mark.parametrize(
    "refusal",
    [BadAnswer("answered 413"), Unreachable("its certificate has expired", reason="tls")],
    ids=str,
)
def test_a_final_refusal_ends_the_upload_at_once(refusal: PeerError) -> None:
    stream = Stream(away=1, refusal=refusal)

    with pytest.raises(type(refusal)):
        stream.upload(b"abc").run()

    assert (stream.slept, stream.outages) == ([], [])


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
