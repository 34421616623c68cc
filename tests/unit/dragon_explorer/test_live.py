"""Watching live services: bounded, uncertified, and each on its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl

import pytest

from dragon.net.http_client import HttpClient
from dragon_explorer.live import answers, sources
from dragon_explorer.live.audience import PRESENT_SECONDS, Audience
from dragon_explorer.live.board import AggregatorReport, Board, OperatorReport, StreamReport
from dragon_explorer.live.poller import IDLE_PAUSES, MAX_PAUSE_SECONDS, PAUSE_SECONDS, Poller
from dragon_explorer.live.sources import AggregatorSource, OperatorSource, StreamSource
from wsgi import WsgiAdapter

HASH = "0x" + "ab" * 32
READY = {"status": "ready", "reasons": []}
HEAD = {"size": 3, "root": HASH, "ledger_index": 9, "committee": HASH, "certified": None}
SEEN = {"status": "up", "reason": "answered", "at": 5, "latency_ms": 20}
NODE = {"node_id": "target_1", "kind": "target", "status": "up", "since": 1, "seen": SEEN}


class Service:
    """A WSGI app that answers paths with JSON values, and counts the requests."""

    def __init__(self, said: Mapping[str, object]) -> None:
        self.said = dict(said)
        self.asked: list[str] = []
        self.status = "200 OK"

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        path = environ["PATH_INFO"]
        query = environ["QUERY_STRING"]
        self.asked.append(f"{path}?{query}" if query else path)
        found = self.said.get(self.asked[-1], self.said.get(path))
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        status = "404 Not Found" if found is None else self.status
        start_response(status, [("Content-Length", str(len(body)))])
        return [body]


OPERATOR = {
    "/readyz": READY,
    "/checkpoint": HEAD,
    "/nodes": {"nodes": [NODE], "next": None},
}


def network(service: Service) -> WsgiAdapter:
    return WsgiAdapter({"service:1": service})


def operator(adapter: WsgiAdapter, now: float = 100.0) -> OperatorSource:
    return OperatorSource(
        "operator_1", "http://service:1", HttpClient(adapter.session()), lambda: now
    )


def test_an_operator_is_read_in_parts() -> None:
    service = Service(OPERATOR | {"/checkpoint": b"{"})

    found = operator(network(service)).read(None)

    assert found.readiness.value is not None
    assert found.nodes.value is not None
    assert found.nodes.value["target_1"].seen is not None
    assert (found.head.value, found.head.at) == (None, None)
    assert "not strict JSON" in found.head.error


def test_pages_are_followed_up_to_a_limit() -> None:
    service = Service(OPERATOR | {"/nodes": {"nodes": [NODE], "next": "target_1"}})

    operator(network(service)).read(None)

    assert len([path for path in service.asked if path.startswith("/nodes")]) == sources.MAX_PAGES


def test_the_last_good_answer_stays_while_the_service_is_silent() -> None:
    adapter = network(Service(OPERATOR))
    before = operator(adapter).read(None)
    adapter.refuse("service:1")

    after = operator(adapter, now=200.0).read(before)

    assert after.head.value == before.head.value
    assert after.head.at == 100.0
    assert after.head.error


def test_a_service_that_is_not_ready_says_why() -> None:
    service = Service({"/readyz": {"status": "not ready", "reasons": ["disk: full", "x" * 999]}})
    service.status = "503 Service Unavailable"

    found = operator(network(service)).read(None)

    assert found.readiness.value is not None
    assert found.readiness.value.reasons == ["disk: full", "x" * 300]


def probed(*numbers: int) -> dict[str, object]:
    probe = {
        "node_id": "target_1",
        "seen": "down",
        "reason": "dns",
        "latency_ms": 9,
        "clock_offset_ms": None,
    }
    rounds = [{"number": number, "start": 5 * number, "probes": [probe]} for number in numbers]
    return {"rounds": rounds, "next": None}


def test_the_probed_rounds_of_an_operator_are_put_together() -> None:
    service = Service(OPERATOR | {"/probes": probed(2, 1)})
    before = operator(network(service)).read(None)
    service.said["/probes"] = probed(3, 2)
    after = operator(network(service)).read(before)
    service.said["/probes"] = probed()
    restarted = operator(network(service)).read(after)
    service.said["/probes"] = probed(1)  # its clock was set back
    again = operator(network(service)).read(restarted)

    assert [path for path in service.asked if path.startswith("/probes")] == [
        f"/probes?limit={sources.MAX_PROBED_ROUNDS_KEPT}",
        *3 * [f"/probes?limit={sources.ROUNDS_AT_ONCE}"],
    ]
    numbers = [
        [each.number for each in report.probes.value or ()]
        for report in (before, after, restarted, again)
    ]
    assert numbers == [[1, 2], [1, 2, 3], [1, 2, 3], [1]]


def test_an_operator_without_probed_rounds_is_watched_all_the_same() -> None:
    found = operator(network(Service(OPERATOR))).read(None)

    assert found.probes.value is None
    assert found.nodes.value is not None


@pytest.mark.parametrize(
    "node",
    [
        7,
        {**NODE, "node_id": "A B"},
        {**NODE, "since": -1},
        {**NODE, "since": True},
        {**NODE, "status": "x" * 65},
        {**NODE, "seen": {**SEEN, "latency_ms": "20"}},
    ],
)
def test_an_answer_of_another_form_is_an_error(node: object) -> None:
    service = Service(OPERATOR | {"/nodes": {"nodes": [node], "next": None}})

    found = operator(network(service)).read(None)

    assert found.nodes.value is None
    assert "expected form" in found.nodes.error


def test_members_of_a_newer_release_are_ignored() -> None:
    service = Service(OPERATOR | {"/checkpoint": {**HEAD, "new": 1}})

    assert not operator(network(service)).read(None).head.error


def test_an_answer_that_is_too_large_is_an_error() -> None:
    service = Service(OPERATOR | {"/nodes": b" " * (sources.MAX_ANSWER_BYTES + 1)})

    assert "bytes" in operator(network(service)).read(None).nodes.error


def aggregator(service: Service) -> AggregatorSource:
    http = HttpClient(network(service).session())
    return AggregatorSource("aggregator_0", "http://service:1", http, lambda: 100.0)


def round_(number: int, took: int | None = 5) -> dict[str, object]:
    return {
        "number": number,
        "start": 5 * number,
        "begun_late_ms": 0,
        "took_ms": took,
        "overran": False,
        "skipped": 0,
        "note": "",
        "probes": [],
        "gatherings": [],
    }


def test_rounds_are_collected_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_ROUNDS_KEPT", 3)
    service = Service({"/rounds": {"rounds": [round_(2, None), round_(1)], "next": 1}})
    report: AggregatorReport | None = aggregator(service).read(None)
    service.said["/rounds"] = {"rounds": [round_(4), round_(3), round_(2)], "next": None}

    report = aggregator(service).read(report)

    kept = report.rounds.value or ()
    assert [each.number for each in kept] == [2, 3, 4]
    assert kept[0].took_ms == 5


@pytest.mark.parametrize(("newest", "asked"), [(8, 1), (9, 2), (16, 3), (99, sources.MAX_PAGES)])
def test_rounds_between_two_readings_are_not_lost(newest: int, asked: int) -> None:
    """However long nobody looked; up to a limit, which an aggregator cannot exceed either."""

    class Rounds(Service):
        def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
            query = dict(parse_qsl(environ["QUERY_STRING"]))
            last = min(newest, int(query.get("after", newest + 1)) - 1)
            numbers = range(last, last - int(query["limit"]), -1) if query else ()
            self.said["/rounds"] = {
                "rounds": [round_(number) for number in numbers],
                "next": min(numbers, default=None),
            }
            return super().__call__(environ, start_response)

    service = Rounds({"/rounds": {"rounds": [], "next": None}})
    first = (answers.Round.model_validate(round_(4)),)
    before = AggregatorReport("aggregator_0", "http://service:1", rounds=sources.Part(first, 1.0))

    found = aggregator(service).read(before)

    read = sources.ROUNDS_AT_ONCE * asked
    kept = [each.number for each in found.rounds.value or ()]
    assert sum(path.startswith("/rounds") for path in service.asked) == asked
    assert kept == sorted({4, *range(newest - read + 1, newest + 1)})


STREAM = {"stream": HASH, "name": "s", "chunks": 1, "bytes": 2, "stopped": None}
WINDOW = {"state": "closed", "first": 0, "count": 1, "closed_ms": 1, "position": None}


def test_windows_are_read_while_a_stream_changes() -> None:
    path = f"/streams/{HASH}/windows"
    service = Service(
        {
            "/readyz": READY,
            "/streams": {"streams": [{**STREAM, "windows": 40, "certified": 39}]},
            path: {"windows": [{**WINDOW, "number": 39}], "next": None},
        }
    )
    http = HttpClient(network(service).session())
    source = StreamSource("stream_service_1", "http://service:1", http, lambda: 100.0)

    first = source.read(None)
    service.said["/streams"] = {"streams": [{**STREAM, "windows": 40, "certified": 40}]}
    second = source.read(first)
    asked = len(service.asked)
    third = source.read(second)

    assert f"{path}?after=19&limit=20" in service.asked
    assert third.windows == second.windows
    assert third.windows[HASH].value is not None
    assert len(service.asked) == asked + 2  # no windows of a stream that has not changed
    assert isinstance(third, StreamReport)


def test_the_version_grows_only_with_what_is_said() -> None:
    board, adapter = Board(), network(Service(OPERATOR))
    for now in (1.0, 2.0, 3.0):
        board.put(operator(adapter, now).read(board.operator("operator_1")))
    before = board.version
    adapter.refuse("service:1")
    board.put(operator(adapter, 4.0).read(board.operator("operator_1")))

    assert (before, board.version) == (1, 2)


class Stop(threading.Event):
    """Records the pauses, and is set after some of them."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.pauses: list[float | None] = []
        self._after = after

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        if len(self.pauses) == self._after:
            self.set()
        return self.is_set()


def test_the_pause_grows_while_a_service_is_silent() -> None:
    adapter, reports = network(Service(OPERATOR)), []
    poller = Poller(operator(adapter), Board(), reports.append)
    up, silent = Stop(2), Stop(5)

    poller.run(up)
    adapter.refuse("service:1")
    poller.run(silent)

    assert up.pauses == [PAUSE_SECONDS] * 2
    assert silent.pauses == [4.0, 8.0, MAX_PAUSE_SECONDS, MAX_PAUSE_SECONDS, MAX_PAUSE_SECONDS]
    assert all(isinstance(each, OperatorReport) for each in reports)
    assert len(reports) == 7


def test_services_are_read_less_often_while_nobody_looks() -> None:
    """A visitor does not wait for the end of the long pause."""
    now = 0.0
    audience = Audience(lambda: now)
    poller = Poller(operator(network(Service(OPERATOR))), Board(), is_watched=audience.is_present)
    read: list[float] = []

    class Pauses(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            nonlocal now
            now += timeout or 0.0
            if now == 26.0:
                audience.note()
            return self.is_set()

    stop = Pauses()

    def note(_: object) -> None:
        read.append(now)
        if now >= 70:
            stop.set()

    replace(poller, on_report=note).run(stop)

    idle = PAUSE_SECONDS * IDLE_PAUSES
    visited = [26.0 + PAUSE_SECONDS * n for n in range(round(PRESENT_SECONDS / PAUSE_SECONDS) + 1)]
    assert read[:3] == [0.0, idle, 2 * idle]
    assert [time for time in read if 2 * idle < time <= visited[-1]] == visited
    assert {b - a for a, b in pairwise(read) if a >= visited[-1]} == {idle}
