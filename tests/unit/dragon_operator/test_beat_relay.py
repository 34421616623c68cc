"""Beats are passed on once, in bounded memory, and a slow member delays no other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

import pytest

from committees import make_members, secret, with_heartbeats
from dragon.net.http_client import HttpClient
from dragon.net.runtime import Runtime
from dragon.protocol.beats import Beat, SignedBeat
from dragon_operator.beat_relay import MAX_WAIT_SECONDS, BeatRelay
from wsgi import WsgiAdapter

MEMBERS = with_heartbeats(make_members(4, aggregators=2), "sensor_1", "sensor_2")
NOW_MS = 1_732_522_000_000


class LaterExecutor(Executor):
    """Runs work when the test says so, as a thread that is busy now would."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.waiting.append(lambda: fn(*args, **kwargs))
        return Future()

    def run(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


class Network:
    """Members that note what they receive, each with an executor of its own at the relay."""

    def __init__(self) -> None:
        self.now = 100.0
        self.committee = MEMBERS.committee
        self.wires = WsgiAdapter()
        self.received: list[tuple[str, dict[str, Any]]] = []
        self.answer = "200 OK", {"new": True, "offset_ms": 0, "every_seconds": 60}
        self.executors: list[LaterExecutor] = []
        for each in (*self.committee.operators, *self.committee.aggregators):
            host = each.url.removeprefix("http://")
            self.wires.mount(host, self._member(host))
        runtime = Runtime(
            HttpClient(self.wires.session()),
            wall=lambda: NOW_MS / 1000,
            monotonic=lambda: self.now,
            sleep=lambda _: None,
            entropy=bytes,
            workers=self._executor,
        )
        self.relay = BeatRelay(self, "operator_1", runtime)

    def _executor(self, _most: int) -> LaterExecutor:
        self.executors.append(LaterExecutor())
        return self.executors[-1]

    def _member(self, host: str) -> Callable[..., Iterable[bytes]]:
        def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            self.received.append((host, json.loads(environ["wsgi.input"].read())))
            status, body = self.answer
            start(status, [("Content-Type", "application/json")])
            return [json.dumps(body).encode()]

        return app

    def run(self) -> None:
        for executor in self.executors:
            executor.run()

    def counted(self) -> dict[str, float]:
        [family] = self.relay.counter.collect()
        return {each.labels["result"]: each.value for each in family.samples}


@pytest.fixture
def network() -> Network:
    return Network()


def signed(node_id: str = "sensor_1", time_ms: int = NOW_MS) -> SignedBeat:
    beat = Beat(node_id, time_ms)
    return SignedBeat.sign(beat, secret(node_id), MEMBERS.committee.network_id)


def test_a_beat_goes_to_every_other_operator_and_aggregator(network: Network) -> None:
    beat = signed()

    network.relay.pass_on(beat)
    network.run()

    assert [host for host, _ in network.received] == [
        "operator-2:5002",
        "operator-3:5003",
        "operator-4:5004",
        "aggregator-0:5100",
        "aggregator-1:5101",
    ]
    body = {**beat.to_json(), "passed_on_by": "operator_1"}
    assert all(each == body for _, each in network.received)
    assert network.counted() == {"delivered": 5}


def test_a_busy_member_gets_only_the_newest_beat_of_each_target(network: Network) -> None:
    for number in range(50):
        network.relay.pass_on(signed("sensor_1", NOW_MS + number))
        network.relay.pass_on(signed("sensor_2", NOW_MS + number))
    network.run()

    assert len(network.executors) == 5
    assert len(network.received) == 5 * 2
    assert {each["time_ms"] for _, each in network.received} == {NOW_MS + 49}
    assert network.counted()["dropped"] == 5 * 2 * 49


def test_a_beat_that_has_waited_for_too_long_is_dropped(network: Network) -> None:
    network.relay.pass_on(signed())
    network.now += MAX_WAIT_SECONDS + 1
    network.run()

    assert network.received == []
    assert network.counted() == {"dropped": 5}


@pytest.mark.parametrize(
    ("status", "title", "result"),
    [
        ("409 Conflict", "beat_not_later", "known"),
        ("422 Unprocessable Content", "bad_signature", "refused"),
        ("503 Service Unavailable", "disk_full", "failed"),
    ],
)
def test_a_member_that_refuses_a_beat_gets_the_next_one(
    network: Network, status: str, title: str, result: str
) -> None:
    network.answer = status, {"title": title, "detail": "no"}
    network.relay.pass_on(signed())
    network.run()
    network.relay.pass_on(signed(time_ms=NOW_MS + 1))
    network.run()

    assert network.counted() == {result: 10}


def test_a_member_that_does_not_answer_delays_no_other(network: Network) -> None:
    network.wires.refuse("operator-2:5002")
    network.relay.pass_on(signed())
    network.run()

    assert network.counted() == {"failed": 1, "delivered": 4}


def test_an_operator_without_a_seat_sends_a_beat_as_the_target_does(network: Network) -> None:
    """Others do not believe that it passes beats on, and pass this one on themselves."""
    network.committee = replace(network.committee, operators=network.committee.operators[1:])
    beat = signed()

    network.relay.pass_on(beat)
    network.run()

    assert network.received[0] == ("operator-2:5002", beat.to_json())


def test_beats_are_passed_on_to_the_members_that_a_handover_seats(network: Network) -> None:
    network.committee = replace(network.committee, operators=network.committee.operators[:2])
    network.relay.pass_on(signed())
    network.run()

    assert [host for host, _ in network.received] == [
        "operator-2:5002",
        "aggregator-0:5100",
        "aggregator-1:5101",
    ]
