"""Which prover makes a proof, and what happens when provers fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from dragon.errors import BadAnswer, ChunkDamaged, PeerError, ProofRefused, Unreachable
from dragon.net.http_client import HttpClient, HttpResponse
from dragon.net.prover_client import ProverClient
from dragon_stream import provers as pool
from dragon_stream.provers import Provers

A, B, C = "a:5200", "b:5200", "c:5200"
SILENT = Unreachable("no answer: the connection was refused", reason="refused")
BUSY = BadAnswer("answered 429: busy", status=429)
FAULTY = BadAnswer("answered 500: internal error", status=500)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Healthy(HttpClient):
    """Answers health checks; of hosts that are `down` it gets no answer."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.checked: list[str] = []

    def get(self, url: str, **_: Any) -> HttpResponse:
        self.checked.append(url)
        if any(name in url for name in self.down):
            raise SILENT
        return HttpResponse(200, b'{"status":"ok"}')


@dataclass
class Requests:
    """Requests to provers: those in `errors` fail."""

    errors: dict[str, PeerError | ProofRefused] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, client: ProverClient) -> bytes:
        name = client.url.removeprefix("http://")
        self.asked.append(name)
        if (error := self.errors.get(name)) is not None:
            raise error
        return name.encode()


@dataclass
class Pool:
    names: tuple[str, ...] = (A, B)
    clock: Clock = field(default_factory=Clock)
    http: Healthy = field(default_factory=Healthy)
    requests: Requests = field(default_factory=Requests)

    def __post_init__(self) -> None:
        clients = [ProverClient(f"http://{name}", "token", self.http) for name in self.names]
        self.provers = Provers(clients, self.clock)

    def prove(self) -> str:
        return self.provers.prove(self.requests).decode()

    def asked(self) -> list[str]:
        """The provers asked since the last call."""
        found, self.requests.asked = self.requests.asked, []
        return found

    def count(self, prover: str, outcome: str) -> float:
        (family,) = self.provers.counter.collect()
        return sum(
            sample.value
            for sample in family.samples
            if sample.labels == {"prover": prover, "outcome": outcome}
        )

    def gauge(self, name: str) -> Mapping[str, float]:
        return {
            sample.labels["prover"]: sample.value
            for family in self.provers.metrics()
            if family.name == f"datadragon_{name}"
            for sample in family.samples
        }


class Held:
    """A request that stays in flight until it is released."""

    def __init__(self, provers: Provers) -> None:
        self._begun, self._end = threading.Event(), threading.Event()
        self.prover = ""
        self._thread = threading.Thread(target=provers.prove, args=(self._request,), daemon=True)
        self._thread.start()

    def _request(self, client: ProverClient) -> bytes:
        self.prover = client.url.removeprefix("http://")
        self._begun.set()
        assert self._end.wait(30)
        return b""

    def begun(self) -> str:
        assert self._begun.wait(30)
        return self.prover

    def is_waiting(self) -> bool:
        return not self._begun.is_set()

    def release(self) -> None:
        self._end.set()
        self._thread.join(30)


def test_idle_provers_are_used_in_the_order_of_the_list() -> None:
    made = Pool()
    assert [made.prove() for _ in range(3)] == [A, A, A]
    assert made.provers.places == 8
    assert made.count(A, "done") == 3


def test_the_prover_with_the_fewest_requests_in_flight_is_used() -> None:
    made = Pool((A, B, C))
    held = []
    for _ in range(5):
        held.append(each := Held(made.provers))
        each.begun()

    assert [each.prover for each in held] == [A, B, C, A, B]
    assert made.gauge("stream_proofs_in_flight") == {A: 2, B: 2, C: 1}
    assert made.prove() == C
    held[0].release()
    held[3].release()
    assert made.prove() == A
    for each in held:
        each.release()
    assert made.gauge("stream_proofs_in_flight") == {A: 0, B: 0, C: 0}


def test_a_request_waits_for_a_place_at_full_provers() -> None:
    made = Pool()
    held = []
    for _ in range(made.provers.places):
        held.append(each := Held(made.provers))
        each.begun()
    waiting = Held(made.provers)
    assert waiting.is_waiting()

    held[1].release()
    assert waiting.begun() == B
    for each in [*held, waiting]:
        each.release()


def test_a_request_that_finds_no_place_in_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PLACE_TIMEOUT_SECONDS", 0.0)
    made = Pool((A,))
    held = []
    for _ in range(made.provers.places):
        held.append(each := Held(made.provers))
        each.begun()
    with pytest.raises(Unreachable, match="no prover takes requests"):
        made.prove()
    for each in held:
        each.release()


@pytest.mark.parametrize(
    "error", [SILENT, BUSY, FAULTY, ProofRefused("oods", "wrong")], ids=lambda e: e.name
)
def test_a_request_that_fails_is_repeated_at_another_prover(error: PeerError) -> None:
    made = Pool()
    made.requests.errors[A] = error
    assert made.prove() == B
    assert made.asked() == [A, B]
    assert made.provers.faults == {A: str(error)}
    assert made.provers.has_working
    assert made.gauge("stream_prover_works") == {A: 0, B: 1}
    outcome = "busy" if error is BUSY else error.name
    assert (made.count(A, outcome), made.count(B, "done")) == (1, 1)


def test_each_prover_is_asked_once_and_the_last_error_is_raised() -> None:
    made = Pool((A, B, C))
    made.requests.errors = {A: SILENT, B: FAULTY, C: BUSY}
    with pytest.raises(BadAnswer, match="answered 429"):
        made.prove()
    assert made.asked() == [A, B, C]
    assert not made.provers.has_working


def test_a_prover_that_does_not_answer_costs_one_request() -> None:
    made = Pool()
    made.requests.errors[A] = SILENT
    for _ in range(5):
        made.prove()
        made.clock.now += 100
    assert made.asked() == [A, B, B, B, B, B]


def test_a_prover_that_answers_a_check_is_used_again() -> None:
    made = Pool()
    made.requests.errors[A] = SILENT
    made.http.down = {A}
    made.prove()
    assert made.provers.silent == [0]
    assert made.provers.check(0) == pool.CHECK_PAUSE_SECONDS
    assert (made.provers.silent, list(made.provers.faults)) == ([0], [A])

    made.http.down, made.requests.errors = set(), {}
    made.provers.check(0)
    assert made.http.checked == ["http://a:5200/healthz"] * 2
    assert (made.provers.silent, made.provers.faults) == ([], {})
    assert made.prove() == B  # the other one has a place, and A is not tried yet
    made.clock.now += pool.TRIAL_PAUSE_SECONDS
    assert (made.prove(), made.prove()) == (A, A)


def test_a_suspect_prover_gets_one_request_at_a_time() -> None:
    made = Pool()
    made.requests.errors[A] = FAULTY
    made.prove()
    made.requests.errors = {}
    made.clock.now += pool.TRIAL_PAUSE_SECONDS

    first, second, third = (Held(made.provers) for _ in range(3))
    assert {first.begun(), second.begun(), third.begun()} == {A, B}
    assert made.gauge("stream_proofs_in_flight") == {A: 1, B: 2}
    for each in (first, second, third):
        each.release()


def test_a_faulty_prover_does_not_attract_requests_by_failing_fast() -> None:
    made = Pool()
    made.requests.errors[A] = FAULTY
    for _ in range(5):
        assert made.prove() == B
    assert made.asked().count(A) == 1
    made.clock.now += pool.TRIAL_PAUSE_SECONDS
    made.prove()
    assert made.asked() == [A, B]


def test_the_only_prover_is_used_again_after_a_wrong_answer() -> None:
    """The next window may be all right."""
    made = Pool((A,))
    made.requests.errors[A] = FAULTY
    with pytest.raises(BadAnswer):
        made.prove()
    assert made.provers.is_available
    made.requests.errors = {}
    assert made.prove() == A
    assert made.provers.has_working


@pytest.mark.parametrize(("asked", "pause"), [(None, 1), (3, 3), (3600, 10)])
def test_a_busy_prover_gets_no_requests_for_a_while(asked: int | None, pause: float) -> None:
    made = Pool((A,))
    facts = {} if asked is None else {"retry_after": asked}
    made.requests.errors[A] = BadAnswer("answered 503: no place", status=503, **facts)
    with pytest.raises(BadAnswer):
        made.prove()
    made.requests.errors = {}
    made.clock.now += pause - 0.1
    assert not made.provers.is_available
    with pytest.raises(Unreachable, match="no prover takes requests"):
        made.prove()
    made.clock.now += 0.1
    assert made.prove() == A


@pytest.mark.parametrize(("status", "following"), [(429, A), (503, B)])
def test_an_unavailable_prover_is_suspect_and_a_busy_one_is_not(
    status: int, following: str
) -> None:
    made = Pool()
    made.requests.errors[A] = BadAnswer(f"answered {status}", status=status)
    assert made.prove() == B
    made.requests.errors = {}
    made.clock.now += pool.BUSY_PAUSE_SECONDS
    assert made.prove() == following


def test_damage_in_the_service_itself_is_no_fault_of_the_prover() -> None:
    made = Pool()

    def damaged(_: ProverClient) -> bytes:
        raise ChunkDamaged("chunk 0 is damaged")

    request: Callable[[ProverClient], bytes] = damaged
    with pytest.raises(ChunkDamaged):
        made.provers.prove(request)
    assert made.provers.faults == {}
    assert made.gauge("stream_proofs_in_flight") == {A: 0, B: 0}
