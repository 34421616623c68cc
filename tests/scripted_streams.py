"""A stream service for tests of the command line, in this process and without a network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from dragon.encoding import to_hex
from dragon.net.http_client import HttpResponse
from dragon.net.stream_client import StreamClient
from dragon_cli.fleet import streams
from dragon_cli.fleet.layout import SOURCES, Home

STREAM = "0x" + "07" * 32
DEFAULTS = {"parameters": "standard", "mode": "bytes", "window_chunks": None, "window_ms": 5000}


@dataclass
class Service:
    """A stream service with at most one stream; every window is certified at once.

    A stream has the settings of the first `POST /streams`. Of one with readings, the service tells
    no number of bytes, and each piece is a message.
    """

    chunks: list[bytes] = field(default_factory=list)
    settings: dict[str, Any] | None = None  # of the stream; None: it does not exist yet
    windows: list[dict[str, Any]] | None = None  # None: one window with everything
    interrupt_after: int | None = None  # pieces, until the user presses Ctrl-C
    refusals: list[int] = field(default_factory=list)  # statuses of the next responses
    on_piece: Callable[[], object] = lambda: None

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)

    def send(self, method: str, url: str, **options: Any) -> HttpResponse:
        if self.refusals:
            return HttpResponse(self.refusals.pop(0), b'{"detail": "not now"}')
        if method == "POST":
            wanted = DEFAULTS | {"retention_seconds": 86_400} | json.loads(options["body"])
            self.settings = self.settings or wanted
            if self.settings != wanted:
                return HttpResponse(409, b'{"detail": "the stream has other settings"}')
            return HttpResponse(201, json.dumps(self._stream()).encode())
        path = url.partition(":5300")[2]
        return HttpResponse(200, json.dumps(self._answer(path, options["params"] or {})).encode())

    def _answer(self, path: str, params: dict[str, int]) -> dict[str, Any]:
        if path.endswith("/chunks"):
            page = range(params["after"] + 1, len(self.chunks))[: params["limit"]]
            more = bool(page) and page.stop < len(self.chunks)
            return {"chunks": [self._digest(n) for n in page], "next": page[-1] if more else None}
        if path.endswith("/windows"):
            return {"windows": self._windows()[params["after"] + 1 :], "next": None}
        if "/windows/" in path:
            return self._windows()[int(path.rpartition("/")[2])]
        if path.endswith("/receipt"):
            return {"receipt": path}
        if path == "/streams":
            return {"streams": [self._stream()] if self.settings else []}
        return self._stream()

    def _windows(self) -> list[dict[str, Any]]:
        whole = {"number": 0, "first": 0, "count": len(self.chunks), "statement": None}
        return [whole] if self.windows is None else self.windows

    def _stream(self) -> dict[str, Any]:
        settings = self.settings or {}
        shown = {name: value for name, value in settings.items() if name != "readings"}
        named = ("name", "parameters", "readings")
        descriptor = {name: settings[name] for name in named if name in settings}
        windows = len(self._windows())
        facts: dict[str, Any] = {"stream": STREAM, "token": "t", "stopped": None}
        facts |= {"certified": windows, "windows": windows}
        size = None if "readings" in settings else len(self.data)
        counts = {"bytes": size, "chunks": len(self.chunks)}
        return {**shown, "descriptor": descriptor, **facts, **counts}

    def _digest(self, number: int) -> dict[str, Any]:
        data = self.chunks[number]
        digest = to_hex(hashlib.sha256(data).digest())
        return {"sequence": number, "length": len(data), "digest": digest}

    @contextmanager
    def ingest(self, _stream: str) -> Iterator[Sending]:
        yield Sending(self)


@dataclass
class Sending:
    """A connection that stores each piece as a chunk."""

    service: Service
    on_idle: Callable[[], object] = lambda: None

    @property
    def mode(self) -> str:
        return str((self.service.settings or DEFAULTS)["mode"])

    @property
    def total(self) -> int:
        return len(self.service.data)

    @property
    def sequence(self) -> int:
        return len(self.service.chunks)

    def send(self, piece: bytes) -> None:
        if self.service.interrupt_after == 0:
            self.service.interrupt_after = None
            raise KeyboardInterrupt
        if self.service.interrupt_after is not None:
            self.service.interrupt_after -= 1
        self.service.chunks.append(bytes(piece))
        self.service.on_piece()

    def flush(self) -> None:
        """Everything is a chunk already."""

    def end_window(self) -> None:
        """Everything is certified already."""

    def receive(self, _seconds: float) -> bool:
        return False

    def receive_or_idle(self) -> None:
        """Everything is stored already."""


def serve(service: Service, home: Home, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Let the command line find a service, and its owner's token in `home`."""
    home.token(SOURCES).parent.mkdir(parents=True)
    home.token(SOURCES).write_text("token")
    monkeypatch.setattr(streams, "HttpClient", lambda _session: service)
    monkeypatch.setattr(StreamClient, "ingest", service.ingest)
    return service
