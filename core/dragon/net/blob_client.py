"""Fetch objects by their SHA-256. The hash is checked, so any peer may be asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from dragon.encoding import to_hex
from dragon.errors import PeerError
from dragon.net.runtime import Runtime

PEER_DEADLINE_SECONDS: Final = 1.0  # for one peer
TOTAL_DEADLINE_SECONDS: Final = 2.5  # for all peers together, for each object
_LENGTH_BYTES: Final = 4


class Wanted(NamedTuple):
    """An object to fetch."""

    sha256: bytes
    max_bytes: int


def join_pair(first: bytes, second: bytes) -> bytes:
    """Encode two objects as one body: length of the first (4 bytes, big-endian), first, second."""
    return len(first).to_bytes(_LENGTH_BYTES) + first + second


def split_pair(body: bytes) -> tuple[bytes, bytes]:
    """Undo `join_pair`. A body that is no pair gives objects with other hashes than wanted."""
    end = _LENGTH_BYTES + int.from_bytes(body[:_LENGTH_BYTES])
    return body[_LENGTH_BYTES:end], body[end:]


class ObjectClient:
    """Asks a list of peers, one after the other, for objects."""

    def __init__(self, urls: Callable[[], Iterable[str]], runtime: Runtime) -> None:
        """`urls`: returns the peers, in the order in which they are asked.

        They come from the committee only, and are read for each object: a handover changes them.
        """
        self._urls = urls
        self._http = runtime.http
        self._monotonic = runtime.monotonic

    def fetch(
        self, sha256: bytes, max_bytes: int, seconds: float = TOTAL_DEADLINE_SECONDS
    ) -> bytes | None:
        """Return the object with this hash, or None if no peer delivers it in time."""
        ends = self._monotonic() + seconds
        for url in self._urls():
            if (left := ends - self._monotonic()) <= 0:
                return None
            body = self._get(url, sha256, max_bytes, min(PEER_DEADLINE_SECONDS, left))
            if body is not None and hashlib.sha256(body).digest() == sha256:
                return body
        return None

    def fetch_both(self, first: Wanted, second: Wanted) -> tuple[bytes | None, bytes | None]:
        """Return two objects, each None if no peer delivers it in time.

        The first peer is asked for both at once. If that fails they are fetched singly, in what is
        left of the time for two objects; the second one only if there is the first.
        """
        ends = self._monotonic() + 2 * TOTAL_DEADLINE_SECONDS
        if (pair := self._fetch_pair(first, second)) is not None:
            return pair
        if (one := self.fetch(*first)) is None:
            return None, None
        left = min(TOTAL_DEADLINE_SECONDS, ends - self._monotonic())
        return one, self.fetch(*second, seconds=left)

    def _fetch_pair(self, first: Wanted, second: Wanted) -> tuple[bytes, bytes] | None:
        """Both objects from the first peer, which answers 404 unless it has both."""
        url = next(iter(self._urls()), None)
        if url is None:
            return None
        most = _LENGTH_BYTES + first.max_bytes + second.max_bytes
        body = self._get(url, first.sha256, most, PEER_DEADLINE_SECONDS, then=second.sha256)
        pair = split_pair(body or b"")
        wanted = zip(pair, (first, second), strict=True)
        is_right = all(
            len(each) <= limit and hashlib.sha256(each).digest() == sha256
            for each, (sha256, limit) in wanted
        )
        return pair if is_right else None

    def _get(
        self, url: str, sha256: bytes, max_bytes: int, seconds: float, then: bytes = b""
    ) -> bytes | None:
        """The body of a peer's answer; None without one. Its hash is not checked."""
        try:
            response = self._http.get(
                f"{url}/objects/{to_hex(sha256)}",
                params={"then": to_hex(then)} if then else None,
                deadline=seconds,
                max_bytes=max_bytes,
                keep=True,
            )
        except PeerError:
            return None
        return response.body if response.status == 200 else None
