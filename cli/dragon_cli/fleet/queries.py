"""Asking the services of a fleet what they know, for people to look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from dragon_cli.fleet.layout import Home
from dragon_cli.errors import NotListed
from dragon.net.http_client import HttpClient
from dragon.net.session import make_session
from dragon.protocol.committee import Committee
from dragon.encoding import Json, Members
from dragon.errors import BadAnswer, InvalidEncoding, PeerError, Unreachable

T = TypeVar("T")

DEADLINE: Final = 2.0
LARGEST: Final = 1 << 20
AT_ONCE: Final = 16
MOST_PAGES: Final = 8  # of nodes: a committee lists fewer than these hold


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


def connect(home: Home, ca: Path | None) -> HttpClient:
    """Believes `ca` over https, or the fleet's own authority. Raises SettingsError: it is none."""
    return HttpClient(make_session(ca or home.ca))


def view(committee: Committee, operator: str, http: HttpClient) -> View:
    """Never raises: what cannot be read is said in `trouble`."""
    url = committee.urls[operator]
    try:
        checkpoint = get(http, f"{url}/checkpoint")
        return View(
            operator,
            size=Members(checkpoint, "the checkpoint").integer("size"),
            root=Members(checkpoint, "the checkpoint").text("root"),
            reasons=_reasons(http, url),
            nodes={str(node.get("node_id")): node for node in all_nodes(http, url)},
        )
    except (PeerError, InvalidEncoding) as error:
        return View(operator, trouble=str(error))


def views(committee: Committee, http: HttpClient) -> list[View]:
    """Every operator's, read at once: one that hangs does not hold up the others."""
    with ThreadPoolExecutor(min(AT_ONCE, len(committee.keys))) as executor:
        return list(executor.map(lambda operator: view(committee, operator, http), committee.keys))


def get(http: HttpClient, url: str, **params: str | int) -> dict[str, Json]:
    """One JSON object. Raises PeerError."""
    answer = http.get(url, deadline=DEADLINE, params=params, max_bytes=LARGEST).successful()
    return answer if isinstance(answer, dict) else {}


def get_list(http: HttpClient, url: str, name: str, **params: str | int) -> dict[str, Json]:
    """The answer to `/name`, which holds a list of that name. Raises PeerError."""
    page = get(http, f"{url}/{name}", **params)
    if not isinstance(page.get(name), list):
        raise BadAnswer(f"the answer holds no list of {name}")
    return page


def all_nodes(http: HttpClient, url: str) -> list[dict[str, Json]]:
    """Every node as an operator knows it, page by page. Raises PeerError."""
    found: list[dict[str, Json]] = []
    after: dict[str, str | int] = {}
    for _ in range(MOST_PAGES):
        page = get_list(http, url, "nodes", **after)
        found += rows(page, "nodes")
        following = page.get("next")
        if not isinstance(following, str):
            break
        after = {"after": following}
    return found


def rows(page: Mapping[str, Json], name: str) -> list[dict[str, Json]]:
    """The objects in a list of an answer; whatever else is in there is passed over."""
    listed = page.get(name)
    return [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []


def first(peers: Mapping[str, str], ask: Callable[[str], T]) -> tuple[str, T]:
    """The first of the peers (name → url) that answers usably, and its answer.

    Raises:
        BadAnswer: none does, but one that answered said why not.
        Unreachable: none answers at all.
    """
    failed: dict[str, PeerError] = {}
    for name, url in peers.items():
        try:
            return name, ask(url)
        except PeerError as error:
            failed[name] = error
    for name, failure in failed.items():
        if isinstance(failure, BadAnswer):
            raise BadAnswer(f"{name}: {failure}", **failure.facts)
    silent = {name: str(failure) for name, failure in failed.items()}
    whole = f"none of {', '.join(silent)} answers"
    if len(silent) == 1:
        whole = ": ".join(next(iter(silent.items())))
    raise Unreachable(whole, silent=silent)


def first_get(
    peers: Mapping[str, str], http: HttpClient, path: str, **params: str | int
) -> tuple[str, dict[str, Json]]:
    """The first JSON object that one of the peers answers. Raises as `first`."""
    return first(peers, lambda url: get(http, url + path, **params))


def first_list(
    peers: Mapping[str, str], http: HttpClient, name: str, **params: str | int
) -> tuple[str, dict[str, Json]]:
    """The first answer to `/name` that holds a list of that name. Raises as `first`."""
    return first(peers, lambda url: get_list(http, url, name, **params))


def operators(committee: Committee, chosen: str | None) -> dict[str, str]:
    """Where operators are reached: the chosen one, else all. Raises NotListed."""
    if chosen is None:
        return {operator.id: operator.url for operator in committee.operators}
    if chosen not in committee.keys:
        raise NotListed(f"the committee lists no operator {chosen}", operator=chosen)
    return {chosen: committee.urls[chosen]}


def aggregators(committee: Committee, rank: int | None = None) -> dict[str, str]:
    """Where aggregators are reached, those of low rank first. Raises NotListed."""
    found = sorted(committee.aggregators, key=lambda aggregator: aggregator.rank)
    chosen = [one for one in found if rank is None or one.rank == rank]
    if not chosen:
        of_rank = "" if rank is None else f" of rank {rank}"
        raise NotListed(f"the committee lists no aggregator{of_rank}", rank=rank)
    return {f"the aggregator at {one.url}": one.url for one in chosen}


def _reasons(http: HttpClient, url: str) -> tuple[str, ...]:
    body = http.get(f"{url}/readyz", deadline=DEADLINE).json()
    reasons = body.get("reasons") if isinstance(body, dict) else None
    return tuple(map(str, reasons)) if isinstance(reasons, list) else ()
