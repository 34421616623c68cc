"""Asking the services of a fleet what they know, for people to look at."""

from __future__ import annotations

from dataclasses import dataclass, field

from dragon.clients.exchange import Http
from dragon.committee import Committee
from dragon.encoding import Json
from dragon.errors import PeerError

DEADLINE = 2.0
LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class View:
    """One operator's log as it says itself. Nothing here is verified."""

    operator: str
    trouble: str = ""
    size: int = 0
    root: str = ""
    ready: str = ""
    nodes: dict[str, dict[str, Json]] = field(default_factory=dict)

    def status(self, node_id: str) -> str:
        return str(self.nodes.get(node_id, {}).get("status", "unknown"))


def view(committee: Committee, operator: str, http: Http) -> View:
    """Never raises: what cannot be read is said in `trouble`."""
    url = committee.urls[operator]
    try:
        checkpoint = get(http, f"{url}/checkpoint")
        nodes = get(http, f"{url}/nodes")["nodes"]
        reasons = _reasons(http, url)
    except (PeerError, LookupError, TypeError) as error:
        return View(operator, trouble=str(error))
    listed = nodes if isinstance(nodes, list) else []
    return View(
        operator,
        size=int(str(checkpoint.get("size", 0))),
        root=str(checkpoint.get("root", "")),
        ready="; ".join(reasons) or "ready",
        nodes={str(node["node_id"]): node for node in listed if isinstance(node, dict)},
    )


def get(http: Http, url: str, **params: str | int) -> dict[str, Json]:
    """One JSON object. Raises PeerError."""
    answer = http.get(url, deadline=DEADLINE, params=params, largest=LARGEST).successful()
    return answer if isinstance(answer, dict) else {}


def _reasons(http: Http, url: str) -> list[str]:
    body = http.get(f"{url}/readyz", deadline=DEADLINE).json()
    reasons = body.get("reasons") if isinstance(body, dict) else None
    return [str(reason) for reason in reasons] if isinstance(reasons, list) else []
