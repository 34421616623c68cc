"""The maintenance that the logs of the operators announce. Answers are not verified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from dragon.encoding import Json
from dragon.errors import PeerError, Unreachable
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import Committee, byzantine_faults
from dragon_cli.fleet import queries
from dragon_cli.recurrence import Window


def windows_of(row: dict[str, Json]) -> Iterator[Window]:
    """Yield the windows of a node in `GET /nodes`: those that have not ended."""
    listed = row.get("maintenance")
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, dict):
            begin, end = each.get("from"), each.get("to")
            if isinstance(begin, int) and isinstance(end, int):
                yield Window(begin, end)


def coming(committee: Committee, http: HttpClient, node_id: str) -> list[Window]:
    """Return the windows of a node that more operators list than may be faulty, in order.

    A faulty operator can neither invent a window nor hide one.

    Raises Unreachable: too few operators answer.
    """
    answers = _ask_all(committee, http, node_id)
    needed = byzantine_faults(len(committee.operators)) + 1
    if len(answers) < needed:
        message = f"{len(answers)} operators answer; {needed} must, to tell what is announced."
        raise Unreachable(message, answered=len(answers), needed=needed)
    found = Counter(window for answer in answers for window in answer)
    return sorted(window for window, operators in found.items() if operators >= needed)


def _ask_all(committee: Committee, http: HttpClient, node_id: str) -> list[set[Window]]:
    """Return what each operator lists that answers."""

    def ask(url: str) -> set[Window] | None:
        try:
            return set(_of_node(queries.all_nodes(http, url), node_id))
        except PeerError:
            return None

    urls = queries.operators(committee, None).values()
    with ThreadPoolExecutor(min(queries.MAX_CONCURRENT_QUERIES, len(committee.keys))) as executor:
        answers = executor.map(ask, urls)
        return [each for each in answers if each is not None]


def _of_node(rows: Iterable[dict[str, Json]], node_id: str) -> Iterator[Window]:
    for row in rows:
        if row.get("node_id") == node_id:
            yield from windows_of(row)
