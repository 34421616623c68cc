"""The development sequencer: its rules with a manual clock, its interface over WSGI."""

from __future__ import annotations

import functools
import json
import secrets
import threading
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from documented_metrics import check_documented
from dragon.errors import SettingsError
from dragon_sequencer import bn254, errors, tower
from dragon_sequencer.chain import Cursor, read
from dragon_sequencer.devnet import main
from dragon_sequencer.devnet.app import create_app
from dragon_sequencer.devnet.faults import BOMBS, LeaderChange
from dragon_sequencer.devnet.network import Network, Refusal, Rules, Signer
from dragon_sequencer.devnet.storage import Storage
from dragon_sequencer.finality import decode_proof
from dragon_sequencer.json_stream import JsonStream
from dragon_sequencer.nodes import NodeList
from dragon_sequencer.page import Page, decode_page

VECTORS = Path(__file__).parents[2] / "vectors" / "zellular"
APP = "avs-downtime-monitor"
EXPECTED = json.loads((VECTORS / "dev_sequencer.json").read_text())["networks"]
HTTP = {case["name"]: case for case in json.loads((VECTORS / "http.json").read_text())}
SECRETS = [1_000_003, 1_000_004, 1_000_005, 1_000_006]


class Clock:
    """Both clocks of a network, set by the test."""

    def __init__(self, now: float = 1_700_000_000) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def signers_of(document: dict[str, Any], secret_keys: list[int]) -> list[Signer]:
    nodes = NodeList.decode(json.dumps(document)).nodes.values()
    return [Signer(node, key) for node, key in zip(nodes, secret_keys, strict=True)]


@functools.cache
def usual_signers(keys: tuple[int, ...]) -> list[Signer]:
    return signers_of(main.nodes_document(keys, "http://sequencer:6001"), list(keys))


def make_network(
    *, app: str = APP, keys: list[int] = SECRETS, storage: Storage | None = None, **rules: Any
) -> tuple[Network, Clock]:
    clock, signers = Clock(), usual_signers(tuple(keys))
    network = Network(
        [app], signers, storage or Storage(), monotonic=clock, wall=clock, rules=Rules(**rules)
    )
    return network, clock


def finalized(network: Network, clock: Clock, *bodies: str) -> None:
    for body in bodies:
        network.submit(APP, body)
    clock.now += 1
    network.finalize_due()


def page_of(value: object) -> Page:
    """Decode a page as if a gateway had sent it."""
    page, _ = decode_page(JsonStream.of(json.dumps(value).encode()), after=0, max_bytes=1 << 30)
    assert page is not None
    return page


@pytest.fixture
def network_and_clock():
    return make_network()


# Published expectations


@pytest.mark.parametrize("case", EXPECTED, ids=lambda case: case["name"])
def test_the_published_answers_are_reproduced_exactly(case):
    clock, app = Clock(), case["app_name"]
    signers = signers_of(case["nodes"], list(map(int, case["secrets"])))
    network = Network([app], signers, Storage(), monotonic=clock, wall=clock)
    network.set_faults(silent=sorted(set(range(len(signers))) - set(case["signing_positions"])))
    for segment in case["segments"]:
        clock.now = segment["timestamp"]
        for batch in segment["batches"]:
            network.submit(app, batch)
        network.finalize_due(clock.now + 1)
    client = create_app(network, hold=0).test_client()

    pages = {
        after: client.get(f"/node/{app}/batches/finalized?after={after}").json
        for after in case["expected"]["pages"]
    }

    assert pages == case["expected"]["pages"]
    assert client.get(f"/node/{app}/batches/finalized/last").json == case["expected"]["last"]
    assert client.get("/node/state").json == case["expected"]["state"]


# Finality


def test_a_batch_is_not_final_before_its_minimum_age(network_and_clock):
    network, clock = network_and_clock
    network.submit(APP, "early")
    clock.now += 0.2
    network.submit(APP, "late")

    assert network.finalize_due() == 0
    clock.now += 0.06
    assert network.finalize_due() == 1
    assert network.page(APP, 0)["batches"] == ["early"]
    clock.now += 0.2
    assert network.finalize_due() == 1
    assert network.page(APP, 1)["batches"] == ["late"]


def test_a_new_minimum_age_applies_to_later_batches(network_and_clock):
    network, clock = network_and_clock
    network.submit(APP, "first")
    network.set_min_age(10)
    network.submit(APP, "second")

    clock.now += 5

    assert network.finalize_due() == 1
    assert network.rules.min_age == 10


def test_all_served_batches_are_proven(network_and_clock):
    network, clock = network_and_clock
    network.set_faults(silent=[2])
    finalized(network, clock, "a", "b")
    finalized(network, clock, "c")
    nodes = NodeList.decode(json.dumps(main.nodes_document(SECRETS, "http://x")))

    page = page_of(network.page(APP, 0))
    proven, _ = read(Cursor(), page, app=APP, nodes=nodes)

    assert [(batch.index, batch.body) for batch in proven] == [(1, "a"), (2, "b"), (3, "c")]
    assert page.proof is not None
    assert len(page.proof.nonsigners) == 1


def test_times_of_proofs_never_decrease(network_and_clock):
    network, clock = network_and_clock
    finalized(network, clock, "a")
    time = network.last(APP)["timestamp"]
    network.submit(APP, "b")

    clock.now -= 1000
    network.finalize_due(clock.now + 5000)

    assert network.last(APP)["index"] == 2
    assert network.last(APP)["timestamp"] == time


def test_a_finalized_batch_survives_a_restart(tmp_path):
    path = tmp_path / "sequencer.db"
    before, clock = make_network(storage=Storage(path))
    finalized(before, clock, "kept", "too")
    page = before.page(APP, 0)
    before.submit(APP, "only accepted")

    after, clock = make_network(storage=Storage(path))
    clock.now += 10
    after.finalize_due()

    assert after.page(APP, 0) == page
    finalized(after, clock, "next")
    assert after.last(APP)["parent_index"] == 2


def test_apps_are_independent():
    clock = Clock()
    signers = signers_of(main.nodes_document(SECRETS[:1], "http://x"), SECRETS[:1])
    network = Network(["one", "two"], signers, Storage(), monotonic=clock, wall=clock)
    network.submit("one", "a")
    clock.now += 1
    network.finalize_due()

    assert network.page("one", 0)["batches"] == ["a"]
    assert network.page("two", 0) is None


# Pages


def test_a_page_ends_at_its_size_limit_even_within_a_segment():
    network, clock = make_network(page_bytes=5120)
    finalized(network, clock, "x" * 3000, "ü" * 1000, "y" * 121)

    first, second = network.page(APP, 0), network.page(APP, 2)

    assert [len(body) for body in first["batches"]] == [3000, 1000]
    assert first["finalized_signatures"] == []
    assert [proof["index"] for proof in second["finalized_signatures"]] == [3]


def test_the_queue_is_limited():
    network, clock = make_network(max_queued_bytes=10, max_queued=3)
    for body in ("12345", "1234", ""):
        network.submit(APP, body)

    with pytest.raises(Refusal, match="volume") as refused:
        network.submit(APP, "")
    assert refused.value.code == "BatchesLimitExceededError"

    clock.now += 1
    network.finalize_due()
    network.submit(APP, "1234567890")


# Faults


def test_dropped_batches_are_accepted_and_lost(network_and_clock):
    network, clock = network_and_clock
    network.set_faults(drop=1)

    finalized(network, clock, "dropped", "kept")

    assert network.page(APP, 0)["batches"] == ["kept"]
    assert network.faults.drop == 0


def test_repeated_batches_are_final_twice(network_and_clock):
    network, clock = network_and_clock
    network.set_faults(repeat=-1)

    finalized(network, clock, "a", "b")

    assert network.page(APP, 0)["batches"] == ["a", "a", "b", "b"]
    assert network.faults.repeat == -1


def test_reordered_batches_are_in_reverse_order(network_and_clock):
    network, clock = network_and_clock
    network.set_faults(reorder=True)

    finalized(network, clock, "a", "b", "c")

    assert network.page(APP, 0)["batches"] == ["c", "b", "a"]


def test_a_stalled_network_accepts_batches_and_finalizes_them_later(network_and_clock):
    network, clock = network_and_clock
    network.set_faults(stalled=True)

    finalized(network, clock, "a")
    assert network.page(APP, 0) is None
    network.set_faults(stalled=False)
    network.finalize_due()

    assert network.page(APP, 0)["batches"] == ["a"]


def test_after_a_reset_indices_start_again(network_and_clock):
    network, clock = network_and_clock
    finalized(network, clock, "a", "b")

    network.reset()
    finalized(network, clock, "other")

    assert network.last(APP)["index"] == 1
    assert network.page(APP, 0)["batches"] == ["other"]


REFUSALS = {
    "body": errors.ChainMismatch,
    "signature": errors.BadFinalitySignature,
    "timestamp": errors.BadFinalitySignature,
    "nonsigners": errors.UnknownNonsigner,
}


@pytest.mark.parametrize("how", REFUSALS)
def test_a_tampered_page_is_refused_by_a_reader(how, network_and_clock):
    network, clock = network_and_clock
    nodes = NodeList.decode(json.dumps(main.nodes_document(SECRETS, "http://x")))
    finalized(network, clock, "a", "b")
    honest = network.page(APP, 0)

    network.set_faults(tamper=how)

    with pytest.raises(REFUSALS[how]):
        read(Cursor(), page_of(network.page(APP, 0)), app=APP, nodes=nodes)
    network.set_faults(tamper="")
    assert network.page(APP, 0) == honest


def test_a_proof_by_too_few_nodes_is_genuine_but_refused(network_and_clock):
    network, clock = network_and_clock
    nodes = NodeList.decode(json.dumps(main.nodes_document(SECRETS, "http://x")))
    network.set_faults(silent=[0, 3], without_quorum=True)
    finalized(network, clock, "a")
    page = page_of(network.page(APP, 0))

    with pytest.raises(errors.StakeMissing):
        read(Cursor(), page, app=APP, nodes=nodes)

    lenient = NodeList(list(nodes.nodes.values()), threshold_percent=50)
    assert read(Cursor(), page, app=APP, nodes=lenient)[0]


@pytest.mark.parametrize("silent", [[0, 1], [0, 1, 2, 3]])
def test_without_a_quorum_batches_are_accepted_and_not_finalized(silent, network_and_clock):
    network, clock = network_and_clock
    network.set_faults(silent=silent)

    finalized(network, clock, "a")
    assert network.page(APP, 0) is None
    network.set_faults(silent=[3])
    network.finalize_due()

    assert network.page(APP, 0)["batches"] == ["a"]


NODES = NodeList.decode(json.dumps(main.nodes_document(SECRETS, "http://x")))


def shown(network: Network, gateway: int = 0) -> list[tuple[int, int, int]]:
    """Index, parent and time of each proof on the first page, which must be valid."""
    page = network.page(APP, 0, gateway)
    assert page is not None
    proofs = page["finalized_signatures"]
    for proof in proofs:
        decode_proof(proof).verify(app=APP, chaining_hash=proof["chaining_hash"], nodes=NODES)
    assert read(Cursor(), page_of(page), app=APP, nodes=NODES)[0]
    start = 1_700_000_000
    return [(proof["index"], proof["parent_index"], proof["timestamp"] - start) for proof in proofs]


def changed_leader() -> Network:
    """A network whose batches 3 to 5 were finalized again, ten seconds later."""
    network, clock = make_network()
    finalized(network, clock, "a", "b")
    finalized(network, clock, "c", "d", "e")
    network.change_leader(LeaderChange(batches=3, segment=2, seconds=10))
    return network


SHOWN = {
    "first": [(2, 0, 1), (5, 2, 2)],
    "newest": [(2, 0, 1), (4, 2, 12), (5, 4, 12)],
    "all": [(2, 0, 1), (4, 2, 12), (5, 2, 2), (5, 4, 12)],
}


@pytest.mark.parametrize("which", SHOWN)
def test_after_a_leader_change_one_of_several_genuine_proofs_is_shown(which):
    network = changed_leader()

    network.set_faults(shown=which)

    assert shown(network) == SHOWN[which]
    newest = network.last(APP)
    assert newest is not None
    assert newest["timestamp"] - 1_700_000_000 == SHOWN[which][-1][2]


def test_proofs_can_alternate_from_request_to_request():
    network = changed_leader()

    network.set_faults(shown="alternate")

    assert [shown(network) for _ in range(4)] == [SHOWN["first"], SHOWN["newest"]] * 2


def test_proofs_may_differ_between_gateways():
    network = changed_leader()

    network.set_faults(shown="newest", gateways=[2])

    assert shown(network, 1) == SHOWN["first"]
    assert shown(network, 2) == SHOWN["newest"]


def test_a_leader_change_may_go_back_in_time_and_cut_through_segments():
    network, clock = make_network()
    finalized(network, clock, "a", "b", "c")
    network.set_faults(shown="newest")

    network.change_leader(LeaderChange(batches=2, segment=9, seconds=-5))
    finalized(network, clock, "d")

    assert shown(network) == [(3, 1, -4), (4, 3, 2)]


def test_without_a_quorum_no_leader_finalizes_again():
    network = changed_leader()
    network.set_faults(silent=[0, 1], shown="newest")

    network.change_leader(LeaderChange(batches=1, seconds=20))

    assert shown(network) == SHOWN["newest"]


def test_a_reset_forgets_the_proofs_of_all_leaders():
    network = changed_leader()
    network.reset()
    network.set_faults(shown="all")
    network.submit(APP, "x")

    network.finalize_due(1_800_000_000)

    assert [index for index, _, _ in shown(network)] == [1]


@pytest.mark.parametrize("kind", list(filter(None, BOMBS)))
def test_an_expensive_page_is_refused_by_name(kind, network_and_clock):
    network, _ = network_and_clock
    network.set_faults(bomb=kind, bomb_bytes=300_000)
    answer = create_app(network, hold=0).test_client().get(f"/node/{APP}/batches/finalized")
    data = answer.data[answer.data.index(b'"data":') + 7 : -1]

    with pytest.raises((errors.PageError, errors.FinalityError)):
        read(
            Cursor(),
            decode_page(JsonStream.of(data), after=0, max_bytes=1 << 30)[0] or page_of(None),
            app=APP,
            nodes=NODES,
        )
    assert len(answer.data) >= 300_000


@pytest.mark.parametrize(
    "change",
    [
        [],
        {"batches": 0},
        {"segment": 0},
        {"batches": True},
        {"seconds": 1.5},
        {"other": 1},
    ],
)
def test_an_invalid_leader_change_is_refused(change):
    with pytest.raises(SettingsError):
        LeaderChange.decode(change)


@pytest.mark.parametrize(
    "changes",
    [
        {"nonsense": True},
        {"paused": 1},
        {"drop": -2},
        {"drop": True},
        {"repeat": "1"},
        {"tamper": "all"},
        {"tamper": []},
        {"silent": "0"},
        {"silent": [True]},
        {"silent": [-1]},
        {"silent": [0, 1, 2, 3], "without_quorum": True},
        {"without_quorum": 1},
        {"gateways": 1},
        {"shown": "other"},
        {"bomb": "x"},
        {"bomb_bytes": 0},
        {"bomb_bytes": (256 << 20) + 1},
    ],
)
def test_an_invalid_fault_is_refused_and_changes_nothing(changes, network_and_clock):
    network, _ = network_and_clock
    before = network.faults

    with pytest.raises(SettingsError):
        network.set_faults(**changes)

    assert network.faults == before


# The interface


@pytest.fixture
def client(network_and_clock):
    return create_app(network_and_clock[0], hold=0).test_client()


def ask(app: Flask, request: dict[str, Any]) -> TestResponse:
    rule, text = request.get("body_rule"), request.get("body_utf8")
    body = bytes.fromhex(request.get("body_hex", ""))
    if rule:
        size, _, letter = rule.removesuffix("'").partition(" bytes, all '")
        body = (letter * int(size)).encode()
    elif text is not None:
        body = text.encode()
    return app.test_client().open(
        request["path"], method=request["method"], headers=request["headers"], data=body
    )


# Exchanges that need peers, a leader or a role, which the development sequencer lacks.
OTHERS = {
    "rate limit at the leader",
    "submit to a node without the posting role",
    "state of a follower",
    "state of the leader",
    "page while switching",
    "after omitted",
}
UNSYNCED = {name for name in HTTP if "still catching up" in name}
PAUSED = {name for name in HTTP if name.endswith("while switching")} | {
    "submit while the node switches leader"
}


@pytest.mark.parametrize("name", sorted(set(HTTP) - OTHERS))
def test_every_published_exchange_has_the_same_answer(name, network_and_clock):
    network, _ = network_and_clock
    network.set_faults(unsynced=name in UNSYNCED, paused=name in PAUSED)
    expected = HTTP[name]["response"]

    answer = ask(create_app(network, hold=0), HTTP[name]["request"])

    assert answer.status_code == expected["status"]
    assert answer.headers.get("Location") == expected.get("location")
    if expected["content_type"] is not None:
        assert answer.content_type == expected["content_type"]
    if "text" in expected:
        assert answer.text == expected["text"]
    elif expected.get("json") is not None:
        assert answer.json == expected["json"]


AWKWARD = ["\x00\x01", "  padded \r\n", '"quoted"', "ünï ✓ 😀", "{}", "\u2028", "x" * 5120]


@pytest.mark.parametrize("body", AWKWARD)
def test_batches_pass_through_byte_for_byte(body, client, network_and_clock):
    network, clock = network_and_clock
    assert (
        client.put(f"/node/{APP}/batches", data=body.encode(), content_type="text/plain").json[
            "data"
        ]
        == {}
    )
    assert client.put(f"/node/{APP}/batches", json=body).status_code == 200

    clock.now += 1
    network.finalize_due()

    page = client.get(f"/node/{APP}/batches/finalized").json["data"]
    assert page["batches"] == [body, body]


def test_a_huge_submission_is_refused_as_a_batch_that_is_too_large(client):
    answer = client.put(f"/node/{APP}/batches", data=b"a" * 100_000, content_type="text/plain")

    assert answer.status_code == 429
    assert answer.json["error"]["code"] == "BatchSizeExceededError"


def test_the_size_of_a_bulk_is_limited(client):
    answer = client.put("/node/batches", json={APP: ["a" * (1 << 20)]})

    assert answer.status_code == 413


def test_a_bulk_keeps_the_order_and_drops_oversized_batches(client, network_and_clock):
    network, clock = network_and_clock

    assert client.put("/node/batches", json={APP: ["a", "b" * 5121, "c"], "no": ["x"]}).json
    clock.now += 1
    network.finalize_due()

    assert network.page(APP, 0)["batches"] == ["a", "c"]


@pytest.mark.parametrize("body", [b"", b'{"a": ', b"[]", b'{"' + APP.encode() + b'": ["\\ud800"]}'])
def test_a_malformed_bulk_is_refused(body, client):
    answer = client.put("/node/batches", data=body, content_type="application/json")

    assert answer.status_code == (500 if b"ud800" in body else 422)


@pytest.mark.parametrize("after", ["", "1.5", "0x1", "9" * 40, "١", "1 2"])
def test_the_parameter_after_must_be_a_number(after, client):
    answer = client.get(f"/node/{APP}/batches/finalized", query_string={"after": after})

    assert answer.status_code == 422
    assert answer.json["detail"][0]["type"] == "int_parsing"


@pytest.mark.parametrize("state", ["locked", "sequenced"])
def test_the_earlier_states_show_final_batches(state, client, network_and_clock):
    network, clock = network_and_clock
    finalized(network, clock, "a")

    assert client.get(f"/node/{APP}/batches/{state}").json["data"]["batches"] == ["a"]


def test_the_newest_batch_of_every_app_is_listed(client, network_and_clock):
    network, clock = network_and_clock
    finalized(network, clock, "a")

    records = client.get("/node/batches/locked/last").json["data"]

    assert records[APP]["body"] == "a"
    assert records[APP]["state"] == "locked"


def test_reads_are_answered_while_paused(client, network_and_clock):
    network, clock = network_and_clock
    finalized(network, clock, "a")
    network.set_faults(paused=True)

    assert client.get(f"/node/{APP}/batches/finalized").json["data"]["batches"] == ["a"]
    assert client.get("/node/ready").status_code == 503
    assert client.get("/node/state").json["data"]["apps"][APP]["last_locked_index"] == 1


def test_an_empty_read_waits_for_a_batch(network_and_clock):
    network, clock = network_and_clock
    app = create_app(network, hold=30)
    answers: list[Any] = []
    reader = threading.Thread(
        target=lambda: answers.append(app.test_client().get(f"/node/{APP}/batches/finalized"))
    )
    reader.start()

    network.submit(APP, "news")
    clock.now += 1
    network.finalize_due()
    reader.join(20)

    assert answers[0].json["data"]["batches"] == ["news"]


def test_every_metric_of_the_sequencer_is_in_the_reference(client):
    check_documented(client.get("/metrics").text)


def test_the_control_endpoint_exists_only_if_enabled(client, network_and_clock):
    network, _ = network_and_clock
    assert client.post("/dev/faults", json={"paused": True}).status_code == 404

    open_client = create_app(network, hold=0, control=True).test_client()
    answer = open_client.post("/dev/faults", json={"paused": True, "silent": [1], "min_age_ms": 5})

    assert answer.json["paused"] is True
    assert answer.json["silent"] == [1]
    assert network.faults.paused
    assert network.rules.min_age == 0.005
    assert open_client.get("/dev/faults").json == answer.json


def test_the_control_endpoint_can_change_the_leader(network_and_clock):
    network, clock = network_and_clock
    finalized(network, clock, "a", "b")
    client = create_app(network, hold=0, control=True).test_client()

    change = {"batches": 1, "seconds": 7}
    answer = client.post("/dev/faults", json={"leader_change": change, "shown": "newest"})
    refused = client.post("/dev/faults", json={"leader_change": {"batches": 0}})

    assert (answer.status_code, refused.status_code) == (200, 422)
    assert shown(network) == [(2, 1, 8)]


def test_a_prefix_of_the_path_tells_gateways_apart(network_and_clock):
    network, clock = network_and_clock
    finalized(network, clock, "a")
    network.set_faults(tamper="body", gateways=[3])
    client = create_app(network, hold=0).test_client()

    bodies = [
        client.get(f"{prefix}/node/{APP}/batches/finalized").json["data"]["batches"]
        for prefix in ("", "/gateway/0", "/gateway/3")
    ]

    assert bodies == [["a"], ["a"], ["a "]]
    assert client.get("/gateway/2/").location == "/gateway/2/node/state"
    assert client.get("/gateway/x/node/state").status_code == 404


def test_the_control_endpoint_can_reset_history(network_and_clock):
    network, clock = network_and_clock
    finalized(network, clock, "a")
    control = create_app(network, hold=0, control=True).test_client()

    assert control.post("/dev/faults", json={"reset": True}).status_code == 200

    assert network.page(APP, 0) is None


@pytest.mark.parametrize("body", [[], {"reset": 1}, {"min_age_ms": -1}, {"tamper": "x"}, None])
def test_the_control_endpoint_refuses_invalid_bodies(body, network_and_clock):
    control = create_app(network_and_clock[0], hold=0, control=True).test_client()

    assert control.post("/dev/faults", json=body).status_code == 422


# Keys and settings


def write_files(folder: Path, keys: list[int]) -> dict[str, str]:
    keys_file, nodes_file = folder / "keys.json", folder / "nodes.json"
    keys_file.write_text(json.dumps(main.keys_document(keys)))
    keys_file.chmod(0o600)
    nodes_file.write_text(json.dumps(main.nodes_document(keys, "http://sequencer:6001/")))
    return {
        "SEQUENCER_KEYS_FILE": str(keys_file),
        "SEQUENCER_NODES_FILE": str(nodes_file),
        "SEQUENCER_APP": "one, two",
        "SEQUENCER_DATABASE": str(folder / "sequencer.db"),
        "SEQUENCER_MIN_AGE_MS": "0",
    }


def test_a_network_is_built_from_its_settings(tmp_path):
    environ = write_files(tmp_path, SECRETS) | {"SEQUENCER_FAULTS": "1", "SEQUENCER_HOLD_MS": "0"}
    app, loops = main.build(main.Settings.from_environ(environ))
    client, stop = app.test_client(), threading.Event()
    client.put("/node/one/batches", data=b"a", content_type="text/plain")
    threads = [threading.Thread(target=loop, args=(stop,)) for loop in loops]

    for thread in threads:
        thread.start()
    held = wait_for_page(client)
    stop.set()
    for thread in threads:
        thread.join(20)

    assert held["batches"] == ["a"]
    assert client.get("/dev/faults").status_code == 200
    assert list(client.get("/node/state").json["data"]["apps"]) == ["one", "two"]


def wait_for_page(client: Any) -> Any:
    while (page := client.get("/node/one/batches/finalized").json["data"]) is None:
        pass
    return page


def test_a_network_may_begin_with_faults(tmp_path):
    faults = {"SEQUENCER_FIRST_FAULTS": '{"paused": true}'}
    environ = write_files(tmp_path, SECRETS) | faults

    app, _ = main.build(main.Settings.from_environ(environ))

    assert app.test_client().get("/node/ready").status_code == 503


def test_the_nodes_of_one_process_may_have_separate_urls():
    document = main.nodes_document(SECRETS, "http://sequencer:6001", separate=True)

    nodes = NodeList.decode(json.dumps(document))

    assert nodes.sockets() == tuple(f"http://sequencer:6001/gateway/{at}" for at in range(4))


def test_new_keys_are_random_and_in_range():
    keys = main.make_keys(4, secrets.randbits)

    assert len(set(keys)) == 4
    assert all(0 < key < tower.R for key in keys)
    assert main.make_keys(1, lambda bits: 0) == [1]
    assert main.make_keys(1, lambda bits: tower.R - 2) == [tower.R - 1]


def test_the_node_list_of_new_keys_is_valid():
    document = main.nodes_document(SECRETS, "http://sequencer:6001/")

    nodes = NodeList.decode(json.dumps(document))

    assert [node.public_key for node in nodes.nodes.values()] == list(
        map(bn254.public_key, SECRETS)
    )
    assert nodes.sockets() == ("http://sequencer:6001",)
    assert all(len(name) == 42 and name.startswith("0x") for name in nodes.nodes)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("SEQUENCER_FIRST_FAULTS", "[]"),
        ("SEQUENCER_FIRST_FAULTS", "{"),
        ("SEQUENCER_FIRST_FAULTS", '{"nothing": 1}'),
        ("SEQUENCER_KEYS_FILE", ""),
        ("SEQUENCER_NODES_FILE", ""),
        ("SEQUENCER_APP", " , "),
        ("SEQUENCER_APP", "a,a"),
        ("SEQUENCER_APP", "a/b"),
        ("SEQUENCER_DATABASE", ""),
        ("SEQUENCER_MIN_AGE_MS", "-1"),
        ("SEQUENCER_PAGE_BYTES", "5119"),
        ("SEQUENCER_FAULTS", "yes"),
        ("SEQUENCER_HOLD_MS", "4001"),
    ],
)
def test_an_invalid_setting_is_refused(setting, value, tmp_path):
    environ = write_files(tmp_path, SECRETS[:1])
    assert main.Settings.from_environ(environ).min_age_ms == 0

    with pytest.raises(SettingsError, match=setting):
        main.Settings.from_environ(environ | {setting: value})


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "[1]", '["0"]', '["x"]', '["0x"]', f'["{tower.R}"]', '["1"]']
)
def test_keys_of_another_node_list_are_refused(text, tmp_path):
    environ = write_files(tmp_path, SECRETS[:1])
    Path(environ["SEQUENCER_KEYS_FILE"]).write_text(text)

    with pytest.raises(SettingsError):
        main.build(main.Settings.from_environ(environ))


def test_keys_may_be_hexadecimal(tmp_path):
    environ = write_files(tmp_path, SECRETS[:1])
    Path(environ["SEQUENCER_KEYS_FILE"]).write_text(json.dumps([hex(SECRETS[0])]))

    signers = main.load_signers(
        Path(environ["SEQUENCER_KEYS_FILE"]), Path(environ["SEQUENCER_NODES_FILE"])
    )

    assert [signer.secret for signer in signers] == SECRETS[:1]


def test_keys_that_others_can_read_are_refused(tmp_path):
    environ = write_files(tmp_path, SECRETS[:1])
    Path(environ["SEQUENCER_KEYS_FILE"]).chmod(0o644)

    with pytest.raises(SettingsError, match="open to others"):
        main.build(main.Settings.from_environ(environ))


def test_repr_of_a_signer_contains_no_secret():
    (signer,) = signers_of(main.nodes_document([SECRETS[0]], "http://x"), [SECRETS[0]])

    assert str(SECRETS[0]) not in repr(signer)
