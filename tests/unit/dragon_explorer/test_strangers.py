"""What strangers and lying services can do to pages: nothing, and nothing looks certified."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from alerting import PaperFleet, config
from dragon.encoding import to_hex
from dragon.net.http_client import HttpClient
from dragon.protocol.log_entry import ProvenEntry
from dragon_explorer import rendering
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.live.board import OperatorReport
from dragon_explorer.live.sources import AggregatorSource, OperatorSource, StreamSource
from dragon_explorer.main import LANES
from wsgi import WsgiAdapter

MOST: Final = 2**53 - 1
MARKUP: Final = "<script>alert(1)</script>\"'><img src=x onerror=1>"
STREAM: Final = "0x" + "cd" * 32
HASH: Final = "0x" + "ab" * 32
READY: Final = {"status": MARKUP, "reasons": [MARKUP] * 1000}
DEGRADED: Final = {"status": "ready", "reasons": [], "degraded": [MARKUP] * 1000}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[PaperFleet]:
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN)) as made:
        made.up("target_1")
        made.pass_time(5)
        yield made


# Lying services


class Liar:
    """A service that answers every path with what it was given."""

    def __init__(self, said: Mapping[str, object]) -> None:
        self._said = said

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        body = json.dumps(self._said[environ["PATH_INFO"]]).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]


def lie(fleet: PaperFleet, time: int) -> None:
    """Let one service of each kind say the largest numbers and markup. Args: `time`, its times."""
    probe = {"node_id": "target_1", "seen": MARKUP, "reason": MARKUP, "latency_ms": MOST}
    answer = {"operator": "operator_1", "answer": MARKUP, "detail": MARKUP, "latency_ms": MOST}
    claim = {"kind": MARKUP, "node_id": "target_1", "status": MARKUP, "timestamp": time}
    round_ = {
        "number": MOST,
        "start": time,
        "begun_late_ms": -MOST,
        "took_ms": MOST,
        "overran": True,
        "skipped": MOST,
        "note": MARKUP,
        "probes": [{**probe, "clock_offset_ms": -MOST}],
        "suspicions": [
            {
                "operator": "operator_1",
                "node_id": "target_1",
                "status": MARKUP,
                "after_ms": MOST,
                "outcome": MARKUP,
                "detail": MARKUP,
            }
        ],
        "gatherings": [{"claim": claim, "needed": MOST, "certified": True, "answers": [answer]}],
    }
    vote = {"operator": "operator_1", "answer": MARKUP, "detail": MARKUP}
    window = {"stream": STREAM, "number": 0, "state": "certified", "votes": [vote]}
    seen = {"status": MARKUP, "reason": MARKUP, "at": time, "latency_ms": MOST}
    node = {"node_id": "target_1", "kind": "target", "status": "up", "since": time, "seen": seen}
    head = {"size": MOST, "root": HASH, "ledger_index": MOST}
    stream = {"stream": STREAM, "name": "sensor", "chunks": MOST, "bytes": MOST, "windows": MOST}
    closed = {"state": "certified", "first": 0, "count": MOST, "closed_ms": time, "position": 0}
    wall = fleet.wall
    liars = (
        (
            OperatorSource,
            "operator_1",
            {
                "/checkpoint": head,
                "/committee": {
                    "network": HASH,
                    "epoch": MOST,
                    "committee": HASH,
                    "seat": MARKUP,
                    "approved": {"operator_1": HASH, "operator_2": HASH},
                },
                "/nodes": {"nodes": [node], "next": None},
                "/probes": {"rounds": [round_]},
            },
        ),
        (
            AggregatorSource,
            "aggregator_0",
            {
                "/rounds": {"rounds": [round_], "next": None},
                "/windows": {"windows": [window], "next": None},
                "/windows/decided": {"windows": [window], "next": None},
                "/outbox": {"outbox": [], "next": None},
            },
        ),
        (
            StreamSource,
            "stream_service_1",
            {
                "/streams": {"streams": [{**stream, "certified": MOST, "stopped": MARKUP}]},
                f"/streams/{STREAM}/windows": {
                    "windows": [{**closed, "number": number} for number in (0, MOST)],
                    "next": None,
                },
            },
        ),
    )
    for kind, name, said in liars:
        service = WsgiAdapter({"service:1": Liar({"/readyz": READY} | said)})
        http = HttpClient(service.session())
        fleet.board.put(kind(name, "http://service:1", http, wall).read(None))
    service = WsgiAdapter({"service:1": Liar({"/readyz": DEGRADED, "/streams": {"streams": []}})})
    http = HttpClient(service.session())
    fleet.board.put(StreamSource("stream_service_2", "http://service:1", http, wall).read(None))


PAGES: Final = (
    *("/", "/nodes/target_1", "/rounds", "/committee", "/streams", "/log", "/alerts", "/public"),
    *(f"/streams/{STREAM}", f"/streams/{STREAM}/windows/0", f"/streams/{STREAM}/windows/{MOST}"),
)


@pytest.mark.parametrize("time", [0, 253_402_300_799, 253_402_300_800, MOST])
def test_lies_break_no_page_and_run_nothing(fleet: PaperFleet, time: int) -> None:
    lie(fleet, time)
    client = fleet.app().test_client()

    for path in PAGES:
        answer = client.get(path)
        assert answer.status_code in {200, 404}, path
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        assert len(answer.data) < 100_000
        assert client.get(f"/api{path}").status_code in {200, 404}
    for path in ("/metrics", "/readyz", "/badge/target_1.svg?metric=response", "/feed.atom"):
        assert client.get(path).status_code in {200, 503}


def test_a_window_that_is_not_in_the_log_is_not_certified(fleet: PaperFleet) -> None:
    lie(fleet, int(fleet.now))
    client = fleet.app().test_client()

    found = client.get(f"/api/streams/{STREAM}/windows/0").json

    assert found["window"]["is_certified"] is False
    assert found["window"]["stage"] not in {"certified", "invalid"}
    assert (found["verdicts"], found["stream"]["certified"]) == ([], 0)
    assert "certified valid" not in client.get(f"/streams/{STREAM}/windows/0").text


def test_few_of_many_reasons_are_kept(fleet: PaperFleet) -> None:
    lie(fleet, 0)
    report = fleet.board.operator("operator_1")

    assert isinstance(report, OperatorReport)
    assert report.readiness.value is not None
    assert len(report.readiness.value.reasons) == 20


# Strangers


def test_a_flood_of_addresses_fills_no_memory(
    fleet: PaperFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[rendering.Renderer] = []
    begin = rendering.Renderer.__init__

    def noting(self: rendering.Renderer, *arguments: Any) -> None:
        begin(self, *arguments)
        made.append(self)

    monkeypatch.setattr(rendering.Renderer, "__init__", noting)
    monkeypatch.setattr(rendering, "MAX_CACHED", 4)
    client = fleet.app().test_client()
    for number in range(12):
        client.get(f"/committee?fragment={number}", headers={"Host": f"h{number}.example"})

    [renderer] = made
    assert len(renderer._bodies) == 4
    assert renderer._bytes == sum(len(each.body) for each in renderer._bodies.values())
    monkeypatch.setattr(rendering, "MAX_CACHED_BYTES", 100)
    client.get("/committee")
    assert renderer._bytes == 0


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/style.css", "/badge/target_1.svg"])
def test_every_response_has_the_whole_policy(fleet: PaperFleet, path: str) -> None:
    with fleet.app().test_client().get(path) as answer:
        headers = answer.headers
    policy = dict(
        each.strip().split(" ", 1) for each in headers["Content-Security-Policy"].split(";")
    )

    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "font-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Set-Cookie" not in headers


@pytest.mark.parametrize("path", ["/api/verify", "/verify/result"])
def test_verifications_have_one_thread_of_their_own(path: str) -> None:
    [lane] = [each for each in LANES if each.takes(path)]

    assert lane.threads == 1


def test_an_entry_of_another_log_is_refused(fleet: PaperFleet) -> None:
    """Its signatures are genuine, and its proof leads to the root of an invented log."""
    client = fleet.app().test_client()
    event = client.get("/downloads/event-0.json").json
    invented = {**event, "ledger_index": 99, "size": 1, "inclusion": []}
    root = ProvenEntry.from_json(invented).entry.leaf_hash

    found = client.post("/api/verify", data=json.dumps({**invented, "root": to_hex(root)})).json

    outcomes = {each["name"]: each["outcome"] for each in found["lines"]}
    assert outcomes == {"signatures": "holds", "inclusion": "holds", "log": "refused"}
    assert found["verdict"] == "refused"
