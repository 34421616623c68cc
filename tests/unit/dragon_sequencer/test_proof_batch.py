"""Several finality proofs verified together: the same results as one after the other."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragon_sequencer import errors
from dragon_sequencer.finality import Proof, decode_proof
from dragon_sequencer.nodes import NodeList, NodeLists
from dragon_sequencer.proof_batch import verify_each
from dragon_sequencer.signatures import Entropy
from examples import examples

pytestmark = pytest.mark.usefixtures("computed_anew", "either_arithmetic")

VECTORS = Path(__file__).parents[2] / "vectors" / "zellular"
NODES = (VECTORS / "nodes.json").read_text()
PROOFS = [
    case
    for case in json.loads((VECTORS / "messages.json").read_text())["proofs"]
    if case["state"] == "locked"
]
APP = PROOFS[0]["app_name"]


def decoded(case: dict[str, Any]) -> Proof:
    return decode_proof({name: case[name] for name in Proof.__dataclass_fields__})


VALID = [decoded(case) for case in PROOFS if case["app_name"] == APP]
FALSE = {
    errors.UnknownTag: {"tag": 1},
    errors.WrongState: {"state": "sequenced"},
    errors.RepeatedNonsigner: {"nonsigners": ("0x0", "0x0")},
    errors.UnknownNonsigner: {"nonsigners": ("0x0",)},
    errors.StakeMissing: {"nonsigners": tuple(json.loads(NODES))[:2]},
    errors.MalformedSignature: {"signature": "0"},
    errors.SignatureOffCurve: {"signature": "1 1 1"},
    errors.BadFinalitySignature: {"signature": "1 1 2"},
}


def network() -> NodeList:
    """The list, with nothing remembered."""
    return NodeList.decode(NODES)


def another() -> NodeList:
    """A list of the same nodes without the first, under which their proofs do not hold."""
    nodes = list(network().nodes.values())
    return NodeList([dataclasses.replace(nodes[1], id="0xother"), *nodes[2:]])


def entropy(seed: int = 1) -> Entropy:
    return random.Random(seed).randbytes


def each(proofs: list[Proof], nodes: NodeList | NodeLists) -> list[type[Exception] | None]:
    found = verify_each(proofs, app=APP, nodes=nodes, entropy=entropy())
    return [failure and type(failure) for failure in found]


def alone(proof: Proof, nodes: NodeList | NodeLists) -> type[Exception] | None:
    try:
        proof.verify(app=APP, chaining_hash=proof.chaining_hash, nodes=nodes)
    except errors.FinalityError as error:
        return type(error)
    return None


def test_the_recorded_proofs_hold_together() -> None:
    assert len(VALID) > 10
    assert each(VALID, network()) == [None] * len(VALID)


@pytest.mark.parametrize("refusal", FALSE, ids=lambda refusal: refusal.__name__)
def test_a_batch_names_the_false_proof_and_its_fault(refusal: type[Exception]) -> None:
    changes: dict[str, Any] = FALSE[refusal]
    false = dataclasses.replace(VALID[1], **changes)

    assert each([VALID[0], false, VALID[2]], network()) == [None, refusal, None]
    assert alone(false, network()) == refusal


def test_a_proof_of_another_app_is_refused_in_a_batch() -> None:
    found = verify_each(VALID[:2], app="another", nodes=network(), entropy=entropy())

    assert [type(failure) for failure in found] == [errors.BadFinalitySignature] * 2


def test_a_remembered_signature_does_not_stand_for_the_stake() -> None:
    """Whether enough stake has signed depends on the threshold, and is checked every time."""
    nodes, proof = network(), next(proof for proof in VALID if proof.nonsigners)
    strict = nodes.with_threshold(100)

    assert alone(proof, nodes) is None
    assert alone(proof, strict) == errors.StakeMissing
    assert each([proof, proof], strict) == [errors.StakeMissing] * 2
    assert strict.signatures is nodes.signatures
    assert nodes.signatures.remembered == 1


def test_a_list_of_other_nodes_remembers_nothing_of_this_one() -> None:
    nodes, other = network(), another()
    proof = next(proof for proof in VALID if not proof.nonsigners)

    assert alone(proof, nodes) is None
    assert alone(proof, other) == errors.BadFinalitySignature
    assert other.signatures.remembered == 0


def test_a_batch_holds_under_any_of_several_lists() -> None:
    for lists in (NodeLists([another(), network()]), NodeLists([network(), another()])):
        assert each(VALID[:3], lists) == [None] * 3


def test_without_a_list_that_counts_nothing_is_proven() -> None:
    assert each(VALID[:2], NodeLists([])) == [errors.NodeListMissing] * 2
    assert each([], network()) == []


SPOILED = st.sampled_from([*FALSE.values(), {}, {}, {}, {}, {"timestamp": 5}])


@settings(max_examples=examples(12), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(VALID), SPOILED), max_size=5))
def test_a_batch_finds_what_single_verification_finds(
    cases: list[tuple[Proof, dict[str, Any]]],
) -> None:
    proofs = [dataclasses.replace(proof, **changes) for proof, changes in cases]

    assert each(proofs, LISTS) == [alone(proof, FRESH) for proof in proofs]


LISTS, FRESH = network(), network()
