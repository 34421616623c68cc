"""Query the services of a fleet. Answers are not verified and may be hostile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from dragon.encoding import Json, Members
from dragon.errors import BadAnswer, InvalidEncoding, NotSettled, PeerError, Unreachable
from dragon.net.http_client import HttpClient
from dragon.net.session import make_session
from dragon.protocol.committee import Committee
from dragon_cli.errors import NotListed
from dragon_cli.fleet.layout import EXPLORER, Home, aggregator_name
from dragon_cli.hints import with_hint

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 2.0
MAX_ANSWER_BYTES: Final = 1 << 20
MAX_CONCURRENT_QUERIES: Final = 16
PAGE_SIZE: Final = 1000  # the largest that operators answer
MAX_PAGES: Final = 1000  # more than the log of many years has
MAX_NODE_PAGES: Final = 8  # enough for all nodes of the largest committee

UNTRUSTED_HINT: Final = "Name the CA file of the fleet with `--ca`."


@dataclass(frozen=True, slots=True)
class View:
    """The state of one operator's log as the operator reports it. Escape its text before use."""

    operator: str
    error: str = ""  # why the operator could not be read
    size: int = 0  # entries of its log
    root: str = ""
    reasons: tuple[str, ...] = ()  # why the operator is not ready
    nodes: dict[str, dict[str, Json]] = field(default_factory=dict)
    checkpoint_age: int | None = None  # seconds since the newest checkpoint in its log
    round_age: int | None = None  # seconds since it has heard of a round

    def status(self, node_id: str) -> str:
        """Return the status of a node in this log."""
        return str(self.nodes.get(node_id, {}).get("status", "unknown"))


@dataclass(frozen=True, slots=True)
class ServiceView:
    """Whether another service is ready, as it reports itself. Escape its text before use."""

    service: str
    error: str = ""  # why the service could not be read
    reasons: tuple[str, ...] = ()  # why the service is not ready
    degraded: tuple[str, ...] = ()  # faults in spite of which it does its work


def connect(home: Home, ca: Path | None) -> HttpClient:
    """Return an HTTP client that trusts `ca`, else the fleet's CA, else the system trust store.

    Raises SettingsError: the CA file cannot be used.
    """
    return HttpClient(make_session(ca or home.ca))


def view(committee: Committee, operator: str, http: HttpClient) -> View:
    """Query one operator. Never raises a PeerError: failures are in `View.error`."""
    url = committee.urls[operator]
    try:
        checkpoint = get(http, f"{url}/checkpoint")
        ready = readiness(http, url)
        return View(
            operator,
            size=Members(checkpoint, "the checkpoint").integer("size"),
            root=Members(checkpoint, "the checkpoint").text("root"),
            reasons=ready.reasons,
            nodes={str(node.get("node_id")): node for node in all_nodes(http, url)},
            checkpoint_age=ready.checkpoint_age,
            round_age=ready.round_age,
        )
    except (PeerError, InvalidEncoding) as error:
        return View(operator, error=str(error))


def views(committee: Committee, http: HttpClient) -> list[View]:
    """Query all operators concurrently, so that a slow one does not delay the others."""
    with ThreadPoolExecutor(min(MAX_CONCURRENT_QUERIES, len(committee.keys))) as executor:
        return list(executor.map(lambda operator: view(committee, operator, http), committee.keys))


def service_views(urls: Mapping[str, str], http: HttpClient) -> list[ServiceView]:
    """Query the readiness of services (name → URL) concurrently. Never raises a PeerError."""

    def view_of(name: str) -> ServiceView:
        try:
            ready = readiness(http, urls[name])
            return ServiceView(name, reasons=ready.reasons, degraded=ready.degraded)
        except PeerError as error:
            return ServiceView(name, error=str(error))

    with ThreadPoolExecutor(MAX_CONCURRENT_QUERIES) as executor:
        return list(executor.map(view_of, urls))


def services(committee: Committee, home: Home) -> dict[str, str]:
    """Return the URLs of the aggregators, by rank, of the fleet's stream services and its explorer.

    Not of the provers: in containers only the stream services can reach them.

    Raises SettingsError: the list of the fleet's services cannot be read.
    """
    ranked = sorted(committee.aggregators, key=lambda aggregator: aggregator.rank)
    found = {aggregator_name(each.rank): each.url for each in ranked}
    found |= home.stream_services()
    return found | {name: url for name, url in home.services().items() if name == EXPLORER}


def settled_until(committee: Committee, http: HttpClient) -> int:
    """Return the time (Unix seconds) before which no event can be added to the log.

    As the first operator that answers says; it is not verified. Raises PeerError, NotSettled.
    """
    _, head = first_get(operators(committee, None), http, "/checkpoint")
    certified = head.get("certified")
    if certified is None:
        raise NotSettled("No checkpoint is certified yet, so no period is settled.")
    try:
        timestamp = Members(certified, "the certified checkpoint").integer("timestamp")
    except InvalidEncoding as error:
        raise BadAnswer(str(error)) from None
    # `NotSettled` is also raised until the clock is later than the end by `settled_after`.
    return timestamp - committee.rounds.settled_after


def get(http: HttpClient, url: str, **params: str | int) -> dict[str, Json]:
    """Return the JSON object at `url`. Raises PeerError."""
    answer = http.get(
        url, deadline=TIMEOUT_SECONDS, params=params, max_bytes=MAX_ANSWER_BYTES
    ).successful()
    return answer if isinstance(answer, dict) else {}


def get_list(http: HttpClient, url: str, name: str, **params: str | int) -> dict[str, Json]:
    """Return the answer to `/name`, which must contain a list of that name. Raises PeerError."""
    page = get(http, f"{url}/{name}", **params)
    if not isinstance(page.get(name), list):
        raise BadAnswer(f"The answer contains no list `{name}`.")
    return page


def all_rows(http: HttpClient, url: str, name: str, node_id: str | None) -> list[dict[str, Json]]:
    """Return all objects of the list that `/name` answers, page by page. Raises PeerError.

    Args: `node_id`, of the node that they are about; None: all nodes.
    """
    found: list[dict[str, Json]] = []
    query: dict[str, str | int] = {"limit": PAGE_SIZE, **({"node_id": node_id} if node_id else {})}
    for _ in range(MAX_PAGES):
        page = get_list(http, url, name, **query)
        found += rows(page, name)
        following = page.get("next")
        if not isinstance(following, int):
            break
        query["after"] = following
    return found


def all_nodes(http: HttpClient, url: str) -> list[dict[str, Json]]:
    """Return all nodes that an operator lists, page by page. Raises PeerError."""
    found: list[dict[str, Json]] = []
    after: dict[str, str | int] = {}
    for _ in range(MAX_NODE_PAGES):
        page = get_list(http, url, "nodes", **after)
        found += rows(page, "nodes")
        following = page.get("next")
        if not isinstance(following, str):
            break
        after = {"after": following}
    return found


def rows(page: Mapping[str, Json], name: str) -> list[dict[str, Json]]:
    """Return the JSON objects of a list in an answer, without values of other types."""
    listed = page.get(name)
    return [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []


def first(peers: Mapping[str, str], ask: Callable[[str], T]) -> tuple[str, T]:
    """Query peers (name → URL) in turn; return name and answer of the first usable answer.

    Raises:
        BadAnswer: no answer is usable, but one peer explained why.
        Unreachable: no peer responded.
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
    message = f"No response from {', '.join(silent)}."
    if len(silent) == 1:
        message = ": ".join(next(iter(silent.items())))
    unreachable = Unreachable(message, silent=silent)
    if all(failure.facts.get("reason") == "tls" for failure in failed.values()):
        with_hint(unreachable, UNTRUSTED_HINT)
    raise unreachable


def first_get(
    peers: Mapping[str, str], http: HttpClient, path: str, **params: str | int
) -> tuple[str, dict[str, Json]]:
    """Return the first peer that answers with a JSON object. Raises as `first`."""
    return first(peers, lambda url: get(http, url + path, **params))


def first_list(
    peers: Mapping[str, str], http: HttpClient, name: str, **params: str | int
) -> tuple[str, dict[str, Json]]:
    """Return the first peer with a list `name` in its answer to `/name`. Raises as `first`."""
    return first(peers, lambda url: get_list(http, url, name, **params))


def operators(committee: Committee, chosen: str | None) -> dict[str, str]:
    """Return the URLs of the chosen operator, or of all operators. Raises NotListed."""
    if chosen is None:
        return {operator.id: operator.url for operator in committee.operators}
    if chosen not in committee.keys:
        raise NotListed(f"The committee lists no operator {chosen}.", operator=chosen)
    return {chosen: committee.urls[chosen]}


def aggregators(committee: Committee, rank: int | None = None) -> dict[str, str]:
    """Return the URLs of the aggregators of a rank, or of all, lowest rank first.

    Raises NotListed.
    """
    found = sorted(committee.aggregators, key=lambda aggregator: aggregator.rank)
    chosen = [one for one in found if rank is None or one.rank == rank]
    if not chosen:
        of_rank = "" if rank is None else f" with rank {rank}"
        raise NotListed(f"The committee lists no aggregator{of_rank}.", rank=rank)
    return {f"the aggregator at {one.url}": one.url for one in chosen}


@dataclass(frozen=True, slots=True)
class Readiness:
    """What a service answers at `/readyz`. Ages are in seconds; None if it states none."""

    reasons: tuple[str, ...]  # why it is not ready
    checkpoint_age: int | None = None
    round_age: int | None = None
    degraded: tuple[str, ...] = ()  # faults in spite of which it does its work


def readiness(http: HttpClient, url: str) -> Readiness:
    """Return whether the service at `url` is ready. Raises PeerError."""
    answer = http.get(f"{url}/readyz", deadline=TIMEOUT_SECONDS)
    body = answer.json()
    found = _texts(body, "reasons")
    if not found and answer.status != 200:
        found = (f"answered {answer.status}",)
    ages = body.get("certification") if isinstance(body, dict) else None
    checkpoint_age, round_age = (_age(ages, each) for each in ("checkpoint", "round"))
    return Readiness(found, checkpoint_age, round_age, _texts(body, "degraded"))


def _texts(body: Json, member: str) -> tuple[str, ...]:
    listed = body.get(member) if isinstance(body, dict) else None
    return tuple(map(str, listed)) if isinstance(listed, list) else ()


def _age(ages: Json, of: str) -> int | None:
    found = ages.get(f"{of}_age_seconds") if isinstance(ages, dict) else None
    return found if isinstance(found, int) and found >= 0 else None


def reasons(http: HttpClient, url: str) -> tuple[str, ...]:
    """Return why the service at `url` is not ready. Raises PeerError."""
    return readiness(http, url).reasons
