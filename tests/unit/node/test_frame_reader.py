"""Frames are read as wsproto reads them, which is the oracle here."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from typing import Any, Final

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from dragon.node.frame_reader import FrameReader

BINARY, TEXT, CONTINUATION, CLOSE, PING, PONG = 2, 1, 0, 8, 9, 10
MASK: Final = b"\x37\xfa\x21\x3d"

Found = list[tuple[object, ...]]


def frame(
    payload: bytes = b"",
    opcode: int = BINARY,
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
    length: bytes | None = None,
    mask: bytes = MASK,
) -> bytes:
    """A frame. `length`: the second byte and those that follow, instead of the right ones."""
    size = len(payload)
    if length is None and size < 126:
        length = bytes([size])
    elif length is None:
        length = (
            b"\x7e" + struct.pack(">H", size)
            if size < 1 << 16
            else b"\x7f" + struct.pack(">Q", size)
        )
    assert length is not None
    head = bytes([fin << 7 | reserved << 4 | opcode, masked << 7 | length[0]]) + length[1:]
    if not masked:
        return head + payload
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def joined(events: Iterator[tuple[object, ...]]) -> Found:
    """Events in which the pieces of a message are one; where pieces end may differ."""
    found: Found = []
    for kind, data, finished in events:
        if found and kind in {"bytes", "text"} and found[-1][0] == kind and not found[-1][2]:
            found[-1] = (kind, found[-1][1] + data, finished)  # type: ignore[operator]
        else:
            found.append((kind, data, finished))
    return found


def plain(event: Any) -> tuple[object, ...]:
    match event:
        case BytesMessage():
            return "bytes", bytes(event.data), event.message_finished
        case TextMessage():
            return "text", event.data, event.message_finished
        case Ping() | Pong():
            return type(event).__name__, bytes(event.payload), True
        case CloseConnection():
            return "close", (event.code, event.reason), True
    raise AssertionError(event)


def expected(pieces: list[bytes]) -> Found:
    """What wsproto reads."""
    oracle = Connection(ConnectionType.SERVER)

    def events() -> Iterator[tuple[object, ...]]:
        for piece in pieces:
            oracle.receive_data(piece)
            for event in oracle.events():
                yield plain(event)
                if isinstance(event, CloseConnection):
                    return

    return joined(events())


def read(pieces: list[bytes]) -> Found:
    """What the reader reads. It calls for binary messages, and yields the events of others."""
    behind, found = Connection(ConnectionType.SERVER), list[tuple[object, ...]]()
    reader = FrameReader(behind.receive_data, behind.events)

    def on_bytes(piece: bytes, *, finished: bool) -> None:
        found.append(("bytes", piece, finished))

    for piece in pieces:
        for event in reader.read(piece, on_bytes):
            found.append(plain(event))
    return joined(iter(found))


def cut(raw: bytes, draw: random.Random) -> list[bytes]:
    """The bytes as they may arrive."""
    most = draw.choice((1, 3, 20, 1000, 1 << 20))
    pieces, at = [], 0
    while at < len(raw):
        size = draw.randint(1, most)
        pieces.append(raw[at : at + size])
        at += size
    return pieces


VALID = {
    "empty": frame(),
    "short": frame(b"21.5") + frame(b"21.6"),
    "every length of a header": b"".join(frame(b"x" * size) for size in (125, 126, 65_535, 65_536)),
    "text between": frame(b"a") + frame(b'{"type":"flush"}', TEXT) + frame(b"b"),
    "fragments": frame(b"a", fin=False) + frame(b"b", CONTINUATION, fin=False)
    + frame(b"c", CONTINUATION) + frame(b"d"),
    "control frames between fragments": frame(b"a", fin=False) + frame(b"1", PING)
    + frame(b"b", CONTINUATION) + frame(b"2", PONG) + frame(b"c"),
    "text in fragments": frame("ä".encode()[:1], TEXT, fin=False)
    + frame("ä".encode()[1:], CONTINUATION) + frame(b"a"),
    "no mask to speak of": frame(b"abc", mask=bytes(4)),
    "close": frame(b"a") + frame(struct.pack(">H", 1000) + b"done", CLOSE) + frame(b"ignored"),
    "close without a code": frame(b"", CLOSE),
}  # fmt: skip
INVALID = {
    "unmasked": frame(b"a", masked=False),
    "unknown opcode": frame(b"a", 3),
    "unknown control opcode": frame(b"a", 11),
    "reserved bit": frame(b"a", reserved=4),
    "fragmented ping": frame(b"a", PING, fin=False),
    "long ping": frame(b"a" * 126, PING),
    "continuation of nothing": frame(b"a", CONTINUATION),
    "a message within another": frame(b"a", fin=False) + frame(b"b"),
    "text within a message": frame(b"a", fin=False) + frame(b"b", TEXT),
    "two bytes of length for 125": frame(b"a" * 125, length=b"\x7e" + struct.pack(">H", 125)),
    "eight bytes of length for 65,535": frame(b"", length=b"\x7f" + struct.pack(">Q", 65_535)),
    "length of 2^63": frame(b"", length=b"\x7f" + struct.pack(">Q", 1 << 63)),
    "text that is not UTF-8": frame(b"\xff", TEXT),
    "close with half a code": frame(b"a", CLOSE),
    "close with an invalid code": frame(struct.pack(">H", 1005), CLOSE),
}


@pytest.mark.parametrize("name", [*VALID, *INVALID])
def test_frames_are_read_as_by_wsproto(name: str) -> None:
    raw = frame(b"before") + {**VALID, **INVALID}[name] + frame(b"after")
    for seed in range(20):
        pieces = cut(raw, random.Random(seed))
        assert read(pieces) == expected(pieces)


@pytest.mark.parametrize("name", [name for name in INVALID if name != "length of 2^63"])
def test_a_violation_closes_the_connection(name: str) -> None:
    assert read([INVALID[name]])[-1][0] == "close"


@pytest.mark.parametrize("seed", range(30))
def test_random_frames_are_read_as_by_wsproto(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(10):
        raw = b""
        for _ in range(draw.randint(1, 12)):
            payload = draw.randbytes(draw.choice((0, 1, 3, 64, 125, 126, 1000)))
            opcode = draw.choice((BINARY,) * 8 + (TEXT, CONTINUATION, PING, PONG))
            if opcode in {TEXT, PING, PONG}:
                payload = payload[:20].hex().encode()
            raw += frame(payload, opcode, fin=draw.random() < 0.9, mask=draw.randbytes(4))
        if draw.random() < 0.3:  # damaged somewhere
            at = draw.randrange(len(raw))
            raw = raw[:at] + draw.randbytes(1) + raw[at + 1 :]
        pieces = cut(raw, draw)
        assert read(pieces) == expected(pieces)


def test_no_frame_is_buffered_whole() -> None:
    """Each piece is handed on when it arrives, and the last one says that it is."""
    behind = Connection(ConnectionType.SERVER)
    reader, found = FrameReader(behind.receive_data, behind.events), list[tuple[int, bool]]()
    raw = frame(bytes(100_000))

    for at in range(0, len(raw), 40_000):
        list(
            reader.read(
                raw[at : at + 40_000], lambda p, *, finished: found.append((len(p), finished))
            )
        )

    assert found == [(40_000 - 14, False), (40_000, False), (20_014, True)]


def test_an_error_of_the_handler_reaches_the_caller() -> None:
    behind = Connection(ConnectionType.SERVER)
    reader = FrameReader(behind.receive_data, behind.events)

    def refuse(_: bytes, *, finished: bool) -> None:
        raise ValueError(f"too much: {finished}")

    with pytest.raises(ValueError, match="too much: True"):
        list(reader.read(frame(b"a"), refuse))
