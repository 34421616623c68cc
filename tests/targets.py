"""Targets for tests: a network with scripted answers, and a world with targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from dragon.errors import DragonError
from dragon.net.http_client import HttpResponse
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.status import StatusClaim
from dragon_aggregator.certifier import AttestationRound
from simulation import World
from wsgi import WsgiApp

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


def page(
    status: str = "200 OK", body: bytes = b"hello", headers: Iterable[tuple[str, str]] = ()
) -> WsgiApp:
    """A web server that gives the same response to every request."""

    def app(_environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start(status, [("Content-Type", "text/plain"), *headers])
        return [body]

    return app


class TargetWorld(World):
    """A world with a committee that lists targets, which are plain web pages."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for target in self.committee.targets:
            self.names[urlsplit(target.url).netloc] = target.id
            self.impersonate(target.id, page())

    def asked(self, node_id: str, by: str | None = None) -> list[str]:
        """Every request that reached the node's address, from one caller or from all."""
        host = urlsplit(self.committee.urls[node_id]).netloc
        return [
            f"{request.method} {request.url}"
            for caller, request in self.sent
            if urlsplit(request.url or "").netloc == host and by in (None, caller)
        ]

    def event(self, node_id: str) -> Certificate:
        """The newest event on a node."""
        events = [entry.event for entry in self.entries("operator_1")]
        return next(
            event
            for event in reversed(events)
            if isinstance(event.claim, StatusClaim) and event.claim.node_id == node_id
        )

    def attestation_rounds(self, node_id: str) -> list[AttestationRound]:
        """The attestation rounds about a node, in all rounds."""
        recent = self.components("aggregator_0").monitor.recent
        return [
            each
            for record in recent
            for each in record.attestation_rounds
            if isinstance(each.claim, StatusClaim) and each.claim.node_id == node_id
        ]

    def shown(self, operator: str, node_id: str) -> dict[str, Any]:
        """The node as `GET /nodes` of an operator shows it."""
        nodes = self.get(operator, "/nodes").json()["nodes"]
        return next(node for node in nodes if node["node_id"] == node_id)
