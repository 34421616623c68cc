"""A node is up if its answer in time is signed and contains the nonce of the probe."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from committees import Members, make_members, secret
from dragon.encoding import to_hex
from dragon.net.connecting import Connector
from dragon.net.http_client import MAX_RESPONSE_BYTES, HttpClient
from dragon.net.runtime import Runtime
from dragon.net.target_network import SocketNetwork
from dragon.probing.probe_result import ProbeResult
from dragon.probing.prober import RESULT_TTL_SECONDS, Prober
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee, Target
from dragon.protocol.messages import StatusAnswer
from dragon.protocol.target_checks import HttpCheck
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
class Network:
    """The nodes of a committee on a network in memory, and a prober."""

    members: Members = MEMBERS
    clock: Clock = field(default_factory=lambda: Clock(0.0))
    wires: WsgiAdapter = field(default_factory=WsgiAdapter)
    threads: int = 0  # number of real threads; 0 for a simulated executor

    def __post_init__(self) -> None:
        self.nonces: list[bytes] = []
        for node_id in self.members.committee.urls:
            self.put(node_id, self.honest(node_id))
        self.executor: Executor = SimulatedExecutor(self.clock)
        if self.threads:
            self.executor = ThreadPoolExecutor(self.threads)
        self.asked: list[int] = []
        self.set_by = 0.0  # seconds by which the local clock was set
        self.prober = self.make_prober()

    def make_prober(
        self, myself: str | None = None, on_result: Callable[[ProbeResult], None] = lambda _: None
    ) -> Prober:
        return Prober(self.members.committee, self.runtime(), myself=myself, on_result=on_result)

    def runtime(self) -> Runtime:
        return Runtime(
            http=HttpClient(self.wires.session()),
            wall=self.wall,
            monotonic=lambda: self.clock.now,
            sleep=self.clock.sleep,
            entropy=random.Random(1).randbytes,
            workers=self._workers,
            networks=lambda _: SocketNetwork(HttpClient(self.wires.session()), Connector()),
        )

    def _workers(self, most: int) -> Executor:
        self.asked.append(most)
        return self.executor

    def wall(self) -> float:
        return self.members.committee.rounds.genesis + self.clock.now + self.set_by

    def host(self, node_id: str) -> str:
        return urlsplit(self.members.committee.urls[node_id]).netloc

    def put(self, node_id: str, app: WsgiApp) -> None:
        """Let `app` answer at the address of the node."""
        self.wires.mount(self.host(node_id), app)

    def answer(self, node_id: str, nonce: bytes, status: Status = Status.UP) -> dict[str, Any]:
        time_ms = round(1000 * (self.wall() + SKEW))
        stated = StatusAnswer(node_id, status, time_ms, nonce)
        signature = secret(node_id).sign(stated.root(self.members.committee.id))
        return {**stated.members(), "signature": to_hex(signature)}

    def honest(
        self,
        node_id: str,
        change: Callable[[dict[str, Any]], dict[str, Any]] = dict,
        status: Status = Status.UP,
    ) -> WsgiApp:
        """The node's app; `change` changes its answer after signing."""

        def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            [nonce] = parse_qs(environ["QUERY_STRING"]).get("nonce", ["0x" + "00" * 16])
            self.nonces.append(bytes.fromhex(nonce[2:]))
            said = change(self.answer(node_id, self.nonces[-1], status))
            return text(json.dumps(said))(environ, start)

        return app

    def probe(self, *node_ids: str, max_age: float = RESULT_TTL_SECONDS) -> ProbeResult:
        return self.prober.probe(node_ids, max_age)[node_ids[0]]

    def calls(self, node_id: str) -> int:
        return sum(urlsplit(url).netloc == self.host(node_id) for _, url in self.wires.calls)


@pytest.fixture
def network() -> Network:
    return Network()


def test_a_node_with_a_valid_answer_is_up(network: Network) -> None:
    seen = network.probe(NODE)

    assert seen == ProbeResult(
        NODE, Status.UP, "answered", 0.0, network.wall(), 0, round(1000 * SKEW)
    )
    assert seen.answered
    assert network.wires.calls == [
        ("GET", f"http://{network.host(NODE)}/status?nonce={_last_nonce(network)}")
    ]


def test_a_clock_that_is_set_during_a_probe_does_not_change_its_offset(network: Network) -> None:
    """The offset is that at the start of the probe; by how much the clock was set is known."""

    def setting(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        answer = network.honest(NODE)(environ, start)
        network.set_by = 1200.0
        return answer

    network.put(NODE, setting)

    seen = network.probe(NODE)

    assert (seen.offset_ms, seen.begun_at) == (round(1000 * SKEW), network.wall() - 1200.0)


def _last_nonce(network: Network) -> str:
    return to_hex(network.nonces[-1])


def test_the_offset_refers_to_the_middle_of_the_probe(network: Network) -> None:
    def slow(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        network.clock.sleep(0.2)
        said = network.honest(NODE)(environ, start)
        network.clock.sleep(0.2)
        return said

    network.put(NODE, slow)

    seen = network.probe(NODE)

    assert (seen.offset_ms, seen.latency_ms) == (round(1000 * SKEW), 400)


def test_every_probe_has_a_new_nonce(network: Network) -> None:
    for _ in range(3):
        network.prober.probe(network.members.committee.keys, max_age=-1)

    assert len(network.nonces) == len(set(network.nonces)) == 12
    assert {len(nonce) for nonce in network.nonces} == {16}


def _signed_for_another_committee(said: dict[str, Any]) -> dict[str, Any]:
    nonce = bytes.fromhex(said["nonce"][2:])
    stated = StatusAnswer(said["node_id"], Status.UP, said["time_ms"], nonce)
    root = stated.root(make_members(name="another").committee.id)
    return {**said, "signature": to_hex(secret(NODE).sign(root))}


def _without(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda said: {key: value for key, value in said.items() if key != name}


# Apps at the node's address, and the reason why the node counts as down.
INVALID_ANSWERS: dict[str, tuple[Callable[[Network], WsgiApp], str]] = {
    "an unsigned answer": (lambda s: s.honest(NODE, _without("signature")), "bad_answer"),
    "an answer without a nonce": (lambda s: s.honest(NODE, _without("nonce")), "bad_answer"),
    "an answer with an unknown member": (
        lambda s: s.honest(NODE, lambda said: {**said, "more": 1}),
        "bad_answer",
    ),
    "an answer that was changed": (
        lambda s: s.honest(NODE, lambda said: {**said, "time_ms": said["time_ms"] + 1}),
        "bad_signature",
    ),
    "a signed down, changed to up": (
        lambda s: s.honest(NODE, lambda said: {**said, "status": "up"}, Status.DOWN),
        "bad_signature",
    ),
    "a signature by another key": (
        lambda s: s.honest(NODE, lambda said: {**said, "signature": _other_key(said)}),
        "bad_signature",
    ),
    "a signature that is no point": (
        lambda s: s.honest(NODE, lambda said: {**said, "signature": "0x" + "ff" * 96}),
        "bad_signature",
    ),
    "a signature for another committee": (
        lambda s: s.honest(NODE, _signed_for_another_committee),
        "bad_signature",
    ),
    "another node": (lambda s: s.honest("operator_3"), "other_node"),
    "an old answer of the node": (
        lambda s: text(json.dumps(s.answer(NODE, bytes(16)))),
        "bad_nonce",
    ),
    "a signed answer that says down": (
        lambda s: s.honest(NODE, status=Status.DOWN),
        "says_down",
    ),
    "an empty page": (lambda _: text(""), "bad_answer"),
    "a page": (lambda _: text("<html>It works!</html>"), "bad_answer"),
    "a JSON that is not strict": (lambda _: text('{"a": 1, "a": 2}'), "bad_answer"),
    "an error": (lambda _: text("{}", "500 Internal Server Error"), "status_500"),
    "an answer under another code": (
        lambda s: text(json.dumps(s.answer(NODE, bytes(16))), "202 Accepted"),
        "status_202",
    ),
    "a redirect": (
        lambda s: text("", "302 Found", [("Location", f"http://{s.host('operator_3')}/")]),
        "status_302",
    ),
    "more than 64 KiB": (lambda _: text(" " * (MAX_RESPONSE_BYTES + 1)), "too_large"),
}


def _other_key(said: dict[str, Any]) -> str:
    stated = StatusAnswer(NODE, Status.UP, said["time_ms"], bytes.fromhex(said["nonce"][2:]))
    return to_hex(secret("operator_3").sign(stated.root(MEMBERS.committee.id)))


@pytest.mark.parametrize("who", INVALID_ANSWERS)
def test_an_invalid_answer_means_down_with_a_named_reason(network: Network, who: str) -> None:
    make, reason = INVALID_ANSWERS[who]
    network.put(NODE, make(network))

    seen = network.probe(NODE)

    assert (seen.status, seen.reason) == (Status.DOWN, reason)
    assert not seen.answered
    assert (seen.offset_ms is None) is (reason != "says_down")


def test_a_closed_port_is_down(network: Network) -> None:
    network.wires.refuse(network.host(NODE))

    seen = network.probe(NODE)

    assert (seen.status, seen.reason, seen.offset_ms) == (Status.DOWN, "unreachable", None)


@pytest.mark.parametrize("body", ["", "{}", "<html>", " " * MAX_RESPONSE_BYTES])
def test_a_target_is_up_if_it_answers_200_with_any_body(network: Network, body: str) -> None:
    network.put(TARGET, text(body))

    seen = network.probe(TARGET)

    assert (seen.status, seen.reason, seen.offset_ms) == (Status.UP, "answered", None)


def labels(network: Network) -> set[str]:
    """The reasons that the metric counts; a number in each of them would be too many."""
    [metric] = network.prober.counter.collect()
    return {sample.labels["reason"] for sample in metric.samples}


@pytest.mark.parametrize("code", ["301 Moved", "404 Not Found", "503 Busy"])
def test_a_target_with_an_unexpected_status_is_down(network: Network, code: str) -> None:
    network.put(TARGET, text("", code))

    assert (network.probe(TARGET).status, network.probe(TARGET).reason) == (
        Status.DOWN,
        f"status_{code[:3]}",
    )
    assert labels(network) == {"status_code"}


def test_of_a_large_page_of_a_target_only_the_first_64_kib_are_read(network: Network) -> None:
    network.put(TARGET, text(" " * (MAX_RESPONSE_BYTES + 1)))

    assert network.probe(TARGET).reason == "answered"


# Sharing


def test_a_result_is_shared_for_one_second(network: Network) -> None:
    first = network.probe(NODE)
    network.clock.sleep(1.0)
    at_the_bound = network.probe(NODE)
    network.clock.sleep(0.001)
    later = network.probe(NODE)

    assert at_the_bound is first
    assert later.begun == 1.001
    assert network.calls(NODE) == 2


def test_a_caller_can_ask_for_a_newer_result(network: Network) -> None:
    network.probe(NODE)
    network.clock.sleep(0.4)

    assert network.probe(NODE, max_age=0.5).begun == 0.0
    assert network.probe(NODE, max_age=0.3).begun == 0.4
    assert network.calls(NODE) == 2


def test_a_failure_is_shared_too(network: Network) -> None:
    network.wires.refuse(network.host(NODE))
    network.probe(NODE)
    network.wires.accept(network.host(NODE))

    assert network.probe(NODE).reason == "unreachable"
    assert network.probe(NODE, max_age=-1).reason == "answered"


def test_an_operator_does_not_probe_itself(network: Network) -> None:
    prober = network.make_prober(myself=NODE)

    seen = prober.probe([NODE, "operator_1"])[NODE]

    assert (seen.status, seen.reason) == (Status.UP, "myself")
    assert network.calls(NODE) == 0


def test_each_node_has_one_thread_and_targets_have_their_own(network: Network) -> None:
    assert network.asked == [4, 1]


# Hanging


def hanging(network: Network, seconds: float) -> WsgiApp:
    def app(_environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        network.clock.sleep(seconds)
        return text("")(_environ, start)

    return app


def test_hanging_probes_end_at_the_same_deadline(network: Network) -> None:
    nodes = list(network.members.committee.urls)
    for node_id in nodes[1:]:
        network.put(node_id, hanging(network, 3600))

    seen = network.prober.probe(nodes)

    assert network.clock.now == network.members.committee.rounds.probe_deadline_seconds == 1.0
    assert {node_id: (result.status, result.reason) for node_id, result in seen.items()} == {
        nodes[0]: (Status.UP, "answered"),
        **dict.fromkeys(nodes[1:], (Status.DOWN, "timeout")),
    }
    assert {result.begun for result in seen.values()} == {0.0}


@dataclass
class Gate:
    """An app behind a gate; `arrived` counts the requests that wait."""

    app: WsgiApp
    open: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.arrived.release()
        assert self.open.wait(timeout=10)
        return self.app(environ, start)


@pytest.fixture
def threaded_network() -> Iterator[Network]:
    """Real threads, and rounds of two seconds: a probe has 0.4 s."""
    network = Network(make_members(targets=1, round_seconds=2), threads=8)
    yield network
    network.prober.close()
    network.executor.shutdown()


def test_a_node_has_at_most_one_probe_at_a_time(threaded_network: Network) -> None:
    gate = Gate(threaded_network.honest(NODE))
    threaded_network.put(NODE, gate)
    with ThreadPoolExecutor(6) as crowd:
        first = crowd.submit(threaded_network.probe, NODE)
        assert gate.arrived.acquire(timeout=5)
        others = [crowd.submit(threaded_network.probe, NODE, max_age=0) for _ in range(5)]
        gate.open.set()
        seen = [one.result(timeout=5) for one in (first, *others)]

    assert {result.status for result in seen} == {Status.UP}
    assert threaded_network.calls(NODE) == 1


def test_a_hanging_probe_delays_only_its_own_node(threaded_network: Network) -> None:
    gate = Gate(threaded_network.honest(NODE))
    threaded_network.put(NODE, gate)

    hung = threaded_network.prober.probe(threaded_network.members.committee.urls)
    again = threaded_network.probe(NODE, max_age=0)
    free = threaded_network.probe("operator_1", max_age=-1)

    assert [result.reason for result in hung.values()].count("timeout") == 1
    assert (hung[NODE].reason, again.reason, free.reason) == ("timeout", "timeout", "answered")
    assert threaded_network.calls(NODE) == 1, "the hanging probe is still running"
    gate.open.set()


def test_each_result_is_passed_on(network: Network) -> None:
    noted: list[ProbeResult] = []
    prober = network.make_prober("operator_1", noted.append)
    network.put(TARGET, text("", "503 Service Unavailable"))

    prober.probe(["operator_1", NODE, TARGET])
    prober.probe([NODE])  # the result of a moment ago is shared

    assert [(each.node_id, each.reason) for each in noted] == [
        (NODE, "answered"),
        (TARGET, "status_503"),
    ]


@dataclass
class Holder:
    """Holds a committee, as a log does."""

    committee: Committee


def test_a_handover_forgets_results_of_nodes_that_it_moves_or_removes(network: Network) -> None:
    holder = Holder(network.members.committee)
    runtime = network.runtime()
    prober = Prober(holder, runtime)
    ids = list(holder.committee.urls)
    prober.probe(ids)
    kept, moved, removed = ids[0], ids[1], ids[2]
    operators = [
        replace(each, url="http://elsewhere:5000") if each.id == moved else each
        for each in holder.committee.operators
        if each.id != removed
    ]
    network.wires.mount("elsewhere:5000", network.honest(moved))
    before = holder.committee
    holder.committee = replace(
        before, epoch=1, network=before.network_id, operators=tuple(operators)
    )
    network.wires.calls.clear()

    results = prober.probe([kept, moved, removed])

    assert [urlsplit(url).netloc for _, url in network.wires.calls] == ["elsewhere:5000"]
    assert [results[each].reason for each in (kept, moved, removed)] == [
        *("answered", "answered", "not_listed")
    ]
    assert prober.latest(removed) is None


def test_an_answer_counts_with_any_of_the_keys_that_an_operator_may_have(network: Network) -> None:
    keys = (secret("another").public_key(), secret(NODE).public_key())
    both, other = (
        Prober(network.members.committee, network.runtime(), keys_of=keys_of)
        for keys_of in (lambda _: keys, lambda _: keys[:1])
    )
    assert both.probe([NODE])[NODE].reason == "answered"
    assert other.probe([NODE])[NODE].reason == "bad_signature"


# Slow targets: with more time than an operator


SLOW = replace(
    MEMBERS,
    committee=replace(
        MEMBERS.committee,
        targets=(Target(TARGET, "http://target-1:80", HttpCheck(timeout_ms=2500)),),
    ),
)


@pytest.fixture
def slow_network() -> Network:
    """The target takes 2.4 s to answer, and probes of operators have 1 s."""
    made = Network(SLOW)
    made.put(TARGET, hanging(made, 2.4))
    return made


def test_nobody_waits_for_a_slow_target_longer_than_for_other_nodes(
    slow_network: Network,
) -> None:
    results = slow_network.prober.probe(SLOW.committee.urls)

    assert slow_network.clock.now == SLOW.committee.rounds.probe_deadline_seconds
    assert (results[TARGET].reason, results[TARGET].is_evidence) == ("looking", False)
    assert {results[each].reason for each in SLOW.committee.keys} == {"answered"}
    assert slow_network.prober.latest(TARGET) is None


def test_the_look_at_a_slow_target_goes_on_and_counts_in_the_next_round(
    slow_network: Network,
) -> None:
    first = slow_network.probe(TARGET)
    slow_network.clock.now = 5.0
    seen = slow_network.probe(TARGET, max_age=0)

    assert first.reason == "looking"
    assert (seen.reason, seen.begun, seen.latency_ms) == ("answered", 0.0, 2400)
    assert slow_network.calls(TARGET) == 2, "the next look is running"


def test_a_slow_target_has_at_most_one_look_at_a_time(slow_network: Network) -> None:
    for _ in range(3):
        slow_network.clock.now = 0.5
        slow_network.probe(TARGET, max_age=-1)

    assert slow_network.calls(TARGET) == 1


def test_a_look_of_a_service_that_was_suspended_counts_no_more(slow_network: Network) -> None:
    slow_network.probe(TARGET)
    slow_network.clock.now = 20.0

    assert slow_network.probe(TARGET, max_age=0).reason == "looking"


def test_a_slow_target_that_answers_quickly_counts_at_once(slow_network: Network) -> None:
    slow_network.put(TARGET, text(""))

    assert slow_network.probe(TARGET).reason == "answered"


def test_a_look_that_waits_for_a_thread_says_nothing(threaded_network: Network) -> None:
    """It may be the fault of other targets that it has not begun."""
    busy = threading.Event()
    for _ in range(threaded_network.threads):
        threaded_network.executor.submit(busy.wait, 10)

    seen = threaded_network.probe(TARGET)
    busy.set()

    assert (seen.reason, seen.is_evidence) == ("looking", False)


def test_enough_looks_in_a_row_support_a_claim(network: Network) -> None:
    [target] = network.members.committee.targets
    patient = replace(target, suspect_after=2)
    holder = Holder(replace(network.members.committee, targets=(patient,)))
    prober = Prober(holder, network.runtime())
    network.put(TARGET, text("", "503 Service Unavailable"))

    found = []
    for _ in range(2):
        prober.probe([TARGET], max_age=0)
        found.append(prober.supports(TARGET, Status.DOWN))
        network.clock.sleep(5)

    assert found == [False, True]


def test_a_handover_that_changes_a_check_starts_without_looks(network: Network) -> None:
    holder = Holder(network.members.committee)
    prober = Prober(holder, network.runtime())
    prober.probe([TARGET])
    assert prober.streaks.looks(TARGET, Status.UP) == 1
    [target] = holder.committee.targets
    stricter = replace(target, check=HttpCheck(contains="Welcome"))
    holder.committee = replace(
        holder.committee, epoch=1, network=holder.committee.network_id, targets=(stricter,)
    )

    assert prober.probe([TARGET])[TARGET].reason == "text_missing"
    assert prober.streaks.looks(TARGET, Status.UP) == 0
