"""Targets for tests: a network with scripted answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from dragon.errors import DragonError
from dragon.net.http_client import HttpResponse

Answer: TypeAlias = HttpResponse | DragonError | Callable[[], HttpResponse]


@dataclass
class ScriptedNetwork:
    """Answers by URL, or by `host:port` for connections. It is a `TargetNetwork`."""

    answers: Mapping[str, Answer] = field(default_factory=dict)
    certificates: Mapping[str, int] = field(default_factory=dict)  # host:port → end, Unix seconds

    def __post_init__(self) -> None:
        self.calls: list[tuple[str, str]] = []  # method and URL
        self.sent: list[tuple[float, bytes, Mapping[str, str], bool]] = []

    def exchange(
        self,
        method: str,
        url: str,
        *,
        deadline: float,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        cut: bool = False,
    ) -> HttpResponse:
        self.calls.append((method, url))
        self.sent.append((deadline, body, headers or {}, cut))
        found = self.answers[url]
        if isinstance(found, DragonError):
            raise found
        return found if isinstance(found, HttpResponse) else found()

    def connect(self, host: str, port: int, *, deadline: float) -> None:
        self.handshake(host, port, deadline=deadline)

    def handshake(self, host: str, port: int, *, deadline: float) -> int | None:
        self.calls.append(("CONNECT", f"{host}:{port}"))
        self.sent.append((deadline, b"", {}, False))
        found = self.answers.get(f"{host}:{port}")
        if isinstance(found, DragonError):
            raise found
        return self.certificates.get(f"{host}:{port}")
