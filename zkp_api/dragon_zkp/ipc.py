"""What service and worker say to each other over a pair of sockets: lists of byte strings.

A list is its number of strings, and then the length of each before it, as four bytes big endian.
Nothing is unpickled, and nothing longer than `LARGEST` is read.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import Final

Strings = list[bytes]

LARGEST: Final = 4 << 20  # bytes of one string
MOST: Final = 8  # strings
_NUMBER: Final = struct.Struct(">I")


def send(to: socket.socket, strings: Sequence[bytes]) -> None:
    """Raises OSError: the other side is gone, or does not read in time."""
    parts = [_NUMBER.pack(len(strings))]
    for string in strings:
        parts += [_NUMBER.pack(len(string)), string]
    to.sendall(b"".join(parts))


def receive(source: socket.socket) -> list[bytes]:
    """Raises EOFError: the other side is gone. OSError: nothing comes in time."""
    return [
        _read(source, _number(source, LARGEST, "bytes"))
        for _ in range(_number(source, MOST, "strings"))
    ]


def _number(source: socket.socket, most: int, what: str) -> int:
    number: int = _NUMBER.unpack(_read(source, _NUMBER.size))[0]
    if number > most:
        raise EOFError(f"{number} {what} are more than anybody sends")
    return number


def _read(source: socket.socket, size: int) -> bytes:
    read = bytearray()
    while len(read) < size:
        piece = source.recv(min(size - len(read), 1 << 20))
        if not piece:
            raise EOFError("the other side is gone")
        read += piece
    return bytes(read)
