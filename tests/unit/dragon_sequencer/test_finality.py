"""Hash chain, curve, pairing, node list and finality proofs, with the published vectors."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc import optimized_bn128 as oracle

from dragon import errors as core_errors
from dragon.log.ledger import FinalityRule
from dragon_sequencer import bn254, errors, finality, pairing, tower
from dragon_sequencer.nodes import NodeList, NodeLists
from examples import examples

pytestmark = pytest.mark.usefixtures("computed_anew", "either_arithmetic")

VECTORS = Path(__file__).parents[2] / "vectors" / "zellular"
NODES = (VECTORS / "nodes.json").read_text()


def vectors(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


def key_of(value: dict[str, list[str]]) -> bn254.G2:
    (x1, x0), (y1, y0) = (map(int, value[name]) for name in ("x", "y"))
    return (x0, x1), (y0, y1)


@pytest.fixture(scope="module")
def network() -> NodeList:
    return NodeList.decode(NODES)


BLS = vectors("bls.json")
PROOFS = vectors("messages.json")["proofs"]
INVALID = {case["name"]: case for case in BLS["invalid"]}
SIGNATURES = [
    (key["secret"], key["public_key_g2"], signature)
    for key in BLS["keys"]
    for signature in key["signatures"]
]


# Hash and chain


@pytest.mark.parametrize("case", vectors("xxh128.json")["cases"])
def test_the_hash_gives_every_known_answer(case):
    if "utf8" not in case:
        raw = bytes((31 * i + 7) % 256 for i in range(case["pattern_length"]))
        assert finality.xxhash.xxh3_128_hexdigest(raw) == case["digest"]
        return

    assert finality.digest(case["utf8"]) == case["digest"]


def test_the_chain_equals_the_captured_one_at_every_step():
    chain = finality.GENESIS
    for step in vectors("chaining.json")["steps"]:
        assert chain == step["previous_chaining_hash"]
        if step["body"] is not None:
            assert finality.digest(step["body"]) == step["body_hash"]
            assert finality.extend(chain, step["body"]) == step["chaining_hash"]
        chain = finality.digest(chain + step["body_hash"])
        assert chain == step["chaining_hash"]


# The curve


@pytest.mark.parametrize("case", vectors("map_to_curve.json")["cases"])
def test_messages_map_to_their_published_points(case):
    point = bn254.hash_to_curve(bytes.fromhex(case["message_hex"]))

    assert point == (int(case["x"]), int(case["y"]))
    assert (point[0] - int(case["x0"])) % tower.P == case["increments"]


@pytest.mark.parametrize(("secret", "key", "signature"), SIGNATURES)
def test_signatures_equal_the_published_ones_and_verify(secret, key, signature):
    message = bytes.fromhex(signature["message_hex"])

    made = bn254.encode_signature(bn254.sign([int(secret)], message))

    assert bn254.public_key(int(secret)) == key_of(key)
    assert made == signature["signature"]
    assert verifies(made, key_of(key), message)


def verifies(signature: str, key: bn254.G2, message: bytes) -> bool:
    point = bn254.decode_signature(signature)
    return pairing.is_signed(bn254.hash_to_curve(message), point, pairing.prepare(key))


def test_neighbouring_messages_may_share_a_signature():
    (case,) = BLS["colliding_messages"]
    key = bn254.public_key(int(case["secret"]))

    for message in map(bytes.fromhex, case["messages_hex"]):
        assert bn254.hash_to_curve(message) == tuple(map(int, case["point"]))
        assert verifies(case["signature"], key, message)


REFUSED_TEXTS = {
    "infinity": errors.MalformedSignature,
    "not on curve": errors.SignatureOffCurve,
    "coordinate not reduced": errors.MalformedSignature,
    "swapped coordinates": errors.SignatureOffCurve,
    "empty": errors.MalformedSignature,
    "compressed form": errors.MalformedSignature,
    "leading zero": errors.MalformedSignature,
    "trailing token": errors.MalformedSignature,
}


@pytest.mark.parametrize("name", INVALID)
def test_every_invalid_signature_is_refused(name):
    case = INVALID[name]
    key, message = key_of(case["public_key_g2"]), bytes.fromhex(case["message_hex"])

    if name in REFUSED_TEXTS:
        with pytest.raises(REFUSED_TEXTS[name]):
            bn254.decode_signature(case["signature"])
    else:
        assert not verifies(case["signature"], key, message)


@pytest.mark.parametrize(
    "text",
    [
        "1 +1 2",
        "1 1 -2",
        " 1 1 2",
        "1 1 2\n",
        "1  1 2",
        "1 1 2 ",
        "1 1_0 2",
        "1 ١ 2",
        "1 1",
        "2 1 2",
    ],
)
def test_a_signature_has_exactly_one_text_form(text):
    assert bn254.decode_signature("1 1 2") == bn254.G1_GENERATOR

    with pytest.raises(errors.MalformedSignature):
        bn254.decode_signature(text)


@pytest.mark.parametrize("case", BLS["aggregates"], ids=lambda case: str(len(case["signers"])))
def test_aggregates_are_sums_over_the_signers(case, network):
    key = network.aggregate_key(case["nonsigners"])

    assert key == key_of(case["aggregated_public_key"])
    message = bytes.fromhex(case["message_hex"])
    assert verifies(case["aggregated_signature"], key, message) == case["valid"]


def test_an_aggregate_equals_the_sum_of_the_signatures():
    message, secrets = b"any", [3, 5, 11]
    apart = [bn254.sign([secret], message) for secret in secrets]

    together = bn254.add_g1(bn254.add_g1(apart[0], apart[1]), apart[2])

    assert bn254.sign(secrets, message) == together


def test_secrets_that_cancel_cannot_sign():
    with pytest.raises(ValueError, match="cancel"):
        bn254.sign([5, tower.R - 5], b"any")


@pytest.mark.parametrize("secret", [0, tower.R, -1])
def test_a_secret_must_be_below_the_order(secret):
    with pytest.raises(ValueError, match="between 1"):
        bn254.public_key(secret)


def test_arithmetic_with_infinity():
    g1, g2 = bn254.G1_GENERATOR, bn254.G2_GENERATOR

    assert bn254.add_g1(g1, bn254.negate_g1(g1)) is None
    assert bn254.add_g2(g2, bn254.negate_g2(g2)) is None
    assert bn254.multiply_g2(g2, tower.R) is None
    assert bn254.add_g1(None, g1) == g1
    assert bn254.add_g2(g2, None) == g2


# Pairing, with py_ecc as oracle


def oracle_g1(point: bn254.G1) -> Any:
    return (oracle.FQ(point[0]), oracle.FQ(point[1]), oracle.FQ.one())


def oracle_g2(point: bn254.G2) -> Any:
    return (oracle.FQ2(list(point[0])), oracle.FQ2(list(point[1])), oracle.FQ2.one())


def test_points_equal_those_of_an_independent_library():
    secret = 0xD0C5_1234_5678_9ABC_DEF0
    signature = bn254.sign([secret], b"any")

    x, y = oracle.normalize(oracle.multiply(oracle.G2, secret))
    sx, sy = oracle.normalize(oracle.multiply(oracle_g1(bn254.hash_to_curve(b"any")), secret))

    assert bn254.public_key(secret) == (tuple(map(int, x.coeffs)), tuple(map(int, y.coeffs)))
    assert signature == (int(sx), int(sy))


@pytest.mark.parametrize("forged", [False, True])
def test_an_independent_library_agrees_on_a_signature(forged):
    secret, message = 987654321, b"any"
    key, point = bn254.public_key(secret), bn254.hash_to_curve(message)
    signature = bn254.sign([secret + forged], message)

    ours = pairing.is_signed(point, signature, pairing.prepare(key))
    product = oracle.pairing(oracle_g2(key), oracle_g1(point), final_exponentiate=False)
    minus = oracle_g1(bn254.negate_g1(signature))
    product *= oracle.pairing(oracle.G2, minus, final_exponentiate=False)

    assert ours == (oracle.final_exponentiate(product) == oracle.FQ12.one()) == (not forged)


@settings(max_examples=examples(10), deadline=None)
@given(st.integers(1, tower.R - 1), st.integers(1, tower.R - 1))
def test_the_pairing_is_bilinear(a, b):
    """e(a·P, b·Q) · e(−ab·P, Q) is 1, and with ab + 1 it is not."""
    p, minus_p = bn254.G1_GENERATOR, bn254.negate_g1(bn254.G1_GENERATOR)
    lines = pairing.prepare(bn254.public_key(b))
    left = (bn254.multiply_g1(p, a), lines)

    product = bn254.multiply_g1(minus_p, a * b)
    other = bn254.multiply_g1(minus_p, a * b + 1)

    assert pairing.is_one([left, (product, pairing.GENERATOR_LINES)])
    if other:
        assert not pairing.is_one([left, (other, pairing.GENERATOR_LINES)])


coefficients = st.integers(1, tower.P - 1)  # 0 has no inverse
elements = st.tuples(*[st.tuples(*[coefficients] * 6)] * 2)


@settings(max_examples=examples(25), deadline=None)
@given(elements, elements)
def test_the_shortcuts_of_the_tower_equal_plain_arithmetic(f, g):
    easy = tower.multiply(tower.conjugate(f), tower.invert(f))
    easy = tower.multiply(tower.frobenius(easy, 2), easy)
    line = (tower.ONE_6, (*f[0][:4], 0, 0))

    assert tower.multiply(f, g) == tower.multiply(g, f)
    assert tower.square(f) == tower.multiply(f, f)
    assert tower.multiply(f, tower.invert(f)) == tower.ONE
    assert tower.square_cyclotomic(easy) == tower.multiply(easy, easy)
    assert tower.multiply_by_line(g, *f[0][:4]) == tower.multiply(g, line)
    assert tower.frobenius(tower.frobenius(f, 1), 2) == tower.frobenius(f, 3)
    both = tower.multiply(tower.frobenius(f, 1), tower.frobenius(g, 1))
    assert tower.frobenius(tower.multiply(f, g), 1) == both


# Finality proofs


def proof_of(case: dict[str, Any]) -> finality.Proof:
    names = [field.name for field in dataclasses.fields(finality.Proof)]
    return finality.decode_proof({name: case[name] for name in names})


@pytest.mark.parametrize("case", PROOFS, ids=lambda case: case["source"])
def test_the_signed_text_equals_the_published_one(case):
    text = finality.signed_text(
        app=case["app_name"],
        chaining_hash=case["chaining_hash"],
        index=case["index"],
        parent_index=case["parent_index"],
        state=case["state"],
        timestamp=case["timestamp"],
    )

    assert text == case["message"]
    assert finality.digest(text) == case["digest"]
    assert bn254.hash_to_curve(case["digest"].encode()) == tuple(map(int, case["hash_point"]))


@pytest.mark.parametrize("case", PROOFS, ids=lambda case: case["source"])
def test_every_published_finality_proof_verifies(case, network):
    proof, chain = proof_of(case), case["chaining_hash"]
    assert network.aggregate_key(proof.nonsigners) == key_of(case["aggregated_public_key"])

    if case["state"] == "locked":
        proof.verify(app=case["app_name"], chaining_hash=chain, nodes=network)
        return

    with pytest.raises(errors.WrongState):
        proof.verify(app=case["app_name"], chaining_hash=chain, nodes=network)
    disguised = dataclasses.replace(proof, state="locked")
    with pytest.raises(errors.BadFinalitySignature):
        disguised.verify(app=case["app_name"], chaining_hash=chain, nodes=network)


SPOILED = [
    ({"tag": 7}, errors.UnknownTag),
    ({"state": "finalized"}, errors.WrongState),
    ({"nonsigners": ("0xnobody",)}, errors.UnknownNonsigner),
    ({"nonsigners": ("\ud800",)}, errors.UnknownNonsigner),
    ({"nonsigners": ("0xeedd0843064289091dbc0c2cbbbc3f0e5c4f478b",) * 2}, errors.RepeatedNonsigner),
    ({"nonsigners": ()}, errors.BadFinalitySignature),
    ({"signature": "0"}, errors.MalformedSignature),
    ({"signature": "1 1 3"}, errors.SignatureOffCurve),
    ({"signature": "1 1 2"}, errors.BadFinalitySignature),
    ({"index": 2}, errors.BadFinalitySignature),
    ({"timestamp": 0}, errors.BadFinalitySignature),
]


@pytest.mark.parametrize(("spoiled", "refusal"), SPOILED)
def test_a_changed_proof_is_refused_by_name(spoiled, refusal, network):
    case = PROOFS[0]
    proof = dataclasses.replace(proof_of(case), **spoiled)

    with pytest.raises(refusal):
        proof.verify(app=case["app_name"], chaining_hash=case["chaining_hash"], nodes=network)


def test_the_text_of_a_proof_is_canonical_json():
    case = PROOFS[0]
    proof = proof_of(case)

    assert finality.decode_proof(json.loads(proof.to_text())) == proof
    assert " " not in proof.to_text().replace(proof.signature, "")


NEWEST = {case["name"]: case for case in vectors("negative_last.json")["cases"]}
NEWEST_REFUSALS = {
    "chaining_hash altered": errors.BadFinalitySignature,
    "index altered": errors.BadFinalitySignature,
    "timestamp altered": errors.BadFinalitySignature,
    "locking signature in place of the finalized one": errors.BadFinalitySignature,
    "insufficient stake": errors.StakeMissing,
}


def check_newest(record: Any, nodes: NodeList) -> finality.Proof:
    app = "avs-downtime-monitor"
    proof = finality.decode_newest(record, app=app)
    proof.verify(app=app, chaining_hash=proof.chaining_hash, nodes=nodes)
    return proof


@pytest.mark.parametrize("name", NEWEST)
def test_every_newest_batch_has_the_published_result(name, network):
    case = NEWEST[name]

    if case["expect"]["verdict"] == "accept":
        assert check_newest(case["data"], network).index == 15
        return

    with pytest.raises(NEWEST_REFUSALS[name]):
        check_newest(case["data"], network)


@pytest.mark.parametrize(
    ("spoiled", "refusal"),
    [
        ({"app_name": "another"}, errors.MalformedProof),
        ({"state": "locked"}, errors.WrongState),
        ({"finalized_signature": None}, errors.MalformedProof),
        ({"finalized_nonsigners": None}, errors.MalformedProof),
        ({"finalized_tag": None}, errors.MalformedProof),
        ({"index": None}, errors.MalformedProof),
    ],
)
def test_a_malformed_newest_batch_is_refused_by_name(spoiled, refusal):
    with pytest.raises(refusal):
        finality.decode_newest(NEWEST["control"]["data"] | spoiled, app="avs-downtime-monitor")


# Node list and quorum


def listed(stakes: list[float]) -> NodeList:
    first, *_ = json.loads(NODES).values()
    names = [f"0x{number}" for number in range(len(stakes))]
    nodes = {
        name: first | {"id": name, "stake": stake}
        for name, stake in zip(names, stakes, strict=True)
    }
    return NodeList.decode(json.dumps(nodes))


@pytest.mark.parametrize("case", vectors("stake.json")["cases"])
def test_the_quorum_is_computed_as_published(case):
    base = listed(case["stakes"])
    nodes = NodeList(list(base.nodes.values()), threshold_percent=case["threshold_percent"])
    absent = [f"0x{position}" for position in case["nonsigner_positions"]]

    if case["accept"]:
        nodes.check_quorum(absent)
        return

    with pytest.raises(errors.StakeMissing) as refused:
        nodes.check_quorum(absent)
    assert refused.value.facts["missing_percent"] == case["nonsigner_percent"]


def test_a_node_without_stake_is_not_counted():
    nodes = listed([10, 10, 0])

    nodes.check_quorum([])
    with pytest.raises(errors.UnknownNonsigner):
        nodes.check_quorum(["0x2"])
    assert nodes.aggregate_key([]) == listed([10, 10]).aggregate_key([])


def spoil(**changes: object) -> str:
    nodes = json.loads(NODES)
    name = next(iter(nodes))
    nodes[name] = {k: v for k, v in (nodes[name] | changes).items() if v is not ...}
    return json.dumps(nodes)


def off_curve() -> list[int]:
    x1, x0 = next(iter(json.loads(NODES).values()))["pubkeyG2_X"]
    return [x1, x0 + 1]


def outside_subgroup() -> dict[str, list[int]]:
    """A point of the twist that has not the order r: the cofactor of the twist is large."""
    for x0 in itertools.count(1):
        x = (x0, 0)
        right = tower.add_2(tower.multiply_2(tower.square_2(x), x), bn254._TWIST_B)
        root = tower.power_2(right, (tower.P**2 + 15) // 32)
        for exponent in range(16):
            unit = tower.power_2(tower.XI, exponent * ((tower.P**2 - 1) // 16))
            y = tower.multiply_2(root, unit)
            if tower.square_2(y) == right:
                return {"pubkeyG2_X": [x[1], x[0]], "pubkeyG2_Y": [y[1], y[0]]}
    raise AssertionError


LISTS = [
    ("", errors.MalformedNode),
    ("[]", errors.MalformedNode),
    ("{}", errors.MalformedNode),
    ("[" * 100_000, errors.MalformedNode),
    ('{"a": 1}', errors.MalformedNode),
    (b"\xff", errors.MalformedNode),
    ('{"a": {}, "a": {}}', errors.NodeListedTwice),
    (spoil(id="0xother"), errors.NodeMisnamed),
    (spoil(stake=True), errors.MalformedNode),
    (spoil(stake="10"), errors.MalformedNode),
    (spoil(stake=-1), errors.MalformedNode),
    (spoil(stake=...), errors.MalformedNode),
    (NODES.replace('"stake": 10', '"stake": NaN'), errors.MalformedNode),
    (NODES.replace('"stake": 10', '"stake": 1e999'), errors.MalformedNode),
    (NODES.replace('"stake": 10', '"stake": 1' + "0" * 79), None),
    (NODES.replace('"stake": 10', '"stake": 1' + "0" * 80), errors.MalformedNode),
    (NODES.replace('"stake": 10', '"stake": 0'), errors.NoStake),
    (spoil(socket=...), errors.MalformedNode),
    (spoil(socket=7), errors.MalformedNode),
    (spoil(roles="posting"), errors.MalformedNode),
    (spoil(roles=["leading"]), errors.MalformedNode),
    (spoil(roles=[["posting"]]), errors.MalformedNode),
    (spoil(pubkeyG2_X=...), errors.MalformedNode),
    (spoil(pubkeyG2_X=[1]), errors.MalformedNode),
    (spoil(pubkeyG2_X=[True, 1]), errors.MalformedNode),
    (spoil(pubkeyG2_X=["1.0", 1]), errors.MalformedNode),
    (spoil(pubkeyG2_X=[tower.P, 1]), errors.NodeKeyInvalid),
    (spoil(pubkeyG2_X=[-1, 1]), errors.NodeKeyInvalid),
    (spoil(pubkeyG2_X=off_curve()), errors.NodeKeyInvalid),
    (spoil(pubkeyG2_X=[0, 0], pubkeyG2_Y=[0, 0]), errors.NodeKeyInvalid),
]


@pytest.mark.parametrize(("text", "refusal"), LISTS)
def test_an_invalid_node_list_is_refused_by_name(text, refusal):
    if refusal is None:
        assert NodeList.decode(text).nodes
        return

    with pytest.raises(refusal):
        NodeList.decode(text)


def test_a_key_outside_the_subgroup_is_refused():
    members = outside_subgroup()
    (x1, x0), (y1, y0) = members["pubkeyG2_X"], members["pubkeyG2_Y"]
    assert bn254.is_on_twist(((x0, x1), (y0, y1)))

    with pytest.raises(errors.NodeKeyInvalid):
        NodeList.decode(spoil(**members))


@pytest.mark.parametrize("threshold", [0, -1, 100.1, float("nan")])
def test_a_threshold_must_be_a_percentage(threshold):
    with pytest.raises(errors.NoStake):
        NodeList.decode(NODES, threshold_percent=threshold)


def test_a_missing_node_list_raises_invalid_node_list(tmp_path):
    with pytest.raises(errors.InvalidNodeList, match="cannot be read"):
        NodeList.load(tmp_path / "nodes.json")


def test_the_hash_of_a_node_list_can_be_computed_by_hand(network):
    listed = {
        name: {
            "address": node["address"],
            "id": name,
            "pubkeyG2_X": list(map(str, node["pubkeyG2_X"])),
            "pubkeyG2_Y": list(map(str, node["pubkeyG2_Y"])),
            "roles": ["posting", "sequencing"],
            "stake": "10",
        }
        for name, node in json.loads(NODES).items()
    }
    text = json.dumps(listed, sort_keys=True, separators=(",", ":"))

    assert network.sha256 == hashlib.sha256(text.encode()).digest()
    assert network.sha256.hex()[:16] == "db8456cd0aff2d82"


def respelled() -> str:
    """The same list with other sockets, another order, and other spellings of the same values."""
    nodes = {}
    for name, node in reversed(json.loads(NODES).items()):
        keys = {k: list(map(str, node[k])) for k in ("pubkeyG2_X", "pubkeyG2_Y")}
        changes = {"stake": 10.0, "socket": "http://x:1/", "roles": ["sequencing", "posting"]}
        nodes[name] = node | keys | changes | {"comment": "ignored"}
    return json.dumps(nodes)


def test_the_hash_of_a_node_list_ignores_sockets_and_spelling(network):
    assert NodeList.decode(respelled()).sha256 == network.sha256
    assert NodeList.decode(spoil(stake=10.5)).sha256 != network.sha256
    assert NodeList.decode(spoil(roles=["posting"])).sha256 != network.sha256


def test_sockets_are_distinct_and_filtered_by_role():
    nodes = NodeList.decode(spoil(roles=["sequencing"]))
    everywhere = [f"http://127.0.0.1:600{number}" for number in (1, 2, 3, 4)]

    assert list(nodes.sockets()) == everywhere
    assert list(nodes.sockets("posting")) == everywhere[1:]
    assert NodeList.decode(respelled()).sockets() == ("http://x:1",)


# Errors


def test_error_names_differ_from_those_of_the_core():
    ours = {name for name, value in vars(errors).items() if is_error(value, errors)}
    theirs = {name for name, value in vars(core_errors).items() if is_error(value, core_errors)}

    assert ours
    assert not ours & theirs


def test_the_documented_tree_contains_all_errors():
    ours = {name for name, value in vars(errors).items() if is_error(value, errors)}

    drawn = {
        line.split("──")[1].split()[0]
        for line in (errors.__doc__ or "").splitlines()
        if "──" in line
    }

    assert drawn - {"LedgerError"} == ours


def is_error(value: object, module: Any) -> bool:
    return isinstance(value, type) and value.__module__ == module.__name__


def test_a_proof_holds_under_any_of_several_lists(network: NodeList) -> None:
    other = NodeList.decode(spoil(stake=10.5))
    lists = NodeLists([other, network])

    assert set(lists.hashes) == {network.sha256, other.sha256}
    assert lists.only([network.sha256], 67).alternatives == (network,)
    assert lists.by_rule(None) is lists
    left = lists.by_rule(FinalityRule(frozenset({other.sha256, bytes(32)}), 80))
    assert [each.sha256 for each in left.alternatives] == [network.sha256]
    assert [each.threshold_percent for each in left.alternatives] == [80]
    assert network.threshold_percent == 67


def test_without_a_list_that_counts_nothing_is_proven(network: NodeList) -> None:
    with pytest.raises(errors.NodeListMissing):
        finality.Proof(1, 0, "0" * 32, 0, "locked", "1 2 3", (), 0).verify(
            app="app", chaining_hash="0" * 32, nodes=NodeLists([network]).only([], 67)
        )
