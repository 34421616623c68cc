"""Messages between the service and its workers, over a pair of sockets: lists of byte strings.

A list is encoded as the number of its strings, followed by each string with its length in front.
Numbers are 4 bytes, big endian. Nothing is unpickled. A longer list or string than `MAX_STRINGS`
and `MAX_STRING_BYTES` allow is rejected before it is read.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import Final

Strings = list[bytes]

MAX_STRING_BYTES: Final = 4 << 20
MAX_STRINGS: Final = 9  # in one list; a job to prove has nine
# What a worker does with its kernels before it is ready: the first string of a message.
LOADING: Final = b"loading"
COMPILING: Final = b"compiling"
CANCEL: Final = [b"cancel"]  # cancels the job that is running; if none is, it is ignored
CANCELLED: Final = [b"cancelled"]  # the answer to that job; nobody waits for it
_NUMBER: Final = struct.Struct(">I")
_READ_BYTES: Final = 1 << 20  # at most, in one call of `recv`


def send(to: socket.socket, strings: Sequence[bytes]) -> None:
    """Send a list. Raises OSError: the peer closed the connection or does not read in time."""
    parts = [_NUMBER.pack(len(strings))]
    for string in strings:
        parts += [_NUMBER.pack(len(string)), string]
    to.sendall(b"".join(parts))


def receive(source: socket.socket) -> list[bytes]:
    """Receive a list.

    Raises EOFError: the peer closed the connection, or announced more than the limits allow.
    OSError: nothing arrived in time.
    """
    return [
        _read(source, _number(source, MAX_STRING_BYTES, "bytes"))
        for _ in range(_number(source, MAX_STRINGS, "strings"))
    ]


def _number(source: socket.socket, most: int, what: str) -> int:
    number: int = _NUMBER.unpack(_read(source, _NUMBER.size))[0]
    if number > most:
        raise EOFError(f"the peer announced {number} {what}; at most {most} are accepted")
    return number


def _read(source: socket.socket, size: int) -> bytes:
    read = bytearray()
    while len(read) < size:
        piece = source.recv(min(size - len(read), _READ_BYTES))
        if not piece:
            raise EOFError("the peer closed the connection")
        read += piece
    return bytes(read)
