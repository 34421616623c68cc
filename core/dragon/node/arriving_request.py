"""A request that is arriving: its bytes are collected until a thread can serve it."""

from __future__ import annotations

import re
from typing import Final

MAX_HEAD_BYTES: Final = 16_384  # of a request line with all headers
MAX_COLLECTED_BODY_BYTES: Final = 16_384  # of a longer body, a thread receives the rest

_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
# Of these bodies the length is not known, or the client waits for an answer before it sends one.
_UNKNOWN_LENGTH: Final = re.compile(rb"\r\n(transfer-encoding|expect):", re.IGNORECASE)
_HEALTH: Final = re.compile(rb"(?:GET|HEAD) /(?:healthz|readyz|metrics) HTTP/1\.[01]\r\n")


class HeadTooLarge(Exception):  # not DragonError: it never leaves the server
    """The head of the request exceeds `MAX_HEAD_BYTES`."""


class ArrivingRequest:
    """The bytes of one request. It is not parsed: only its end is found."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._wanted = 0  # bytes of head and body to collect; 0 while the head is not complete

    def __len__(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Add received bytes. Raises HeadTooLarge."""
        searched = max(0, len(self._data) - len(_END) + 1)
        self._data += data
        if not self._wanted:
            self._find_end(searched)

    def _find_end(self, start: int) -> None:
        end = self._data.find(_END, start)
        if (end if end >= 0 else len(self._data)) > MAX_HEAD_BYTES:
            raise HeadTooLarge
        if end >= 0:
            head = bytes(self._data[: end + len(_END)])
            self._wanted = len(head) + _body_to_collect(head)

    @property
    def is_ready(self) -> bool:
        """Whether a thread can serve the request, mostly without waiting for the client."""
        return 0 < self._wanted <= len(self._data)

    @property
    def is_health_check(self) -> bool:
        """Whether it asks for the health, the readiness or the metrics of the service."""
        return _HEALTH.match(self._data) is not None

    def take(self) -> bytes:
        """Return all bytes, and begin with the next request."""
        data = bytes(self._data)
        self._data.clear()
        self._wanted = 0
        return data


def _body_to_collect(head: bytes) -> int:
    length = _LENGTH.search(head)
    if length is None or _UNKNOWN_LENGTH.search(head):
        return 0
    return min(int(length[1]), MAX_COLLECTED_BODY_BYTES)
