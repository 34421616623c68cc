"""The maintenance that the logs of the operators announce. Answers are not verified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dragon.encoding import Json
from dragon.errors import PeerError, Unreachable
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import Committee, byzantine_faults
from dragon_cli.fleet import queries
from dragon_cli.recurrence import Window


@dataclass(frozen=True, slots=True)
class Announcement:
    """A window in a log. Escape its text before use."""

    node_id: str
    window: Window
    position: int  # of its event in the log
    timestamp: int  # when it was announced by the signer's clock, Unix seconds


def windows_of(node: Mapping[str, Json]) -> list[Window]:
    """Return the windows of a node in `GET /nodes`, in order: those that have not ended."""
    return sorted(each for row in queries.rows(node, "maintenance") if (each := _window(row)))


def _window(row: Mapping[str, Json]) -> Window | None:
    begin, end = row.get("from"), row.get("to")
    if isinstance(begin, int) and isinstance(end, int) and begin < end:
        return Window(begin, end)
    return None


def believed(committee: Committee, answers: Iterable[Iterable[Window]]) -> list[Window]:
    """Return the windows that more operators list than may be faulty, in order.

    A faulty operator can neither invent a window nor hide one.

    Args: `answers`, what each operator lists that answers.
    """
    faulty = byzantine_faults(len(committee.operators))
    found = Counter(window for answer in answers for window in set(answer))
    return sorted(window for window, operators in found.items() if operators > faulty)


def coming(committee: Committee, http: HttpClient, node_id: str) -> list[Window]:
    """Return the windows of a node that have not ended, as `believed`.

    Raises Unreachable: too few operators answer.
    """
    answers = _ask_all(committee, http, node_id)
    needed = byzantine_faults(len(committee.operators)) + 1
    if len(answers) < needed:
        message = f"{len(answers)} operators answer; {needed} must, to tell what is announced."
        raise Unreachable(message, answered=len(answers), needed=needed)
    return believed(committee, answers)


def _ask_all(committee: Committee, http: HttpClient, node_id: str) -> list[list[Window]]:
    """Return what each operator lists that answers."""

    def ask(url: str) -> list[Window] | None:
        try:
            return windows_of(queries.get(http, f"{url}/nodes/{node_id}"))
        except PeerError:
            return None

    urls = queries.operators(committee, None).values()
    with ThreadPoolExecutor(min(queries.MAX_CONCURRENT_QUERIES, len(committee.keys))) as executor:
        answers = executor.map(ask, urls)
        return [each for each in answers if each is not None]


def in_log(http: HttpClient, url: str, node_id: str | None) -> list[Announcement]:
    """Return all announcements in the log of one operator, in its order. Raises PeerError."""
    return list(_announcements(queries.all_rows(http, url, "maintenance", node_id)))


def _announcements(rows: Iterable[dict[str, Json]]) -> Iterator[Announcement]:
    for row in rows:
        node_id, window = row.get("node_id"), _window(row)
        position, timestamp = row.get("position"), row.get("timestamp")
        if isinstance(node_id, str) and window and isinstance(position, int):
            yield Announcement(
                node_id, window, position, timestamp if isinstance(timestamp, int) else 0
            )


def seconds_within(windows: Iterable[Window], begin: int, end: int) -> int:
    """Return how many seconds of [begin, end) lie in at least one window."""
    seconds, last = 0, begin
    for window in sorted(windows):
        first = max(last, window.begin)
        until = min(end, window.end)
        if first < until:
            seconds += until - first
            last = until
    return seconds
