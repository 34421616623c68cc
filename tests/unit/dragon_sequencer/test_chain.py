"""Verification of pages, with a real network's history and manipulated versions of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragon.log.ledger import Position
from dragon_sequencer import errors
from dragon_sequencer.chain import Cursor, decode_page, read
from dragon_sequencer.nodes import NodeList

VECTORS = Path(__file__).parents[2] / "vectors" / "zellular"
APP = "avs-downtime-monitor"
CASES = {
    case["name"]: case for case in json.loads((VECTORS / "negative.json").read_text())["cases"]
}
WHOLE_HISTORY = (
    "01-all-up-after0",
    "11-node4-down-after12",
    "13-page1-after15",
    "14-page2",
    "17-after-failover",
)

REFUSALS = {
    "batch body altered": errors.ChainMismatch,
    "two batches of one segment swapped": errors.ChainMismatch,
    "batches swapped across segments": errors.FirstHashMismatch,
    "batch inserted": errors.ChainMismatch,
    "first batch dropped": errors.FirstHashMismatch,
    "nonsigners emptied": errors.BadFinalitySignature,
    "another node named as nonsigner": errors.BadFinalitySignature,
    "two nonsigners named, three signed": errors.StakeMissing,
    "genuine signature of only two of four nodes": errors.StakeMissing,
    "threshold 76": errors.StakeMissing,
    "timestamp altered": errors.BadFinalitySignature,
    "parent_index altered": errors.BadFinalitySignature,
    "signature of another segment": errors.BadFinalitySignature,
    "signatures out of order": errors.ProofsOutOfOrder,
    "signature index beyond the page": errors.ProofOutsidePage,
    "signature is the point at infinity": errors.MalformedSignature,
    "signature not on the curve": errors.SignatureOffCurve,
    "nonsigner listed twice": errors.RepeatedNonsigner,
    "unknown nonsigner listed": errors.UnknownNonsigner,
    "state field of the signature altered": errors.WrongState,
    "locking signature offered as finality proof": errors.BadFinalitySignature,
    "page of another application": errors.BadFinalitySignature,
    "first_chaining_hash wrong, reader knows its own chain": errors.FirstHashMismatch,
    "resume with wrong first_chaining_hash": errors.ChainMismatch,
}


def nodes(threshold: float = 67) -> NodeList:
    return NodeList.load(VECTORS / "nodes.json", threshold_percent=threshold)


NODES = nodes()


@pytest.fixture
def network() -> NodeList:
    return NODES


def captured(name: str) -> Any:
    return json.loads((VECTORS / "responses" / f"{name}.json").read_text())["data"]


def cursor_of(case: dict[str, Any]) -> Cursor:
    """The cursor of a case: index and chaining hash, but no previous proof."""
    after, chaining_hash = case["cursor"]["after"], case["cursor"]["chaining_hash"]
    return Cursor(after, chaining_hash, None) if chaining_hash else Cursor.join(after)


def replay(case: dict[str, Any], nodes: NodeList) -> tuple[list[list[int]], Cursor]:
    cursor, delivered = cursor_of(case), []
    for asked, page in zip(case["requests_after"], case["pages"], strict=True):
        cursor = cursor if cursor.next_after == asked else cursor.without_pending()
        assert cursor.next_after == asked
        proven, cursor = read(cursor, decode_page(page), app=case["app_name"], nodes=nodes)
        delivered += [[batch.index, batch.time] for batch in proven]
    return delivered, cursor


@pytest.mark.parametrize("name", CASES)
def test_every_published_case_has_the_expected_result(name):
    case = CASES[name]
    expected = case["expect"]
    list_of_case = nodes(case["threshold_percent"])

    if expected["verdict"] == "reject":
        with pytest.raises(REFUSALS[name]) as refused:
            replay(case, list_of_case)
        assert type(refused.value) is REFUSALS[name]
        return

    delivered, cursor = replay(case, list_of_case)

    assert delivered == expected["delivered"]
    assert bool(cursor.pending) == (expected["verdict"] != "accept")


def test_the_whole_history_is_proven_batch_by_batch(network):
    steps = json.loads((VECTORS / "chaining.json").read_text())["steps"]
    cursor, proven = Cursor(), []

    for name in WHOLE_HISTORY:
        batches, cursor = read(cursor, decode_page(captured(name)), app=APP, nodes=network)
        proven += batches

    assert [(b.index, b.position.chaining_hash) for b in proven] == [
        (step["index"], step["chaining_hash"]) for step in steps
    ]
    assert [batch.time for batch in proven] == sorted(batch.time for batch in proven)
    assert not cursor.pending


def test_a_reader_may_stop_and_resume_after_any_batch(network):
    whole, _ = read(Cursor(), decode_page(captured("01-all-up-after0")), app=APP, nodes=network)
    middle = whole[2]
    assert middle.position.proof_index == 1 < middle.index < json.loads(middle.proof)["index"]
    assert middle.position.proof_time == whole[0].time < middle.time

    page = decode_page(captured("02-all-up-after3-mid-segment"))
    resumed, _ = read(Cursor.at(middle.position), page, app=APP, nodes=network)

    assert resumed == whole[3:]


def test_a_withheld_proof_is_detected_if_the_previous_proof_is_known(network):
    """Otherwise the case passes, and batch 13 gets the time of batch 15."""
    case = CASES["first signature omitted"]
    position = Position(12, case["cursor"]["chaining_hash"], proof_index=12)

    with pytest.raises(errors.WithheldProof):
        read(Cursor.at(position), decode_page(case["pages"][0]), app=APP, nodes=network)


def test_a_withheld_proof_in_the_middle_of_a_page_is_detected(network):
    page = captured("01-all-up-after0")
    del page["finalized_signatures"][1]

    with pytest.raises(errors.WithheldProof):
        read(Cursor(), decode_page(page), app=APP, nodes=network)


def test_a_reader_that_joins_detects_a_withheld_proof(network):
    page = captured("01-all-up-after0")
    shortened = {
        "batches": page["batches"][5:],
        "first_chaining_hash": page["finalized_signatures"][1]["chaining_hash"],
        "finalized_signatures": page["finalized_signatures"][3:],
    }

    with pytest.raises(errors.WithheldProof):
        read(Cursor.join(6), decode_page(shortened), app=APP, nodes=network)


def test_a_genuine_proof_that_overlaps_an_older_one_means_a_rewritten_segment(network):
    chaining_hash = CASES["control: untouched page"]["cursor"]["chaining_hash"]
    position = Position(12, chaining_hash, proof_index=12)
    rewritten = Cursor.at(Position(12, chaining_hash, proof_index=13))
    page = decode_page(captured("11-node4-down-after12"))
    assert read(Cursor.at(position), page, app=APP, nodes=network)[0]

    with pytest.raises(errors.SegmentRewritten):
        read(rewritten, page, app=APP, nodes=network)


def test_a_proof_with_an_earlier_time_is_refused(network):
    chaining_hash = CASES["control: untouched page"]["cursor"]["chaining_hash"]
    page = captured("11-node4-down-after12")
    time = page["finalized_signatures"][0]["timestamp"]
    position = Position(12, chaining_hash, proof_index=12, proof_time=time + 1)

    with pytest.raises(errors.TimeDecreased):
        read(Cursor.at(position), decode_page(page), app=APP, nodes=network)


def test_a_reader_that_joins_at_a_proof_gets_the_confirmed_chain_and_no_batch(network):
    page = captured("01-all-up-after0")
    first = {
        "batches": page["batches"][:1],
        "first_chaining_hash": page["first_chaining_hash"],
        "finalized_signatures": page["finalized_signatures"][:1],
    }

    proven, cursor = read(Cursor.join(1), decode_page(first), app=APP, nodes=network)

    assert not proven
    assert cursor == Cursor(1, page["first_chaining_hash"], 1, 1795163673)


def test_a_position_with_an_index_only_is_joined():
    assert Cursor.at(Position(7)) == Cursor.join(7)
    assert Cursor.at(Position()) == Cursor.join(0) == Cursor()


def test_a_reader_cannot_begin_before_the_first_batch():
    with pytest.raises(ValueError, match="batch 0"):
        Cursor.join(-1)


SPOILED = [
    ("no object", lambda page: [], errors.MalformedPage),
    ("no batches", lambda page: page | {"batches": []}, errors.MalformedPage),
    ("batches no list", lambda page: page | {"batches": "ab"}, errors.MalformedPage),
    ("a batch no text", lambda page: page | {"batches": [1]}, errors.MalformedPage),
    ("no proofs", lambda page: page | {"finalized_signatures": None}, errors.MalformedPage),
    ("no first hash", lambda page: page | {"first_chaining_hash": None}, errors.MalformedProof),
    ("a proof no object", lambda page: page | {"finalized_signatures": [1]}, errors.MalformedProof),
    ("half a character", lambda page: page | {"batches": ["\ud800"]}, errors.MalformedPage),
]


@pytest.mark.parametrize(("mutate", "refusal"), [case[1:] for case in SPOILED])
def test_a_malformed_page_is_refused_by_name(mutate, refusal, network):
    page = captured("01-all-up-after0")

    with pytest.raises(refusal):
        read(Cursor(), decode_page(mutate(page)), app=APP, nodes=network)


MEMBERS = [
    ("index", 0),
    ("index", True),
    ("index", "1"),
    ("index", 10**30),
    ("parent_index", -1),
    ("parent_index", 1),
    ("chaining_hash", "F" * 32),
    ("chaining_hash", None),
    ("timestamp", 1.5),
    ("timestamp", None),
    ("state", 7),
    ("signature", None),
    ("signature", "1" * 300),
    ("nonsigners", None),
    ("nonsigners", [1]),
    ("tag", None),
]


@pytest.mark.parametrize(("member", "value"), MEMBERS)
def test_a_malformed_proof_is_refused_by_name(member, value):
    page = captured("01-all-up-after0")
    page["finalized_signatures"][0][member] = value

    with pytest.raises(errors.MalformedProof):
        decode_page(page)


@pytest.mark.parametrize("member", [member for member, _ in MEMBERS])
def test_a_proof_without_a_member_is_refused_by_name(member):
    page = captured("01-all-up-after0")
    del page["finalized_signatures"][0][member]

    with pytest.raises(errors.MalformedProof):
        decode_page(page)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in a JSON value, of names and numbers."""
    members = list(value.items() if isinstance(value, dict) else enumerate(value))
    here = [(*path, name) for name, _ in members]
    inside = [(name, member) for name, member in members if isinstance(member, dict | list)]
    return here + [place for name, member in inside for place in places(member, (*path, name))]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_mutated_page_is_refused_by_name_or_gives_the_same_batches(data):
    page, network = captured("11-node4-down-after12"), NODES
    chaining_hash = CASES["control: untouched page"]["cursor"]["chaining_hash"]
    start = Cursor.at(Position(12, chaining_hash, proof_index=12))
    honest, _ = read(start, decode_page(page), app=APP, nodes=network)
    *path, last = data.draw(st.sampled_from(places(page)))
    target = page
    for name in path:
        target = target[name]
    target[last] = data.draw(JSON)

    try:
        proven, _ = read(start, decode_page(page), app=APP, nodes=network)
    except (errors.PageError, errors.FinalityError):
        return
    assert proven == honest[: len(proven)]
