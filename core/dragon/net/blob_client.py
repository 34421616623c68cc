"""Objects by their SHA-256, from whoever has them: nobody is believed, the hash is checked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from dragon.encoding import to_hex
from dragon.errors import PeerError
from dragon.net.runtime import Runtime

DEADLINE: Final = 1.0  # seconds for one peer
TOGETHER: Final = 2.5  # for all of them


class ObjectClient:
    def __init__(self, urls: Iterable[str], runtime: Runtime) -> None:
        """`urls`: who is asked, in this order; of the committee, and never from a request."""
        self._urls = tuple(urls)
        self._http = runtime.http
        self._monotonic = runtime.monotonic

    def fetch(self, sha256: bytes, most: int) -> bytes | None:
        """The object of at most so many bytes, or None: nobody gave it in time."""
        ends = self._monotonic() + TOGETHER
        for url in self._urls:
            if (left := ends - self._monotonic()) <= 0:
                return None
            try:
                address = f"{url}/objects/{to_hex(sha256)}"
                answer = self._http.get(address, deadline=min(DEADLINE, left), max_bytes=most)
            except PeerError:
                continue
            if answer.status == 200 and hashlib.sha256(answer.body).digest() == sha256:
                return answer.body
        return None
