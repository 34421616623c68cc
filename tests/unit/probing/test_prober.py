"""A node is up if it says so itself, signed, to this very question and in time; else it is down."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from committees import Members, make_members, secret
from dragon.encoding import to_hex
from dragon.net.http_client import MAX_RESPONSE_BYTES, HttpClient
from dragon.net.runtime import Runtime
from dragon.probing.prober import RESULT_TTL_SECONDS, Prober, ProbeResult
from dragon.protocol.claims.status import Status
from dragon.protocol.messages import StatusAnswer
from simulation import Clock, SimulatedExecutor
from wsgi import WsgiAdapter, WsgiApp

MEMBERS = make_members(targets=1)
NODE = "operator_2"
TARGET = "target_1"
SKEW = 3.25  # seconds by which the nodes' clocks are ahead of the prober's


def text(body: str, status: str = "200 OK", headers: Iterable[tuple[str, str]] = ()) -> WsgiApp:
    def app(_environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start(status, [("Content-Type", "application/json"), *headers])
        return [body.encode()]

    return app


@dataclass
class Sky:
    """A committee's nodes on a network in memory, and a prober that looks at them."""

    members: Members = MEMBERS
    clock: Clock = field(default_factory=lambda: Clock(0.0))
    wires: WsgiAdapter = field(default_factory=WsgiAdapter)
    threads: int = 0  # real ones; else all is simulated

    def __post_init__(self) -> None:
        self.nonces: list[bytes] = []
        for node_id in self.members.committee.urls:
            self.put(node_id, self.genuine(node_id))
        self.executor: Executor = SimulatedExecutor(self.clock)
        if self.threads:
            self.executor = ThreadPoolExecutor(self.threads)
        self.asked: list[int] = []
        self.prober = self.make_prober()

    def make_prober(self, myself: str | None = None) -> Prober:
        runtime = Runtime(
            http=HttpClient(self.wires.session()),
            wall=self.wall,
            monotonic=lambda: self.clock.now,
            sleep=self.clock.sleep,
            entropy=random.Random(1).randbytes,
            workers=self._workers,
        )
        return Prober(self.members.committee, runtime, myself=myself)

    def _workers(self, most: int) -> Executor:
        self.asked.append(most)
        return self.executor

    def wall(self) -> float:
        return self.members.committee.rounds.genesis + self.clock.now

    def host(self, node_id: str) -> str:
        return urlsplit(self.members.committee.urls[node_id]).netloc

    def put(self, node_id: str, app: WsgiApp) -> None:
        """From now on `app` answers at the address of that node."""
        self.wires.mount(self.host(node_id), app)

    def answer(self, node_id: str, nonce: bytes, status: Status = Status.UP) -> dict[str, Any]:
        time_ms = round(1000 * (self.wall() + SKEW))
        stated = StatusAnswer(node_id, status, time_ms, nonce)
        signature = secret(node_id).sign(stated.root(self.members.committee.id))
        return {**stated.members(), "signature": to_hex(signature)}

    def genuine(
        self,
        node_id: str,
        spoil: Callable[[dict[str, Any]], dict[str, Any]] = dict,
        status: Status = Status.UP,
    ) -> WsgiApp:
        """The node itself; `spoil` changes what it says after it has signed."""

        def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            [nonce] = parse_qs(environ["QUERY_STRING"]).get("nonce", ["0x" + "00" * 16])
            self.nonces.append(bytes.fromhex(nonce[2:]))
            said = spoil(self.answer(node_id, self.nonces[-1], status))
            return text(json.dumps(said))(environ, start)

        return app

    def probe(self, *node_ids: str, max_age: float = RESULT_TTL_SECONDS) -> ProbeResult:
        return self.prober.probe(node_ids, max_age)[node_ids[0]]

    def calls(self, node_id: str) -> int:
        return sum(urlsplit(url).netloc == self.host(node_id) for _, url in self.wires.calls)


@pytest.fixture
def sky() -> Sky:
    return Sky()


def test_a_node_that_answers_for_itself_is_up(sky: Sky) -> None:
    seen = sky.probe(NODE)

    assert seen == ProbeResult(NODE, Status.UP, "answered", 0.0, sky.wall(), 0, round(1000 * SKEW))
    assert seen.answered
    assert sky.wires.calls == [("GET", f"http://{sky.host(NODE)}/status?nonce={_last_nonce(sky)}")]


def _last_nonce(sky: Sky) -> str:
    return to_hex(sky.nonces[-1])


def test_the_offset_is_taken_at_the_middle_of_the_question(sky: Sky) -> None:
    def slow(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        sky.clock.sleep(0.2)
        said = sky.genuine(NODE)(environ, start)
        sky.clock.sleep(0.2)
        return said

    sky.put(NODE, slow)

    seen = sky.probe(NODE)

    assert (seen.offset_ms, seen.latency_ms) == (round(1000 * SKEW), 400)


def test_every_question_has_a_nonce_of_its_own(sky: Sky) -> None:
    for _ in range(3):
        sky.prober.probe(sky.members.committee.keys, max_age=-1)

    assert len(sky.nonces) == len(set(sky.nonces)) == 12
    assert {len(nonce) for nonce in sky.nonces} == {16}


def _signed_for_another_committee(said: dict[str, Any]) -> dict[str, Any]:
    nonce = bytes.fromhex(said["nonce"][2:])
    stated = StatusAnswer(said["node_id"], Status.UP, said["time_ms"], nonce)
    root = stated.root(make_members(name="another").committee.id)
    return {**said, "signature": to_hex(secret(NODE).sign(root))}


def _without(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda said: {key: value for key, value in said.items() if key != name}


# What answers at the node's address, and why it is not the node, or not up.
STRANGERS: dict[str, tuple[Callable[[Sky], WsgiApp], str]] = {
    "an unsigned answer": (lambda s: s.genuine(NODE, _without("signature")), "bad_answer"),
    "an answer without a nonce": (lambda s: s.genuine(NODE, _without("nonce")), "bad_answer"),
    "an answer with a member too many": (
        lambda s: s.genuine(NODE, lambda said: {**said, "more": 1}),
        "bad_answer",
    ),
    "an answer that was changed": (
        lambda s: s.genuine(NODE, lambda said: {**said, "time_ms": said["time_ms"] + 1}),
        "bad_signature",
    ),
    "down made up": (
        lambda s: s.genuine(NODE, lambda said: {**said, "status": "up"}, Status.DOWN),
        "bad_signature",
    ),
    "a signature by another key": (
        lambda s: s.genuine(NODE, lambda said: {**said, "signature": _other_key(said)}),
        "bad_signature",
    ),
    "a signature that is no point": (
        lambda s: s.genuine(NODE, lambda said: {**said, "signature": "0x" + "ff" * 96}),
        "bad_signature",
    ),
    "a signature for another committee": (
        lambda s: s.genuine(NODE, _signed_for_another_committee),
        "bad_signature",
    ),
    "another node": (lambda s: s.genuine("operator_3"), "other_node"),
    "an old answer of its own": (
        lambda s: text(json.dumps(s.answer(NODE, bytes(16)))),
        "bad_nonce",
    ),
    "the node, which says that it is down": (
        lambda s: s.genuine(NODE, status=Status.DOWN),
        "says_down",
    ),
    "an empty page": (lambda _: text(""), "bad_answer"),
    "a page": (lambda _: text("<html>It works!</html>"), "bad_answer"),
    "a JSON that is not strict": (lambda _: text('{"a": 1, "a": 2}'), "bad_answer"),
    "an error": (lambda _: text("{}", "500 Internal Server Error"), "status_code"),
    "an answer under another code": (
        lambda s: text(json.dumps(s.answer(NODE, bytes(16))), "202 Accepted"),
        "status_code",
    ),
    "a redirect": (
        lambda s: text("", "302 Found", [("Location", f"http://{s.host('operator_3')}/")]),
        "status_code",
    ),
    "more than 64 KiB": (lambda _: text(" " * (MAX_RESPONSE_BYTES + 1)), "too_large"),
}


def _other_key(said: dict[str, Any]) -> str:
    stated = StatusAnswer(NODE, Status.UP, said["time_ms"], bytes.fromhex(said["nonce"][2:]))
    return to_hex(secret("operator_3").sign(stated.root(MEMBERS.committee.id)))


@pytest.mark.parametrize("who", STRANGERS)
def test_whoever_else_answers_leaves_the_node_down_for_a_named_reason(sky: Sky, who: str) -> None:
    make, reason = STRANGERS[who]
    sky.put(NODE, make(sky))

    seen = sky.probe(NODE)

    assert (seen.status, seen.reason) == (Status.DOWN, reason)
    assert not seen.answered
    assert (seen.offset_ms is None) is (reason != "says_down")


def test_a_closed_port_is_down(sky: Sky) -> None:
    sky.wires.refuse(sky.host(NODE))

    seen = sky.probe(NODE)

    assert (seen.status, seen.reason, seen.offset_ms) == (Status.DOWN, "unreachable", None)


@pytest.mark.parametrize("body", ["", "{}", "<html>", " " * MAX_RESPONSE_BYTES])
def test_a_target_is_up_if_it_answers_200_whatever_it_says(sky: Sky, body: str) -> None:
    sky.put(TARGET, text(body))

    seen = sky.probe(TARGET)

    assert (seen.status, seen.reason, seen.offset_ms) == (Status.UP, "answered", None)


@pytest.mark.parametrize("code", ["204 No Content", "301 Moved", "404 Not Found", "503 Busy"])
def test_a_target_that_answers_anything_but_200_is_down(sky: Sky, code: str) -> None:
    sky.put(TARGET, text("", code))

    assert (sky.probe(TARGET).status, sky.probe(TARGET).reason) == (Status.DOWN, "status_code")


def test_a_targets_answer_is_bounded_too(sky: Sky) -> None:
    sky.put(TARGET, text(" " * (MAX_RESPONSE_BYTES + 1)))

    assert sky.probe(TARGET).reason == "too_large"


# Sharing


def test_a_sight_is_shared_for_a_second(sky: Sky) -> None:
    first = sky.probe(NODE)
    sky.clock.sleep(1.0)
    at_the_bound = sky.probe(NODE)
    sky.clock.sleep(0.001)
    later = sky.probe(NODE)

    assert at_the_bound is first
    assert later.begun == 1.001
    assert sky.calls(NODE) == 2


def test_whoever_wants_it_fresher_has_it_fresher(sky: Sky) -> None:
    sky.probe(NODE)
    sky.clock.sleep(0.4)

    assert sky.probe(NODE, max_age=0.5).begun == 0.0
    assert sky.probe(NODE, max_age=0.3).begun == 0.4
    assert sky.calls(NODE) == 2


def test_a_failure_is_shared_as_well(sky: Sky) -> None:
    sky.wires.refuse(sky.host(NODE))
    sky.probe(NODE)
    sky.wires.accept(sky.host(NODE))

    assert sky.probe(NODE).reason == "unreachable"
    assert sky.probe(NODE, max_age=-1).reason == "answered"


def test_an_operator_never_asks_itself(sky: Sky) -> None:
    prober = sky.make_prober(myself=NODE)

    seen = prober.probe([NODE, "operator_1"])[NODE]

    assert (seen.status, seen.reason) == (Status.UP, "myself")
    assert sky.calls(NODE) == 0


def test_there_is_one_thread_for_each_node(sky: Sky) -> None:
    assert sky.asked == [5]


# Hanging


def hanging(sky: Sky, seconds: float) -> WsgiApp:
    def app(_environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        sky.clock.sleep(seconds)
        return text("")(_environ, start)

    return app


def test_probes_that_hang_end_after_one_deadline_for_all(sky: Sky) -> None:
    nodes = list(sky.members.committee.urls)
    for node_id in nodes[1:]:
        sky.put(node_id, hanging(sky, 3600))

    seen = sky.prober.probe(nodes)

    assert sky.clock.now == sky.members.committee.rounds.probe_deadline == 1.0
    assert {node_id: (result.status, result.reason) for node_id, result in seen.items()} == {
        nodes[0]: (Status.UP, "answered"),
        **dict.fromkeys(nodes[1:], (Status.DOWN, "timeout")),
    }
    assert {result.begun for result in seen.values()} == {0.0}


@dataclass
class Gate:
    """An app behind a gate, and who stands before it."""

    app: WsgiApp
    open: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.arrived.release()
        assert self.open.wait(timeout=10)
        return self.app(environ, start)


@pytest.fixture
def real_sky() -> Iterator[Sky]:
    """With real threads, and rounds of two seconds: a probe has 0.4 s."""
    sky = Sky(make_members(round_seconds=2), threads=8)
    yield sky
    sky.prober.close()
    sky.executor.shutdown()


def test_one_node_is_probed_once_at_a_time_however_many_ask(real_sky: Sky) -> None:
    gate = Gate(real_sky.genuine(NODE))
    real_sky.put(NODE, gate)
    with ThreadPoolExecutor(6) as crowd:
        first = crowd.submit(real_sky.probe, NODE)
        assert gate.arrived.acquire(timeout=5)
        others = [crowd.submit(real_sky.probe, NODE, max_age=0) for _ in range(5)]
        gate.open.set()
        seen = [one.result(timeout=5) for one in (first, *others)]

    assert {result.status for result in seen} == {Status.UP}
    assert real_sky.calls(NODE) == 1


def test_a_probe_that_hangs_costs_its_own_node_only(real_sky: Sky) -> None:
    gate = Gate(real_sky.genuine(NODE))
    real_sky.put(NODE, gate)

    hung = real_sky.prober.probe(real_sky.members.committee.urls)
    again = real_sky.probe(NODE, max_age=0)
    free = real_sky.probe("operator_1", max_age=-1)

    assert [result.reason for result in hung.values()].count("timeout") == 1
    assert (hung[NODE].reason, again.reason, free.reason) == ("timeout", "timeout", "answered")
    assert real_sky.calls(NODE) == 1, "the one that hangs is still under way"
    gate.open.set()
