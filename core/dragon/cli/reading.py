"""Asking the services of a fleet what they know, for people to look at."""

from __future__ import annotations

from dataclasses import dataclass, field

from dragon.clients.exchange import Http
from dragon.committee import Committee
from dragon.encoding import Json, Members
from dragon.errors import InvalidEncoding, PeerError

DEADLINE = 2.0
LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class View:
    """One operator's log as it says itself. Nothing here is verified, and any text may be hostile:
    it is escaped before it is shown."""

    operator: str
    trouble: str = ""
    size: int = 0
    root: str = ""
    reasons: tuple[str, ...] = ()  # why it is not ready, if it is not
    nodes: dict[str, dict[str, Json]] = field(default_factory=dict)

    def status(self, node_id: str) -> str:
        return str(self.nodes.get(node_id, {}).get("status", "unknown"))


def view(committee: Committee, operator: str, http: Http) -> View:
    """Never raises: what cannot be read is said in `trouble`."""
    url = committee.urls[operator]
    try:
        checkpoint = get(http, f"{url}/checkpoint")
        nodes = get(http, f"{url}/nodes").get("nodes")
        return View(
            operator,
            size=Members(checkpoint, "the checkpoint").integer("size"),
            root=Members(checkpoint, "the checkpoint").text("root"),
            reasons=_reasons(http, url),
            nodes={
                str(node.get("node_id")): node
                for node in (nodes if isinstance(nodes, list) else [])
                if isinstance(node, dict)
            },
        )
    except (PeerError, InvalidEncoding) as error:
        return View(operator, trouble=str(error))


def get(http: Http, url: str, **params: str | int) -> dict[str, Json]:
    """One JSON object. Raises PeerError."""
    answer = http.get(url, deadline=DEADLINE, params=params, largest=LARGEST).successful()
    return answer if isinstance(answer, dict) else {}


def _reasons(http: Http, url: str) -> tuple[str, ...]:
    body = http.get(f"{url}/readyz", deadline=DEADLINE).json()
    reasons = body.get("reasons") if isinstance(body, dict) else None
    return tuple(map(str, reasons)) if isinstance(reasons, list) else ()
