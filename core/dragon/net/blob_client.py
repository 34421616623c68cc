"""Fetch objects by their SHA-256. The hash is checked, so any peer may be asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Final

from dragon.encoding import to_hex
from dragon.errors import PeerError
from dragon.net.runtime import Runtime

PEER_DEADLINE_SECONDS: Final = 1.0  # for one peer
TOTAL_DEADLINE_SECONDS: Final = 2.5  # for all peers together


class ObjectClient:
    """Asks a list of peers, one after the other, for objects."""

    def __init__(self, urls: Callable[[], Iterable[str]], runtime: Runtime) -> None:
        """`urls`: returns the peers, in the order in which they are asked.

        They come from the committee only, and are read for each object: a handover changes them.
        """
        self._urls = urls
        self._http = runtime.http
        self._monotonic = runtime.monotonic

    def fetch(self, sha256: bytes, max_bytes: int) -> bytes | None:
        """Return the object with this hash, or None if no peer delivers it in time."""
        ends = self._monotonic() + TOTAL_DEADLINE_SECONDS
        for url in self._urls():
            if (left := ends - self._monotonic()) <= 0:
                return None
            try:
                response = self._http.get(
                    f"{url}/objects/{to_hex(sha256)}",
                    deadline=min(PEER_DEADLINE_SECONDS, left),
                    max_bytes=max_bytes,
                    keep=True,
                )
            except PeerError:
                continue
            if response.status == 200 and hashlib.sha256(response.body).digest() == sha256:
                return response.body
        return None
