"""Responses made of views: encoded once for each version of the data, with ETag and 304."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Final

from flask import Response, request

from dragon_explorer.sources import Sources

TICK_SECONDS: Final = 5  # ages on a page are at most this much too small
MAX_CACHED: Final = 256  # bodies
MAX_CACHED_BYTES: Final = 16 << 20
LOCKS: Final = 32  # requests for one body wait for each other
JSON_TYPE: Final = "application/json"
HTML_TYPE: Final = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class _Body:
    version: str
    body: bytes


class Renderer:
    """Makes responses, and keeps their bodies until the data changes."""

    def __init__(self, sources: Sources, wall: Callable[[], float], entropy: bytes) -> None:
        """Args: `entropy`, differs in each process, so that no ETag outlives a new release."""
        self._sources = sources
        self._wall = wall
        self._process = entropy.hex()
        self._lock = threading.Lock()  # guards the next two lines
        self._bodies: OrderedDict[str, _Body] = OrderedDict()
        self._bytes = 0
        self._locks = [threading.Lock() for _ in range(LOCKS)]

    def now(self) -> int:
        """Return the moment for which pages are made (Unix seconds)."""
        now = int(self._wall())
        return now - now % TICK_SECONDS

    def version(self) -> str:
        """Return a value that changes whenever any page may change."""
        sources = self._sources
        log, follower = sources.log, sources.follower
        parts = (
            self._process,
            log.state.size,
            log.position.index,
            sources.board.version,
            sources.history.version,
            sources.window_votes.version,
            follower.caught_up,
            follower.last_error,
            sources.public_file.version,
            self.now(),
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    def json(self, view: Callable[[int], object]) -> Response:
        """Answer with a view as JSON. `view` takes the moment for which it is made."""
        return self._respond(lambda: encode(view(self.now())), JSON_TYPE)

    def html(self, render: Callable[[int], str]) -> Response:
        """Answer with a page."""
        return self._respond(lambda: render(self.now()).encode(), HTML_TYPE)

    def text(self, render: Callable[[int], str], content_type: str) -> Response:
        """Answer with a text of another type, such as SVG."""
        return self._respond(lambda: render(self.now()).encode(), content_type)

    def _respond(self, make: Callable[[], bytes], content_type: str) -> Response:
        key, version = f"{content_type} {request.host} {request.full_path}", self.version()
        etag = hashlib.sha256(f"{version} {key}".encode()).hexdigest()[:32]
        if request.if_none_match.contains_weak(etag):
            response = Response(status=304)
        else:
            response = Response(self._body(key, version, make), content_type=content_type)
        response.set_etag(etag, weak=True)
        response.headers["Cache-Control"] = "no-cache"
        return response

    def _body(self, key: str, version: str, make: Callable[[], bytes]) -> bytes:
        with self._locks[hash(key) % LOCKS]:
            with self._lock:
                kept = self._bodies.get(key)
            if kept is not None and kept.version == version:
                return kept.body
            body = make()
            self._keep(key, _Body(version, body))
            return body

    def _keep(self, key: str, made: _Body) -> None:
        with self._lock:
            if (before := self._bodies.pop(key, None)) is not None:
                self._bytes -= len(before.body)
            self._bodies[key] = made
            self._bytes += len(made.body)
            while len(self._bodies) > MAX_CACHED or self._bytes > MAX_CACHED_BYTES:
                _, oldest = self._bodies.popitem(last=False)
                self._bytes -= len(oldest.body)


def encode(view: object) -> bytes:
    """Return a view as JSON."""
    return json.dumps(view, default=_members, separators=(",", ":")).encode() + b"\n"


def _members(value: object) -> dict[str, object]:
    if not is_dataclass(value):
        raise TypeError(f"no JSON form: {type(value).__name__}")
    return {name: getattr(value, name) for name in _names(value.__class__)}


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))
