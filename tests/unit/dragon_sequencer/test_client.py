"""The client with simulated networks that fail, lie and lose their history."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable
from itertools import islice
from typing import Any
from unittest.mock import MagicMock, Mock

import pytest
from flask import Flask, Response, request

from dragon.errors import (
    EventTooLarge,
    InvalidEncoding,
    LedgerContradiction,
    LedgerRewound,
    LedgerUnavailable,
)
from dragon.log.ledger import Position
from dragon_sequencer import bn254, errors, pairing
from dragon_sequencer.client import SequencerClient, Timeouts
from dragon_sequencer.devnet import main
from dragon_sequencer.devnet.app import create_app
from dragon_sequencer.devnet.network import Network, Rules, Signer
from dragon_sequencer.devnet.storage import Storage
from dragon_sequencer.finality import Proof
from dragon_sequencer.nodes import NodeList
from dragon_sequencer.packing import pack
from dragon_sequencer.signatures import FACTOR_BYTES
from wsgi import WsgiAdapter

APP = "dragon"
SECRETS = [1_000_003, 1_000_004, 1_000_005, 1_000_006]
HOSTS = ["one:1", "two:2", "three:3", "four:4"]
TIMEOUTS = Timeouts(compare_seconds=5, rewound_seconds=15)


class Start:
    """A random generator that always returns 0."""

    def randrange(self, _: int) -> int:
        return 0


@functools.cache
def nodes_at(hosts: tuple[str, ...]) -> NodeList:
    document: dict[str, Any] = main.nodes_document(SECRETS, "http://x:1")
    for node, host in zip(document.values(), hosts * 4, strict=False):
        node["socket"] = f"http://{host}"
    return NodeList.decode(json.dumps(document))


class World:
    """Four gateways to one network, a client, and one clock for all."""

    def __init__(self, *, hosts: list[str] = HOSTS, **rules: Any) -> None:
        self.now = 1_700_000_000.0
        self.nodes = nodes_at(tuple(hosts))
        self.rules = rules
        self.network = self.another_network()
        self.wire = WsgiAdapter({host: self.honest() for host in hosts})
        self.client = self.make_client()
        self.slept = 0.0

    def another_network(self, app: str = APP) -> Network:
        """A network with the same keys, but another history."""
        signers = [
            Signer(node, key) for node, key in zip(self.nodes.nodes.values(), SECRETS, strict=True)
        ]
        clock = lambda: self.now  # noqa: E731
        rules = Rules(**self.rules)
        return Network([app], signers, Storage(), monotonic=clock, wall=clock, rules=rules)

    def honest(self, network: Network | None = None) -> Flask:
        return create_app(network or self.network, hold=0)

    def make_client(self, **options: Any) -> SequencerClient:
        defaults: dict[str, Any] = {
            "session": self.wire.session(),
            "monotonic": lambda: self.now,
            "sleep": self.sleep,
            "rng": Start(),
            "timeouts": TIMEOUTS,
        }
        return SequencerClient(APP, self.nodes, **{**defaults, **options})

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.pass_time(seconds)

    def pass_time(self, seconds: float = 1) -> None:
        self.now += seconds
        self.network.finalize_due()

    def publish(self, *numbers: int, network: Network | None = None) -> None:
        """Finalize one batch for each number, all with one proof."""
        network = network or self.network
        for number in numbers:
            network.submit(APP, json.dumps([{"number": number}]))
        self.now += 1
        network.finalize_due()

    def asked(self, host: str) -> int:
        return sum(f"//{host}/" in url for _, url in self.wire.calls)


@pytest.fixture
def world():
    return World()


def answering(answer: Callable[[], Any]) -> Flask:
    """A gateway that gives the same answer to all requests."""
    app = Flask(__name__)

    @app.route("/<path:_>", methods=["GET", "PUT"])
    def view(_: str) -> Any:
        return answer()

    return app


def refusing(status: int, code: str | None = None) -> Flask:
    body = {"status": "error", "error": {"code": code, "message": "no"}}
    text = json.dumps(body) if code else "<h1>no</h1>"
    return answering(lambda: Response(text, status, mimetype="application/json"))


# Published examples


def test_the_published_example_of_sending_runs(world):
    zellular = world.client
    event = {"node_id": "operator_2", "status": "down"}

    zellular.send([event])

    world.pass_time()
    assert world.network.page(APP, 0)["batches"] == ['[{"node_id":"operator_2","status":"down"}]']


def test_the_published_example_of_reading_runs(world):
    zellular, last_index, seen = world.client, 0, []
    zellular.send([{"number": 1}])
    zellular.send([{"number": 2}, {"number": 3}])

    for batch, index in zellular.batches(after=last_index):
        events = json.loads(batch)
        seen += events
        last_index = index
        if index == 2:
            break

    assert [event["number"] for event in seen] == [1, 2, 3]
    assert last_index == 2


def test_reading_resumes_after_an_index(world):
    world.publish(1, 2, 3)
    world.publish(4)

    read = {
        after: [index for _, index in islice(world.client.batches(after=after), 4 - after)]
        for after in range(4)
    }

    assert read == {0: [1, 2, 3, 4], 1: [2, 3, 4], 2: [3, 4], 3: [4]}


def test_a_reader_that_joins_at_the_newest_batch_waits_for_the_next(world):
    world.publish(1, 2)
    zellular = world.client
    zellular.send([{"number": 3}])

    assert next(zellular.batches(after=2)) == ('[{"number":3}]', 3)
    assert world.slept == TIMEOUTS.poll_seconds


# Packing


def test_events_are_packed_in_order_into_as_few_batches_as_possible():
    events = [{"n": number, "pad": "ü" * 1000} for number in range(5)]

    batches = pack(events, max_batch_bytes=5120)

    assert [len(json.loads(batch)) for batch in batches] == [2, 2, 1]
    assert [event for batch in batches for event in json.loads(batch)] == events


@pytest.mark.parametrize("spare", [0, 1])
def test_a_batch_is_filled_to_its_last_byte(spare):
    empty = len('[{"pad":""}]')
    fitting = {"pad": "x" * (5120 - empty)}
    half = {"pad": "x" * (2559 - empty + 2 - spare)}

    assert [len(batch) for batch in pack([fitting])] == [5120]
    assert len(pack([half, half])) == 2 - spare


def test_no_events_make_no_batch(world):
    world.client.send([])

    assert pack([]) == []
    assert not world.wire.calls


def test_with_an_event_that_is_too_large_nothing_is_sent(world):
    with pytest.raises(EventTooLarge) as refused:
        world.client.send([{"n": 1}, {"pad": "x" * 5200}])

    assert refused.value.facts["position"] == 1
    assert not world.wire.calls


@pytest.mark.parametrize("event", [{"n": 2**60}, {"n": float("nan")}, {"t": "\ud800"}])
def test_an_event_without_a_canonical_form_is_refused(event, world):
    with pytest.raises(InvalidEncoding):
        world.client.send([event])

    assert not world.wire.calls


# Sending


def test_a_batch_is_sent_unchanged_as_plain_text(world):
    seen: list[Any] = []

    def answer() -> Response:
        seen.append((request.method, request.path, request.mimetype, request.get_data()))
        return Response('{"status":"success","message":"","data":{}}', 200)

    world.wire.mount("one:1", answering(answer))

    world.client.send([{"ü": "✓"}])

    assert seen == [("PUT", f"/node/{APP}/batches", "text/plain", '[{"ü":"✓"}]'.encode())]


TEMPORARY = [
    refusing(503, "IsPausedError"),
    refusing(503, "NotSyncedError"),
    refusing(429, "BatchesLimitExceededError"),
    refusing(403, "IsNotPostingNodeError"),
    refusing(429),
    refusing(500),
    refusing(502),
    refusing(307),
    answering(lambda: Response("no JSON", 200)),
    answering(lambda: Response("[]", 200)),
    answering(lambda: Response('{"status":"success"}', 200)),
]


@pytest.mark.parametrize("gateway", TEMPORARY)
def test_a_batch_that_one_gateway_refuses_goes_to_the_next(gateway, world):
    world.wire.mount("one:1", gateway)

    world.client.send([{"number": 1}])
    world.client.send([{"number": 2}])
    world.pass_time()

    assert len(world.network.page(APP, 0)["batches"]) == 2
    assert world.asked("one:1") == 1
    assert world.asked("two:2") == 2


def test_a_closed_port_is_skipped(world):
    world.wire.refuse("one:1")

    world.client.send([{"number": 1}])

    assert world.asked("two:2") == 1


PERMANENT = [
    (429, "BatchSizeExceededError"),
    (400, "InvalidRequestError"),
    (400, "InvalidNodeVersionError"),
    (418, "SomethingNew"),
    (404, None),
    (405, None),
    (422, None),
]


@pytest.mark.parametrize(("status", "code"), PERMANENT)
def test_a_batch_that_two_gateways_refuse_for_good_is_given_up(status, code, world):
    for host in HOSTS[:2]:
        world.wire.mount(host, refusing(status, code))

    with pytest.raises(errors.SubmissionRefused, match="2 gateways refused") as refused:
        world.client.send([{"number": 1}])

    assert refused.value.facts["status"] == status
    assert len(world.wire.calls) == 2
    assert not world.slept


@pytest.mark.parametrize(("status", "code"), PERMANENT)
def test_a_batch_that_one_gateway_of_several_refuses_is_sent_to_the_next(status, code, world):
    world.wire.mount("one:1", refusing(status, code))

    world.client.send([{"number": 1}])

    world.pass_time()
    assert len(world.network.page(APP, 0)["batches"]) == 1


def test_the_error_says_that_the_only_gateway_refused():
    world = World(hosts=["one:1"])
    world.wire.mount("one:1", refusing(400, "InvalidRequestError"))

    with pytest.raises(errors.SubmissionRefused, match="the only gateway"):
        world.client.send([{"number": 1}])


def test_one_refusal_while_all_others_are_closed_is_not_final(world):
    world.wire.mount("one:1", refusing(429, "BatchSizeExceededError"))
    for host in HOSTS[1:]:
        world.wire.refuse(host)

    with pytest.raises(LedgerUnavailable, match=r"one gateway refused it: .*BatchSizeExceeded"):
        world.client.send([{"number": 1}])

    assert world.asked("one:1") == 1


def test_a_batch_that_crashes_two_gateways_is_not_sent_to_a_third(world):
    for host in HOSTS:
        world.wire.mount(host, refusing(500))

    with pytest.raises(errors.SubmissionRefused):
        world.client.send([{"number": 1}])

    assert len(world.wire.calls) == 2


def test_a_repeated_event_is_sent_through_another_gateway(world):
    world.client.send([{"number": 1}])
    world.client.send([{"number": 2}])
    world.client.send([{"number": 3}, {"number": 1}])
    world.client.send([{"number": 4}])
    world.client.send([{"number": 1}])

    hosts = [url.split("/")[2] for _, url in world.wire.calls]
    assert hosts == ["one:1", "one:1", "two:2", "two:2", "three:3"]


def test_the_number_of_remembered_events_is_limited(world, monkeypatch):
    monkeypatch.setattr("dragon_sequencer.submission._MAX_REMEMBERED_EVENTS", 2)
    for number in (1, 2, 3, 1, 3):
        world.client.send([{"number": number}])

    hosts = [url.split("/")[2] for _, url in world.wire.calls]
    assert hosts == ["one:1", "one:1", "one:1", "one:1", "two:2"]


def test_a_network_without_posting_nodes_refuses(world):
    for host in HOSTS:
        world.wire.mount(host, refusing(403, "IsNotPostingNodeError"))

    with pytest.raises(errors.SubmissionRefused):
        world.client.send([{"number": 1}])

    assert len(world.wire.calls) == len(HOSTS)


def test_submission_to_a_paused_network_is_retried(world):
    world.network.set_faults(paused=True)
    original = world.sleep

    def sleep(seconds: float) -> None:
        original(seconds)
        if world.slept >= 10:
            world.network.set_faults(paused=False)

    world.make_client(sleep=sleep).send([{"number": 1}])

    world.pass_time()
    assert world.network.page(APP, 0)["batches"] == ['[{"number":1}]']
    assert world.slept == 10


def test_sending_ends_at_its_deadline(world):
    for host in HOSTS:
        world.wire.refuse(host)
    begun = world.now

    with pytest.raises(LedgerUnavailable) as failed:
        world.client.send([{"number": 1}])

    assert world.now - begun == TIMEOUTS.send_seconds
    assert failed.value.facts["accepted"] == 0


def test_batches_are_sent_to_posting_nodes_only():
    world = World()
    document = {name: dict(node) for name, node in main.nodes_document(SECRETS, "x").items()}  # type: ignore[call-overload]
    for node, host in zip(document.values(), HOSTS, strict=True):
        node |= {"socket": f"http://{host}", "roles": ["sequencing"]}
    document[list(document)[2]]["roles"] = ["posting"]
    world.nodes = NodeList.decode(json.dumps(document))

    world.make_client().send([{"number": 1}])

    assert [url for _, url in world.wire.calls] == [f"http://three:3/node/{APP}/batches"]


# Polling


def numbers(proven: Any) -> list[int]:
    return [json.loads(batch.body)[0]["number"] for batch in proven]


def test_each_poll_continues_after_the_previous_one(world):
    assert world.client.poll(Position()) == []
    world.publish(1, 2)
    world.publish(3)

    first = world.client.poll(Position())
    world.publish(4)
    second = world.client.poll(first[-1].position)

    assert numbers(first) == [1, 2, 3]
    assert numbers(second) == [4]
    assert [batch.time for batch in first] == [1_700_000_001, 1_700_000_001, 1_700_000_002]


def test_a_poll_may_start_inside_a_segment(world):
    world.publish(1)
    world.publish(2, 3, 4)
    whole = world.client.poll(Position())

    for place, batch in enumerate(whole[:-1]):
        assert world.client.poll(batch.position) == whole[place + 1 :]


def test_pages_without_a_proof_are_joined():
    world = World(page_bytes=5120, min_age=0)
    for number in range(5):
        world.network.submit(APP, json.dumps([{"number": number, "pad": "x" * 3000}]))
    world.pass_time()

    assert numbers(world.client.poll(Position())) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("hosts", [["one:1"], HOSTS], ids=["one", "several"])
def test_a_long_segment_is_read_in_a_later_attempt(hosts):
    """Its batches need more time than one attempt has, at every gateway."""
    world = World(hosts=hosts, page_bytes=100)
    world.publish(*range(100, 160))
    for host in hosts:
        world.wire.mount(host, delayed(world, world.honest(), 4, part="after="))

    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="no proof follows"):
            world.client.poll(Position())

    assert len(world.client.poll(Position())) > 0


def test_an_endless_segment_is_abandoned(world, monkeypatch):
    monkeypatch.setattr("dragon_sequencer.ledger_reader.MAX_PENDING_PAGES", 1)
    world.publish(*range(9))
    page = world.network.page(APP, 0) | {"finalized_signatures": []}
    answer = json.dumps({"status": "success", "message": "", "data": page})
    for host in HOSTS:
        world.wire.mount(host, answering(lambda: Response(answer, 200)))

    with pytest.raises(LedgerUnavailable, match="no proof follows"):
        world.client.poll(Position())


WRONG = {
    "closed port": None,
    "an error of the node": refusing(503, "IsPausedError"),
    "an error of a proxy": refusing(502),
    "a redirect": answering(
        lambda: Response("", 307, {"Location": f"http://two:2{request.full_path}"})
    ),
    "no JSON": answering(lambda: Response("<html>", 200)),
    "deep JSON": answering(lambda: Response("[" * 900, 200)),
    "a long number": answering(lambda: Response("9" * 5000, 200)),
    "no object": answering(lambda: Response("[1]", 200)),
    "no data": answering(lambda: Response('{"status":"success"}', 200)),
    "data of another type": answering(lambda: Response('{"status":"success","data":7}', 200)),
    "an empty page": answering(lambda: Response('{"status":"success","data":{}}', 200)),
    "not UTF-8": answering(lambda: Response(b"\xff\xfe", 200)),
    "an error that is a list": answering(lambda: Response('{"error":[]}', 200)),
    "too much": answering(lambda: Response(b" " * (9 << 20), 200)),
}


@pytest.mark.parametrize("name", WRONG)
def test_after_an_invalid_answer_the_next_gateway_is_used(name, world):
    world.publish(1)
    gateway = WRONG[name]
    world.wire.mount("one:1", gateway) if gateway else world.wire.refuse("one:1")

    assert numbers(world.client.poll(Position())) == [1]
    assert numbers(world.client.poll(Position())) == [1]
    assert world.asked("one:1") == 1


@pytest.mark.parametrize("name", WRONG)
def test_invalid_answers_raise_only_ledger_unavailable(name, world):
    gateway = WRONG[name]
    for host in HOSTS:
        world.wire.mount(host, gateway) if gateway else world.wire.refuse(host)

    with pytest.raises(LedgerUnavailable):
        world.client.poll(Position(3, "0" * 32))
    with pytest.raises(LedgerUnavailable):
        world.client.finalized_last()


@pytest.mark.parametrize("how", ["body", "signature", "timestamp", "nonsigners"])
def test_a_page_damaged_by_one_gateway_is_read_from_another(how, world):
    liar = world.another_network()
    for network in (world.network, liar):
        world.publish(1, network=network)
    liar.set_faults(tamper=how)
    world.wire.mount("one:1", world.honest(liar))

    assert numbers(world.client.poll(Position())) == [1]
    assert world.asked("one:1") == 1


@pytest.mark.parametrize("how", ["body", "signature", "timestamp", "nonsigners"])
def test_pages_damaged_by_all_gateways_are_no_contradiction(how, world):
    world.publish(1)
    position = world.client.poll(Position())[-1].position
    world.publish(2)
    world.network.set_faults(tamper=how)

    with pytest.raises(LedgerUnavailable):
        world.client.poll(position)


def test_proofs_by_too_few_nodes_make_the_ledger_unavailable_while_they_last(world):
    world.network.set_faults(silent=[0, 1], without_quorum=True)
    world.publish(1)

    with pytest.raises(LedgerUnavailable) as failed:
        world.client.poll(Position())

    assert failed.value.facts == {"missing_percent": 50, "allowed_percent": 33}


def test_a_slow_answer_is_abandoned_at_the_deadline(world):
    def slow() -> Response:
        world.now += 60
        return Response('{"status":"success","data":null}', 200)

    world.publish(1)
    world.wire.mount("one:1", answering(slow))

    assert numbers(world.client.poll(Position())) == [1]
    assert world.asked("two:2") == 1


# Gateways that stop


def test_a_gateway_that_stops_is_replaced(world):
    world.wire.mount("one:1", world.honest(world.another_network()))
    zellular = world.client
    assert zellular.poll(Position()) == []
    world.publish(1)

    first = zellular.poll(Position())
    world.pass_time(TIMEOUTS.compare_seconds)
    second, third = zellular.poll(Position()), zellular.poll(Position())

    assert (first, second) == ([], [])
    assert numbers(third) == [1]


def test_comparisons_with_other_gateways_are_limited(world):
    for _ in range(10):
        world.client.poll(Position())
        world.pass_time(0.4)
    states = [url for _, url in world.wire.calls if url.endswith("/finalized/last")]

    assert len(states) == len(HOSTS)


def serving_only_its_newest(world: World, **changes: Any) -> Any:
    """A gateway that shows its newest batch, but no pages."""

    def answer() -> Response:
        last = {**(world.network.last(APP) or {}), **changes}
        data = last if request.path.endswith("/last") else None
        return Response(json.dumps({"status": "success", "data": data}), 200)

    return answering(answer)


def test_a_gateway_that_shows_a_newer_batch_but_serves_nothing_is_left(world):
    world.publish(1)
    position = world.client.poll(Position())[-1].position
    world.wire.mount("one:1", serving_only_its_newest(world))
    world.publish(2)

    proven = [numbers(world.client.poll(position)) for _ in range(3)]

    assert proven == [[], [], [2]]


def test_a_gateway_with_a_forged_newest_batch_does_not_attract_readers(world):
    world.publish(1)
    position = world.client.poll(Position())[-1].position
    world.wire.mount("two:2", serving_only_its_newest(world, index=10**9))
    before = world.asked("two:2")

    for _ in range(5):
        assert world.client.poll(position) == []
        world.pass_time(TIMEOUTS.compare_seconds)

    assert world.asked("two:2") - before == 5  # comparisons only


def test_a_gateway_is_not_left_for_a_batch_that_came_after_its_page(world):
    """A busy ledger goes on between a page and a comparison. That says nothing against anybody."""
    world.publish(1)
    position = world.client.poll(Position())[-1].position
    honest = world.honest()

    def late(environ: dict[str, Any], start_response: Any) -> Any:
        answered = honest(environ, start_response)
        if "QUERY_STRING" in environ and environ["QUERY_STRING"] == "after=1":
            world.publish(2)
        return answered

    world.wire.mount("one:1", late)

    assert world.client.poll(position) == []
    before = world.asked("two:2")
    assert numbers(world.client.poll(position))[0] == 2
    assert world.asked("two:2") == before


class Drawing:
    """A source of random bytes that records how many are drawn."""

    def __init__(self) -> None:
        self.drawn: list[int] = []

    def __call__(self, size: int) -> bytes:
        self.drawn.append(size)
        return random.Random(7).randbytes(size)


@pytest.fixture
def pairings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of pairs in each product of pairings that is computed."""
    done: list[int] = []

    def counting(pairs: list[Any]) -> bool:
        done.append(len(pairs))
        return is_one(pairs)

    is_one = pairing.is_one
    monkeypatch.setattr(pairing, "is_one", counting)
    monkeypatch.setattr(
        pairing,
        "is_signed",
        lambda point, signature, lines: counting(
            [(point, lines), (bn254.negate_g1(signature), pairing.GENERATOR_LINES)]
        ),
    )
    return done


def grown(world: World, *, to: int) -> Network:
    """A network with the same history, up to batch `to`."""
    network = world.another_network()
    for number in range(1, to + 1):
        world.publish(number, network=network)
    return network


def forgetting(world: World, **options: Any) -> SequencerClient:
    """A client that remembers nothing of other tests."""
    world.nodes = NodeList(list(world.nodes.nodes.values()))
    return world.make_client(**options)


def test_a_proof_that_several_gateways_show_is_verified_once(world, pairings):
    longer = world.honest(grown(world, to=2))
    world.wire.mount("one:1", world.honest(grown(world, to=1)))
    for host in HOSTS[1:]:
        world.wire.mount(host, longer)
    client = forgetting(world)
    position = client.poll(Position())[-1].position
    assert len(pairings) == 1

    assert client.poll(position) == []  # gateway one is behind, as the comparison shows
    assert numbers(client.poll(position)) == [2]
    assert client.last_finalized_index() == 2

    assert len(pairings) == 2


def test_of_several_newer_proofs_the_forged_one_attracts_nobody(world, pairings):
    world.wire.mount("one:1", world.honest(grown(world, to=1)))
    world.wire.mount("three:3", world.honest(grown(world, to=2)))
    world.wire.mount("four:4", world.honest(grown(world, to=3)))
    world.publish(7)
    world.wire.mount("two:2", serving_only_its_newest(world, index=10**9))
    client = forgetting(world, entropy=(entropy := Drawing()))
    position = client.poll(Position())[-1].position
    del pairings[:]

    assert client.poll(position) == []
    assert entropy.drawn == [3 * FACTOR_BYTES]
    assert pairings == [2, 2, 2, 2]  # all together, and then each to find the forged one
    asked = world.asked("two:2")
    assert numbers(client.poll(position)) == [2]
    assert world.asked("two:2") == asked


def test_several_newer_proofs_are_verified_together(world, pairings):
    for host, to in zip(HOSTS, (1, 2, 3, 4), strict=True):
        world.wire.mount(host, world.honest(grown(world, to=to)))
    client = forgetting(world, entropy=(entropy := Drawing()))
    position = client.poll(Position())[-1].position
    del pairings[:]

    assert client.poll(position) == []
    assert entropy.drawn == [3 * FACTOR_BYTES]
    assert pairings == [2]


# Gateways that are slow


def delayed(world: World, app: Any, seconds: float, *, part: str) -> Any:
    """A gateway whose answers to requests with this part in their URL take some seconds."""

    def view(environ: dict[str, Any], start_response: Any) -> Any:
        if part in f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}":
            world.now += seconds
        return app(environ, start_response)

    return view


@pytest.mark.parametrize("seconds", [4.9, 70], ids=["in time", "too late"])
def test_a_gateway_that_delays_its_comparison_does_not_hold_the_reader(world, seconds):
    """It says that it is behind, so its history is compared, and it takes its time for that."""
    behind = world.another_network()
    for network in (world.network, behind):
        world.publish(1, network=network)
        world.publish(2, network=network)
    world.publish(3)
    known = Known()
    position = known.read(world.client)
    del known[2]
    world.wire.mount("three:3", delayed(world, world.honest(behind), seconds, part="after="))
    begun, polls = world.now, 0

    while world.now - begun < 1000:
        assert world.client.poll(position, known) == []
        world.now, polls = world.now + 5, polls + 1

    assert polls > 1000 / 5 * 0.8


def test_a_gateway_that_serves_batch_by_batch_and_late_is_left(world):
    """Each answer is progress and in time, but the ledger grows faster than that."""
    first = world.another_network()
    for number in range(1, 9):
        world.publish(number)
    world.publish(1, network=first)
    world.wire.mount("one:1", delayed(world, world.honest(first), 4, part="after="))

    position = world.client.poll(Position())[-1].position

    assert position.index == 1
    assert numbers(world.client.poll(position)) == list(range(2, 9))


class Trickle:
    """A body that arrives in pieces of 64 KiB, one in 62 ms of the world's clock."""

    def __init__(self, world: World, pieces: int) -> None:
        self.world, self.left = world, pieces

    def read1(self, *_: object, **__: object) -> bytes:
        if not self.left:
            return b""
        self.world.now += 0.062
        self.left -= 1
        return b" " * (64 << 10)


def test_blanks_do_not_prolong_a_short_answer(world, monkeypatch):
    """Only a page may take longer than its deadline, because it may be long."""
    gateway = world.client._gateways.current
    begun = world.now
    trickle = Trickle(world, 10_000)
    session = MagicMock()
    session.request.return_value.__enter__.return_value = Mock(status_code=200, raw=trickle)
    monkeypatch.setattr(gateway, "_session", session)

    with pytest.raises(errors.GatewayError):
        gateway.newest(APP, seconds=1)

    assert world.now - begun < 3


# Contradictions


def rewritten(world: World, *, length: int) -> Network:
    """The network after it lost everything and continued with other batches."""
    other = world.another_network()
    for number in range(length):
        world.publish(100 + number, network=other)
    return other


@pytest.mark.parametrize("length", [1, 2, 3, 5])
@pytest.mark.parametrize("hosts", [["one:1"], HOSTS], ids=["one", "several"])
def test_a_reset_network_is_noticed_whatever_its_new_length(hosts, length):
    """At once if it is longer, otherwise at the next comparison of the gateways."""
    world = World(hosts=hosts)
    world.publish(1)
    world.publish(2, 3)
    zellular, known = world.client, Known()
    position = known.read(zellular)
    assert zellular.poll(position, known) == []
    world.network.reset()
    for number in range(length):
        world.publish(100 + number)

    world.pass_time(TIMEOUTS.compare_seconds)
    with pytest.raises(LedgerContradiction, match="signed another history") as refused:
        zellular.poll(position, known)

    assert refused.value.facts["index"] <= min(position.index, length) or length == 5


class Known(dict[int, Position]):
    """The positions that a reader has kept."""

    def read(self, zellular: SequencerClient) -> Position:
        batches = zellular.poll(Position())
        self.update((batch.index, batch.position) for batch in batches)
        return batches[-1].position

    def __call__(self, index: int) -> Position | None:
        return max((at for at in self.values() if at.index <= index), key=index_of, default=None)


def index_of(position: Position) -> int:
    return position.index


def test_a_shorter_history_is_compared_at_an_earlier_kept_position(world):
    """The new history ends at 3, and the reader has kept 2 and 5."""
    world.publish(1, 2, 3, 4, 5)
    known = Known()
    position = known.read(world.client)
    for index in (1, 3, 4):
        del known[index]
    world.network.reset()
    world.publish(101, 102, 103)

    with pytest.raises(LedgerContradiction) as refused:
        world.client.poll(position, known)

    assert refused.value.facts["index"] == 2


def test_one_gateway_that_proves_another_history_is_enough(world):
    world.publish(1, 2)
    known = Known()
    position = known.read(world.client)
    world.wire.mount("three:3", world.honest(rewritten(world, length=1)))

    with pytest.raises(LedgerContradiction):
        world.client.poll(position, known)


def test_a_gateway_that_is_merely_behind_is_no_contradiction(world):
    behind = world.another_network()
    for network in (world.network, behind):
        world.publish(1, network=network)
    world.publish(2, 3)
    known = Known()
    position = known.read(world.client)
    for host in HOSTS:
        world.wire.mount(host, world.honest(behind))

    for _ in range(3):
        assert world.client.poll(position, known) == []
        world.pass_time(TIMEOUTS.compare_seconds)
    with pytest.raises(LedgerRewound):
        world.client.poll(position, known)


@pytest.mark.parametrize("member", ["finalized_signature", "chaining_hash", "timestamp"])
def test_a_newest_batch_that_nobody_signed_is_no_contradiction(member, world):
    world.publish(1, 2)
    known = Known()
    position = known.read(world.client)
    last = world.network.last(APP)
    assert last is not None
    forged = (
        last | {"chaining_hash": "0" * 32} | {member: "1 1 2" if "sig" in member else last[member]}
    )
    honest = world.honest()

    def liar(environ: dict[str, Any], start_response: Any) -> Any:
        body = json.dumps({"status": "success", "message": "", "data": forged})
        is_last = environ["PATH_INFO"].endswith("/last")
        return (Response(body, 200) if is_last else honest)(environ, start_response)

    for host in HOSTS:
        world.wire.mount(host, liar)

    assert world.client.poll(position, known) == []


@pytest.mark.parametrize("length", [1, 2])
def test_genuine_proofs_of_another_app_are_no_contradiction(length, world):
    """The same nodes signed another history, but of another app."""
    world.publish(1, 2)
    known = Known()
    position = known.read(world.client)
    other = world.another_network("other")
    for number in range(length):
        other.submit("other", json.dumps([{"number": 100 + number}]))
        world.now += 1
        other.finalize_due()
    honest = create_app(other, hold=0)

    def liar(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"].replace(f"/{APP}/", "/other/")
        answered = b"".join(honest({**environ, "PATH_INFO": path}, lambda *_: None))
        app = Response(answered.replace(b'"other"', f'"{APP}"'.encode()), 200)
        return app(environ, start_response)

    for host in HOSTS:
        world.wire.mount(host, liar)

    assert world.client.poll(position, known) == []


@pytest.mark.parametrize("length", [3, 5])
def test_another_longer_history_at_one_gateway_is_a_contradiction(length, world):
    world.publish(1, 2)
    position = world.client.poll(Position())[-1].position
    world.wire.mount("one:1", world.honest(rewritten(world, length=length)))
    world.publish(3)

    with pytest.raises(LedgerContradiction) as refused:
        world.client.poll(position)

    assert refused.value.facts["index"] == 2


def test_invalid_pages_after_a_confirmed_batch_are_no_contradiction(world):
    """Every gateway invents the batches after batch 2, but serves the real batch 2."""
    world.publish(1, 2)
    position = world.client.poll(Position())[-1].position
    honest = world.honest()
    invented = {"batches": ["x"], "first_chaining_hash": "0" * 32, "finalized_signatures": []}
    answer = json.dumps({"status": "success", "message": "", "data": invented})

    def liar(environ: dict[str, Any], start_response: Any) -> Any:
        app = Response(answer, 200) if environ["QUERY_STRING"] == "after=2" else honest
        return app(environ, start_response)

    for host in HOSTS:
        world.wire.mount(host, liar)

    with pytest.raises(LedgerUnavailable):
        world.client.poll(position)


def test_the_same_batches_in_other_segments_are_the_same_history(world):
    world.publish(1)
    world.publish(2)
    position = world.client.poll(Position())[0].position
    recut = world.another_network()
    world.publish(1, 2, network=recut)
    for host in HOSTS:
        world.wire.mount(host, world.honest(recut))

    assert numbers(world.client.poll(position)) == [2]


def test_a_ledger_that_is_behind_the_reader_for_a_while_is_rewound(world):
    world.publish(1, 2)
    position = world.client.poll(Position())[-1].position
    world.network.reset()
    world.publish(101)

    for _ in range(3):
        assert world.client.poll(position) == []
        world.pass_time(TIMEOUTS.compare_seconds)

    with pytest.raises(LedgerRewound, match="further than 1"):
        world.client.poll(position)


def test_one_gateway_that_is_not_behind_clears_the_suspicion(world):
    world.publish(1, 2)
    position = world.client.poll(Position())[-1].position
    empty = world.another_network()
    for host in HOSTS[:3]:
        world.wire.mount(host, world.honest(empty))

    for _ in range(10):
        assert world.client.poll(position) == []
        world.pass_time(TIMEOUTS.compare_seconds)


def test_a_new_suspicion_starts_from_zero(world):
    world.publish(1, 2)
    position = world.client.poll(Position())[-1].position
    empty = world.honest(world.another_network())
    for step in range(12):
        for host in HOSTS:
            world.wire.mount(host, world.honest() if step % 3 == 2 else empty)
        assert world.client.poll(position) == []
        world.pass_time(TIMEOUTS.compare_seconds)


# Endless reading and the newest batch


def test_reading_waits_during_an_outage(world):
    world.publish(1)
    reading = world.client.segments()
    assert next(reading).index == 1
    for host in HOSTS:
        world.wire.refuse(host)
    original = world.sleep

    def sleep(seconds: float) -> None:
        original(seconds)
        if world.slept >= 5 and len(world.network.page(APP, 0)["batches"]) == 1:
            for host in HOSTS:
                world.wire.accept(host)
            world.publish(2)

    reading = world.make_client(sleep=sleep).segments(after=1)

    assert next(reading).index == 2
    assert world.slept >= 5


def test_reading_continues_at_a_position(world):
    world.publish(1, 2, 3)
    first = next(world.client.segments())

    assert [batch.index for batch in islice(world.client.segments(first.position), 2)] == [2, 3]


def test_the_newest_batch_is_read_with_its_proof(world):
    assert world.client.finalized_last() is None
    assert world.client.last_finalized_index() == 0
    world.publish(1, 2)

    proof = world.client.finalized_last()

    assert proof is not None
    assert (proof.index, proof.timestamp) == (2, 1_700_000_001)
    assert world.client.last_finalized_index() == 2


def test_a_newest_batch_without_a_valid_proof_is_refused(world):
    world.network.set_faults(silent=[0, 1], without_quorum=True)
    world.publish(1)

    with pytest.raises(LedgerUnavailable):
        world.client.finalized_last()

    honest = world.another_network()
    world.publish(7, 8, network=honest)
    world.wire.mount("three:3", world.honest(honest))
    assert world.client.last_finalized_index() == 2


def test_only_a_newest_batch_that_was_not_read_needs_a_proof(
    world, monkeypatch: pytest.MonkeyPatch
):
    verified = []
    genuine = Proof.verify

    def verify(proof, **options):
        verified.append(proof.index)
        genuine(proof, **options)

    monkeypatch.setattr(Proof, "verify", verify)
    world.publish(1, 2)

    assert world.client.last_finalized_index(2) == 2
    assert world.client.last_finalized_index(3) == 2
    assert verified == []
    assert world.client.last_finalized_index(1) == 2
    assert verified == [2]


def test_a_newest_batch_that_was_not_read_and_has_no_valid_proof_is_refused(world):
    world.network.set_faults(silent=[0, 1], without_quorum=True)
    world.publish(1, 2)

    with pytest.raises(LedgerUnavailable):
        world.client.last_finalized_index(1)


# Construction


def test_clients_start_with_different_gateways(world):
    for seed in range(20):
        world.make_client(rng=random.Random(seed)).poll(Position())
    begun = {url.split("/")[2] for _, url in world.wire.calls if "batches" in url}

    assert begun == set(HOSTS)


def test_gateways_can_be_configured_and_duplicates_are_removed(world):
    zellular = world.make_client(gateways=["http://two:2/", "http://two:2"])

    zellular.poll(Position())
    zellular.send([{"number": 1}])

    assert {url.split("/")[2] for _, url in world.wire.calls} == {"two:2"}
    assert len([url for _, url in world.wire.calls if url.endswith("/finalized/last")]) == 1


def test_a_client_can_be_made_from_a_node_file(world, tmp_path):
    path = tmp_path / "nodes.json"
    path.write_text(json.dumps(main.nodes_document(SECRETS, "http://one:1")))
    world.publish(1)

    zellular = SequencerClient.connect(APP, path, session=world.wire.session())

    assert numbers(zellular.poll(Position())) == [1]
    zellular.close()


def test_a_client_can_require_a_higher_threshold(world, tmp_path):
    path = tmp_path / "nodes.json"
    path.write_text(json.dumps(main.nodes_document(SECRETS, "http://one:1")))
    world.network.set_faults(silent=[3])
    world.publish(1)
    session = world.wire.session()

    lenient = SequencerClient.connect(APP, path, session=session)
    strict = SequencerClient.connect(APP, path, threshold_percent=76, session=session)

    assert numbers(lenient.poll(Position())) == [1]
    with pytest.raises(LedgerUnavailable):
        strict.poll(Position())
