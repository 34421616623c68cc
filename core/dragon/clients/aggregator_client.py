"""Telling an aggregator what an operator suspects."""

from __future__ import annotations

from dataclasses import dataclass

from dragon.claim import Suspicion
from dragon.clients.exchange import Http
from dragon.encoding import to_hex


@dataclass(frozen=True, slots=True)
class AggregatorClient:
    url: str
    http: Http

    def suspect(self, suspicion: Suspicion, signature: bytes, *, deadline: float) -> None:
        """Raises Unreachable, BadAnswer: it was not taken."""
        body = {**suspicion.members(), "signature": to_hex(signature)}
        self.http.post(f"{self.url}/suspicions", body, deadline=deadline).successful()
