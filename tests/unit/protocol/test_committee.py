"""The committee file: form, id, quorums and rounds, and all reasons to refuse it."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from committees import GENESIS, make_members, secret
from dragon import errors
from dragon.encoding import Json, canonical, to_hex
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.committee import (
    MAX_BATCH_BYTES,
    MAX_FILE_BYTES,
    Committee,
    Operator,
    QuorumRule,
    byzantine_faults,
    check_node_id,
    quorum_of,
    short_id,
)
from dragon.protocol.committee_file import Target
from dragon.protocol.rounds import Rounds

MEMBERS = make_members(4, targets=2, aggregators=2)
File = dict[str, Any]


def valid_file() -> File:
    """Return a committee with all optional members, as JSON that a test can change."""
    file = cast("File", copy.deepcopy(MEMBERS.committee.to_json()))
    file["experts"] = [keyed("expert_1"), keyed("expert_2")]
    file["owners"] = [keyed("owner_1")]
    return file


def keyed(name: str) -> File:
    key = secret(name)
    return {
        "id": name,
        "public_key": to_hex(key.public_key().raw),
        "proof_of_possession": to_hex(key.prove_possession()),
    }


def load(file: File) -> Committee:
    return Committee.load(canonical(file))


def refusal_of(file: File) -> type[errors.DragonError]:
    with pytest.raises(errors.DragonError) as refused:
        load(file)
    return type(refused.value)


# -- reading and writing ---------------------------------------------------------------------------


def test_a_committee_is_restored_from_its_file() -> None:
    committee = load(valid_file())

    assert load(cast("File", committee.to_json())) == committee
    assert committee.to_json() == valid_file()


def test_the_committee_of_the_tests_is_restored_from_its_file() -> None:
    again = Committee.load(canonical(MEMBERS.committee.to_json()))

    assert again == MEMBERS.committee
    assert again.id == MEMBERS.committee.id


def test_defaults_are_written_explicitly() -> None:
    file = valid_file()
    optional = ("round_seconds", "maintenance_notice", "quorum", "experts", "owners", "targets")
    for name in (*optional, "aggregators"):
        del file[name]

    committee = load(file)

    written = committee.to_json()
    assert written["round_seconds"] == 5
    assert written["maintenance_notice"] == 3600
    assert written["quorum"] == {
        "status": "byzantine",
        "downtime": "byzantine",
        "checkpoint": "byzantine",
        "window": "majority",
        "handover": "byzantine",
    }
    assert written["experts"] == written["owners"] == []
    assert written["targets"] == written["aggregators"] == []
    assert load(cast("File", written)).id == committee.id


def test_quorums_that_are_not_stated_keep_their_defaults() -> None:
    file = valid_file() | {"quorum": {"window": "byzantine"}}

    rules = load(file).quorum_rules

    assert rules == {
        "status": "byzantine",
        "downtime": "byzantine",
        "checkpoint": "byzantine",
        "window": "byzantine",
        "handover": "byzantine",
    }


# -- the id ----------------------------------------------------------------------------------------


def test_the_id_is_the_hash_of_the_whole_file() -> None:
    committee = load(valid_file())

    assert committee.encode() == canonical(valid_file())
    assert committee.id == hashlib.sha256(canonical(valid_file())).digest()


def test_short_id_has_160_bits() -> None:
    assert short_id(bytes(range(32))) == "0001 0203 0405 0607 0809 0a0b 0c0d 0e0f 1011 1213"


def test_the_id_of_the_committee_of_the_tests_never_changes() -> None:
    assert make_members(4, nodes_sha256=bytes(32)).committee.id.hex() == (
        "57b1c688cfb5cf71dc251a54f10316579eaf54fddc1dde37dd9f68b4be2fc360"
    )


def set_in(*path: str | int, value: Json) -> Callable[[File], None]:
    def change(file: File) -> None:
        place: Any = file
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


def exchange_operators(file: File) -> None:
    operators = file["operators"]
    operators[0], operators[1] = operators[1], operators[0]


def drop_operator(file: File) -> None:
    file["operators"].pop()


def another_key(file: File) -> None:
    file["operators"][0] |= keyed("somebody_else") | {"id": "operator_1"}


def another_expert_key(file: File) -> None:
    file["experts"][0] |= keyed("somebody_else") | {"id": "expert_1"}


def drop_expert(file: File) -> None:
    file["experts"].pop()


def drop_target(file: File) -> None:
    file["targets"].pop()


@pytest.mark.parametrize(
    "change",
    [
        set_in("name", value="another"),
        set_in("genesis", value=GENESIS + 5),
        set_in("round_seconds", value=6),
        set_in("quorum", "status", value="majority"),
        set_in("quorum", "status", value=3),
        set_in("quorum", "downtime", value="majority"),
        set_in("quorum", "checkpoint", value="majority"),
        set_in("quorum", "window", value="byzantine"),
        set_in("quorum", "handover", value=3),
        set_in("operators", 0, "url", value="http://moved.example:8443/api"),
        set_in("owners", value=[]),
        set_in("owners", 0, "id", value="owner_2"),
        set_in("maintenance_notice", value=0),
        set_in("targets", 0, "owner", value="owner_1"),
        set_in("aggregators", value=[]),
        set_in("aggregators", 0, "url", value="http://elsewhere:1"),
        set_in("aggregators", 1, "rank", value=5),
        set_in("operators", 0, "id", value="operator_x"),
        exchange_operators,
        drop_operator,
        another_key,
        set_in("experts", 0, "id", value="expert_x"),
        another_expert_key,
        drop_expert,
        set_in("targets", 0, "id", value="target_x"),
        set_in("targets", 0, "url", value="http://target-1:81"),
        drop_target,
        set_in("sequencer", "app", value="another"),
        set_in("sequencer", "threshold_percent", value=68),
        set_in("sequencer", "nodes_sha256", value=[to_hex(b"\x01" * 32)]),
        set_in("sequencer", "nodes_sha256", value=[to_hex(bytes(32)), to_hex(b"\x01" * 32)]),
    ],
)
def test_id_covers_every_member(change: Callable[[File], None]) -> None:
    file = valid_file()
    before = load(file).id

    change(file)

    assert load(file).id != before


def test_the_id_covers_proofs_of_possession() -> None:
    """A key has only one valid proof, so the changed committee cannot be loaded, only compared."""
    file = valid_file()
    before = Committee.from_json(file).id

    file["operators"][0]["proof_of_possession"] = to_hex(bytes(96))

    assert Committee.from_json(file).id != before


# -- epochs ----------------------------------------------------------------------------------------

ONE, TWO = to_hex(b"\x01" * 32), to_hex(b"\x02" * 32)
FIRST: File = {"epoch": 1, "network": ONE, "previous": ONE}
THIRD: File = {
    "epoch": 3,
    "network": ONE,
    "previous": TWO,
    "sealed": {"size": 9, "root": ONE, "timestamp": 1_732_522_500},
}


def test_the_network_is_the_first_committee() -> None:
    founding, later = load(valid_file()), load(valid_file() | THIRD)

    assert founding.network_id == founding.id
    assert later.network_id == b"\x01" * 32 != later.id
    assert load(cast("File", later.to_json())) == later


def test_members_about_epochs_are_optional_in_epoch_0() -> None:
    file = valid_file()
    for optional in ("epoch", "network", "previous", "sealed"):
        del file[optional]

    assert load(file).id == load(valid_file()).id


@pytest.mark.parametrize(
    "wrong",
    [
        {"network": ONE},
        {"previous": ONE},
        {"sealed": THIRD["sealed"]},
        FIRST | {"network": to_hex(bytes(32))},
        FIRST | {"previous": to_hex(bytes(32))},
        FIRST | {"previous": TWO},
        FIRST | {"sealed": THIRD["sealed"]},
        THIRD | {"sealed": {"size": 0, "root": to_hex(bytes(32)), "timestamp": 0}},
        THIRD | {"previous": to_hex(bytes(32))},
    ],
)
def test_a_file_that_contradicts_its_epoch_is_refused(wrong: File) -> None:
    assert refusal_of(valid_file() | wrong) is errors.BrokenSuccession


@pytest.mark.parametrize("rule", ["majority", 4])
def test_fewer_than_a_byzantine_quorum_may_not_hand_over(rule: QuorumRule) -> None:
    file = cast("File", make_members(7).committee.to_json())  # byzantine: 5

    assert refusal_of(file | {"quorum": {"handover": rule}}) is errors.WeakHandover
    assert load(file | {"quorum": {"handover": 6}}).quorum("handover") == 6


def test_a_node_list_that_is_named_twice_is_refused() -> None:
    file = valid_file()
    file["sequencer"]["nodes_sha256"] = [ONE, TWO, ONE]

    assert refusal_of(file) is errors.ListedTwice


# -- refusals of members and keys ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["operator_2", "expert_1", "target_1"])
@pytest.mark.parametrize("listed", ["operators", "experts", "targets"])
def test_an_id_that_is_listed_twice_is_refused(name: str, listed: str) -> None:
    file = valid_file()
    file[listed][-1]["id"] = name

    assert refusal_of(file) is errors.ListedTwice


@pytest.mark.parametrize("listed", ["operators", "experts"])
def test_a_key_that_is_listed_twice_is_refused(listed: str) -> None:
    file = valid_file()
    key = keyed("operator_1")
    del key["id"]

    file[listed][-1] |= key

    assert refusal_of(file) is errors.ListedTwice


INVALID_KEYS = {
    "at infinity": "0xc0" + "00" * 47,
    "off the curve": "0x80" + "00" * 46 + "01",
    "outside the subgroup": "0x80" + "00" * 47,
    "the field's modulus": "0x9a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf"
    "6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab",
    "not compressed": "0x00" + "00" * 47,
    "all ones": "0x" + "ff" * 48,
}


@pytest.mark.parametrize("key", INVALID_KEYS.values(), ids=INVALID_KEYS)
@pytest.mark.parametrize("listed", ["operators", "experts"])
def test_a_key_that_is_no_point_of_the_subgroup_is_refused(listed: str, key: str) -> None:
    file = valid_file()

    file[listed][1]["public_key"] = key

    assert refusal_of(file) is errors.InvalidKey


def proof_of_another(file: File) -> Json:
    return cast("Json", file["operators"][0]["proof_of_possession"])


def signature_instead_of_proof(file: File) -> Json:
    key = secret("operator_2")
    return to_hex(key.sign(key.public_key().raw))


def proof_at_infinity(file: File) -> Json:
    return "0xc0" + "00" * 95


def proof_that_is_no_point(file: File) -> Json:
    return "0x" + "00" * 96


@pytest.mark.parametrize("listed", ["operators", "experts"])
@pytest.mark.parametrize(
    "proof",
    [proof_of_another, signature_instead_of_proof, proof_at_infinity, proof_that_is_no_point],
)
def test_a_wrong_proof_of_possession_is_refused(listed: str, proof: Callable[[File], Json]) -> None:
    file = valid_file()

    file[listed][1]["proof_of_possession"] = proof(file)

    assert refusal_of(file) is errors.UnprovenKey


@pytest.mark.parametrize("listed", ["operators", "experts"])
def test_a_missing_proof_of_possession_is_refused_as_unproven(listed: str) -> None:
    file = valid_file()

    del file[listed][0]["proof_of_possession"]

    assert refusal_of(file) is errors.UnprovenKey


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_operators_are_refused(count: int) -> None:
    file = valid_file()

    file["operators"] = file["operators"][:count]

    assert refusal_of(file) is errors.TooFewOperators


def test_three_operators_are_enough() -> None:
    file = valid_file()

    file["operators"] = file["operators"][:3]

    assert len(load(file).operators) == 3


# -- refusals of form ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (set_in("name", value=""), errors.UnknownValue),
        (set_in("name", value="x" * 65), errors.UnknownValue),
        (set_in("name", value=1), errors.WrongType),
        (set_in("genesis", value=-1), errors.IntegerOutOfRange),
        (set_in("genesis", value=True), errors.NotAnInteger),
        (set_in("genesis", value="0"), errors.WrongType),
        (set_in("round_seconds", value=0), errors.IntegerOutOfRange),
        (set_in("round_seconds", value=1), errors.IntegerOutOfRange),
        (set_in("round_seconds", value=3601), errors.IntegerOutOfRange),
        (set_in("round_seconds", value=True), errors.NotAnInteger),
        (set_in("quorum", value=[]), errors.WrongType),
        (set_in("quorum", "weather", value="majority"), errors.UnknownMember),
        (set_in("quorum", "endorsement", value="majority"), errors.UnknownMember),
        (set_in("quorum", "status", value="all"), errors.UnknownValue),
        (set_in("quorum", "status", value="BYZANTINE"), errors.UnknownValue),
        (set_in("quorum", "status", value=True), errors.NotAnInteger),
        (set_in("quorum", "status", value=0), errors.UnknownValue),
        (set_in("quorum", "status", value=-3), errors.UnknownValue),
        (set_in("quorum", "status", value=None), errors.UnknownValue),
        (set_in("quorum", "status", value=[3]), errors.UnknownValue),
        (set_in("operators", value={}), errors.WrongType),
        (set_in("operators", 0, value="operator_1"), errors.WrongType),
        (set_in("operators", 0, "id", value="Operator"), errors.InvalidId),
        (set_in("operators", 0, "public_key", value="0x00"), errors.InvalidHex),
        (set_in("operators", 0, "public_key", value=7), errors.WrongType),
        (set_in("operators", 0, "proof_of_possession", value="0x00"), errors.InvalidHex),
        (set_in("operators", 0, "rank", value=1), errors.UnknownMember),
        (set_in("experts", 0, "url", value="http://a:1"), errors.UnknownMember),
        (set_in("targets", 0, "public_key", value="0x"), errors.UnknownMember),
        (set_in("targets", value=None), errors.WrongType),
        (set_in("aggregators", 0, "rank", value=-1), errors.IntegerOutOfRange),
        (set_in("aggregators", 0, "rank", value=64), errors.IntegerOutOfRange),
        (set_in("aggregators", 0, "id", value="a"), errors.UnknownMember),
        (set_in("sequencer", value=[]), errors.WrongType),
        (set_in("sequencer", "app", value=""), errors.UnknownValue),
        (set_in("sequencer", "threshold_percent", value=0), errors.IntegerOutOfRange),
        (set_in("sequencer", "threshold_percent", value=101), errors.IntegerOutOfRange),
        (set_in("sequencer", "nodes_sha256", value=["0x" + "00" * 31]), errors.InvalidHex),
        (set_in("sequencer", "nodes_sha256", value=to_hex(bytes(32))), errors.WrongType),
        (set_in("sequencer", "nodes_sha256", value=[]), errors.UnknownValue),
        (
            set_in("sequencer", "nodes_sha256", value=[to_hex(bytes([n] * 32)) for n in range(5)]),
            errors.UnknownValue,
        ),
        (set_in("epoch", value=-1), errors.IntegerOutOfRange),
        (set_in("epoch", value=4096), errors.IntegerOutOfRange),
        (set_in("network", value="0x"), errors.InvalidHex),
        (set_in("previous", value=None), errors.WrongType),
        (set_in("sealed", value={"size": 1}), errors.MissingMember),
        (set_in("sealed", "root", value="0x"), errors.InvalidHex),
        (set_in("sealed", "more", value=1), errors.UnknownMember),
        (set_in("sequencer", "url", value="http://a:1"), errors.UnknownMember),
        (set_in("id", value="0x"), errors.UnknownMember),
    ],
)
def test_an_invalid_file_is_refused(
    change: Callable[[File], None], refusal: type[errors.InvalidEncoding]
) -> None:
    file = valid_file()

    change(file)

    assert refusal_of(file) is refusal


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ((), "name"),
        ((), "genesis"),
        ((), "operators"),
        ((), "sequencer"),
        (("operators", 0), "id"),
        (("operators", 0), "url"),
        (("operators", 0), "public_key"),
        (("experts", 0), "id"),
        (("experts", 0), "public_key"),
        (("targets", 0), "id"),
        (("targets", 0), "url"),
        (("aggregators", 0), "url"),
        (("aggregators", 0), "rank"),
        (("sequencer",), "app"),
        (("sequencer",), "threshold_percent"),
        (("sequencer",), "nodes_sha256"),
    ],
)
def test_a_missing_member_without_default_is_refused(
    place: tuple[str | int, ...], name: str
) -> None:
    file: Any = valid_file()
    holder = file
    for step in place:
        holder = holder[step]

    del holder[name]

    assert refusal_of(file) is errors.MissingMember


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"null", b'{"name":"a","name":"b"}', b'{"genesis":1.5}']
)
def test_a_file_that_is_not_a_strict_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(errors.InvalidEncoding):
        Committee.load(raw)


def test_a_file_of_more_than_a_mebibyte_is_not_parsed() -> None:
    raw = canonical(valid_file())

    Committee.load(raw.ljust(MAX_FILE_BYTES))
    with pytest.raises(errors.InvalidEncoding):
        Committee.load(raw.ljust(MAX_FILE_BYTES + 1))


@pytest.mark.parametrize(
    "url",
    [
        "http://a",
        "http://operator-1:5001",
        "http://operator.example:8443/api/v1",
        "http://10.0.0.1:80",
        "http://[::1]:5001",
    ],
)
def test_a_url_is_accepted(url: str) -> None:
    file = valid_file()

    file["operators"][0]["url"] = url

    assert load(file).urls["operator_1"] == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "operator-1",
        "operator-1:5001",
        "//operator-1",
        "ftp://a",
        "file:///etc/passwd",
        "javascript:0",
        "http:a",
        "http://",
        "http:///path",
        "http://:80",
        "http://a:0",
        "http://a:65536",
        "http://a:-1",
        "http://a:80:90",
        "http://a:port",
        "http://a:８０",
        "http://[::1",
        "http://user@a",
        "http://user:pw@a",
        "http://a@b:80",
        "http://a?q=1",
        "http://a/?q",
        "http://a#f",
        "http://a/",
        "http://a/b/",
        "http://ä",
        "http://a\u2024b",
        "http://a?",
        "http://a#",
        "http://@host",
        "http://:pw@host",
        "http://a\tb",
        "http://a\n.b",
        "http://a\n",
        "http://a b",
        " http://a",
        "http://a/ ",
        "http://a\\.b",
        "http://ho\x00st",
        "http://a:",
        "http://a/x?",
        "http://a/x y",
        "http://a%00b",
        "http://..",
        "http://*",
        "HTTP://A",
        "HTTPS://a",
        "https:/a",
        "httpss://a",
        "https://user@a",
        "https://a/",
        "wss://a",
        "http://a/../b",
        "http://" + "a" * 250,
    ],
)
@pytest.mark.parametrize("listed", ["operators", "targets", "aggregators"])
def test_an_ambiguous_url_is_refused(listed: str, url: str) -> None:
    file = valid_file()

    file[listed][0]["url"] = url

    assert refusal_of(file) is errors.UnknownValue


@pytest.mark.parametrize("url", ["https://a", "https://a.example:8443/x", "https://[::1]:5001"])
@pytest.mark.parametrize("listed", ["operators", "targets", "aggregators"])
def test_http_and_https_urls_can_be_mixed(listed: str, url: str) -> None:
    file = valid_file()

    file[listed][0]["url"] = url

    committee = load(file)
    assert url in {*committee.urls.values(), *(one.url for one in committee.aggregators)}
    assert any(other.startswith("http://") for other in committee.urls.values())


# -- quorums ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operators", "faults", "byzantine", "majority", "outages"),
    [
        (3, 0, 2, 2, 1),
        (4, 1, 3, 3, 1),
        (5, 1, 4, 3, 1),
        (6, 1, 4, 4, 2),
        (7, 2, 5, 4, 2),
        (8, 2, 6, 5, 2),
        (9, 2, 6, 5, 3),
        (10, 3, 7, 6, 3),
    ],
)
def test_the_table_of_quorums(
    operators: int, faults: int, byzantine: int, majority: int, outages: int
) -> None:
    assert byzantine_faults(operators) == faults
    assert quorum_of("byzantine", operators) == byzantine
    assert quorum_of("majority", operators) == majority
    assert operators - quorum_of("byzantine", operators) == outages


@given(st.integers(3, 4096))
def test_two_byzantine_quorums_share_more_members_than_can_be_faulty(operators: int) -> None:
    quorum, faults = quorum_of("byzantine", operators), byzantine_faults(operators)

    shared_at_least = 2 * quorum - operators

    assert shared_at_least > faults


@given(st.integers(3, 4096))
def test_a_byzantine_quorum_is_reached_without_the_faulty_ones(operators: int) -> None:
    assert quorum_of("byzantine", operators) <= operators - byzantine_faults(operators)
    assert quorum_of("byzantine", operators) <= operators - 1


@given(st.integers(3, 4096))
def test_two_majorities_share_at_least_one_member(operators: int) -> None:
    shared_at_least = 2 * quorum_of("majority", operators) - operators

    assert shared_at_least == (1 if operators % 2 else 2)


@given(st.integers(3, 40), st.data())
def test_two_byzantine_quorums_of_any_members_share_an_honest_one(
    operators: int, data: st.DataObject
) -> None:
    everybody = list(range(operators))
    quorum, faults = quorum_of("byzantine", operators), byzantine_faults(operators)
    one = set(data.draw(st.permutations(everybody))[:quorum])
    other = set(data.draw(st.permutations(everybody))[:quorum])
    liars = set(data.draw(st.permutations(everybody))[:faults])

    assert (one & other) - liars


@pytest.mark.parametrize("rule", [1, 3, 17])
def test_a_quorum_that_is_a_number_is_that_number(rule: int) -> None:
    assert quorum_of(rule, 20) == rule


@pytest.mark.parametrize("kind", ["status", "downtime", "checkpoint", "window"])
@pytest.mark.parametrize(
    ("operators", "reachable"), [(3, {2}), (4, {3}), (5, {3, 4}), (6, {4, 5}), (7, {4, 5, 6})]
)
def test_a_quorum_must_be_more_than_half_and_fewer_than_all(
    kind: str, operators: int, reachable: set[int]
) -> None:
    """With half, two quorums could contradict each other; with all, the subject would be needed."""
    valid = make_members(operators).committee

    for needed in range(1, operators + 2):
        rules = {**valid.quorum_rules, kind: needed}
        committee = dataclasses.replace(valid, quorum_rules=rules)

        if needed in reachable:
            committee.check()
            assert committee.quorum(kind) == needed
        else:
            with pytest.raises(errors.UnreachableQuorum) as refused:
                committee.check()
            assert refused.value.facts == {"kind": kind, "needed": needed}


@pytest.mark.parametrize("rule", ["byzantine", "majority"])
@pytest.mark.parametrize("operators", range(3, 11))
def test_the_named_quorums_are_always_reachable(rule: QuorumRule, operators: int) -> None:
    kinds = ("status", "downtime", "checkpoint", "window")

    make_members(operators, rules=dict.fromkeys(kinds, rule)).committee.check()


def test_a_kind_without_a_rule_has_no_quorum() -> None:
    with pytest.raises(KeyError):
        MEMBERS.committee.quorum("weather")


# -- the largest event -----------------------------------------------------------------------------

LARGEST = 120  # operators with ids of 32 characters
CROWD = make_members(LARGEST + 1)


def with_long_ids(count: int) -> Committee:
    """Return a committee of `count` operators with ids of 32 characters."""
    operators = [
        dataclasses.replace(operator, id=f"{operator.id:x<32}")
        for operator in CROWD.committee.operators[:count]
    ]
    return dataclasses.replace(CROWD.committee, operators=tuple(operators))


def largest_event(operators: tuple[Operator, ...]) -> int:
    """Return the size of a batch with the longest possible window event, signed by all."""
    digits = "0x" + "0" * 64
    event: dict[str, Json] = {
        "kind": "window",
        "stream": digits,
        "number": 9007199254740991,
        "previous": digits,
        "header": digits,
        "verdict": "invalid",
        "reason": "statement",
        "proof": digits,
        "parameters": "p" * 32,
        "timestamp": 9007199254740991,
        "aggregated_signature": "0x" + "0" * 192,
        "aggregated_public_key": "0x" + "0" * 96,
        "signers": [operator.id for operator in operators],
        "committee": digits,
    }
    return len(canonical([event]))


def test_a_committee_is_as_large_as_its_largest_event_allows() -> None:
    largest, beyond = with_long_ids(LARGEST), with_long_ids(LARGEST + 1)

    largest.check()
    with pytest.raises(errors.OversizedEvent) as refused:
        beyond.check()

    assert largest_event(largest.operators) <= MAX_BATCH_BYTES == 5120
    assert refused.value.facts == {"bytes": largest_event(beyond.operators)}


def test_certificates_of_the_largest_committee_fit_into_a_batch() -> None:
    committee = with_long_ids(LARGEST)
    node = committee.operators[0].id
    claim = StatusClaim(node, Status.DOWN, 2**53 - 1)
    event: dict[str, Json] = {
        **claim.to_json(),
        "aggregated_signature": to_hex(bytes(96)),
        "aggregated_public_key": to_hex(bytes(48)),
        "signers": [operator.id for operator in committee.operators],
        "committee": to_hex(committee.id),
    }

    assert len(canonical([event])) <= MAX_BATCH_BYTES


def test_a_status_event_of_four_operators_takes_about_six_hundred_bytes() -> None:
    event = MEMBERS.status("operator_2", Status.DOWN, 7).to_json()

    assert 550 < len(canonical(event)) < 650


# -- nodes and keys --------------------------------------------------------------------------------


def test_the_nodes_are_the_operators_and_the_targets() -> None:
    committee = load(valid_file())

    assert set(committee.urls) == {
        "operator_1",
        "operator_2",
        "operator_3",
        "operator_4",
        "target_1",
        "target_2",
    }
    assert set(committee.keys) == {"operator_1", "operator_2", "operator_3", "operator_4"}
    assert check_node_id(committee, "target_2") == "target_2"


@pytest.mark.parametrize("node_id", ["operator_5", "expert_1", "aggregator-0"])
def test_only_nodes_of_the_committee_are_known(node_id: str) -> None:
    with pytest.raises(errors.UnknownNode):
        check_node_id(load(valid_file()), node_id)


@pytest.mark.parametrize("node_id", ["Operator_1", "", "http://evil:1"])
def test_a_node_id_has_the_form_of_an_id(node_id: str) -> None:
    with pytest.raises(errors.InvalidId):
        check_node_id(MEMBERS.committee, node_id)


# -- rounds ----------------------------------------------------------------------------------------

ROUNDS = Rounds(GENESIS, 5)


@pytest.mark.parametrize(
    ("time", "number"),
    [
        (GENESIS, 0),
        (GENESIS + 4.999, 0),
        (GENESIS + 5, 1),
        (GENESIS + 9.999, 1),
        (GENESIS + 10, 2),
        (GENESIS - 0.001, -1),
        (GENESIS - 5, -1),
        (GENESIS - 5.001, -2),
    ],
)
def test_a_round_includes_its_start_and_excludes_its_end(time: float, number: int) -> None:
    assert ROUNDS.number(time) == number


@given(st.integers(0, 10**9), st.integers(2, 3600), st.integers(0, 10**6))
def test_a_round_begins_where_the_previous_one_ends(
    genesis: int, seconds: int, number: int
) -> None:
    rounds = Rounds(genesis, seconds)

    start = rounds.start(number)

    assert rounds.number(start) == number
    assert rounds.number(start + seconds - 1) == number
    assert rounds.number(start + seconds) == number + 1
    assert rounds.number(start - 1) == number - 1
    assert rounds.starts_at(start)
    assert not rounds.starts_at(start + 1)
    assert not rounds.starts_at(start - 1)


def test_no_round_starts_before_the_genesis() -> None:
    assert ROUNDS.starts_at(GENESIS)
    assert not ROUNDS.starts_at(GENESIS - 5)


@pytest.mark.parametrize(
    ("offset", "inside"),
    [
        (-2.001, False),
        (-2, True),
        (0, True),
        (5, True),
        (9.5, True),
        (9.501, False),
        (60, False),
    ],
)
def test_a_round_may_be_signed_from_two_seconds_before_it_to_half_a_round_and_two_after(
    offset: float, inside: bool
) -> None:
    assert ROUNDS.in_signing_span(100, ROUNDS.start(100) + offset) is inside


@given(st.integers(2, 3600), st.integers(0, 10**6), st.floats(-8000, 8000))
def test_the_signing_span_depends_only_on_the_round(
    seconds: int, number: int, offset: float
) -> None:
    rounds = Rounds(GENESIS, seconds)
    time = rounds.start(number) + offset

    inside = rounds.in_signing_span(number, time)

    begins, ends = rounds.start(number) - 2, rounds.start(number + 1) + seconds / 2 + 2
    assert inside is (begins <= time <= ends)


@pytest.mark.parametrize(
    ("seconds", "probe", "gather", "max_age"),
    [
        (2, 0.4, 1.0, 60),
        (4, 0.8, 2.0, 60),
        (5, 1.0, 2.5, 60),
        (6, 1.2, 3.0, 72),
        (60, 12.0, 30.0, 720),
    ],
)
def test_the_timers_follow_from_the_round(
    seconds: int, probe: float, gather: float, max_age: int
) -> None:
    rounds = Rounds(GENESIS, seconds)

    assert rounds.probe_deadline_seconds == pytest.approx(probe)
    assert rounds.collect_deadline_seconds == pytest.approx(gather)
    assert rounds.max_age == max_age


@given(st.integers(2, 3600))
def test_all_probes_of_a_change_fit_into_the_detection_guarantee(seconds: int) -> None:
    rounds = Rounds(GENESIS, seconds)

    last_probe_begins = rounds.reprobe_pause_seconds + 2 * rounds.probe_deadline_seconds

    assert rounds.reprobe_pause_seconds <= 0.3
    assert last_probe_begins < rounds.seconds / 2 + rounds.probe_deadline_seconds


def test_a_file_is_as_long_as_its_encoding() -> None:
    """Other services get the encoding. They would refuse one that is too long, and wait for it."""
    made = make_members(3).committee
    optional = {"epoch", "network", "previous", "sealed", "quorum", "experts", "round_seconds"}

    def compact(hosts: list[str]) -> bytes:
        """Return a file without its optional members."""
        listed = [Target(f"t{at:04}", f"http://{host}") for at, host in enumerate(hosts)]
        whole = dataclasses.replace(made, targets=tuple(listed)).to_json()
        return canonical({name: value for name, value in whole.items() if name not in optional})

    two, three = (len(compact(["u"] * count)) for count in (2, 3))
    each = three - two + 239  # bytes of a target with 240 characters
    count, room = divmod(MAX_FILE_BYTES - two, each)
    half = room // 2
    raw = compact(["u" * (1 + half), "u" * (1 + room - half), *["u" * 240] * count])
    assert len(raw) == MAX_FILE_BYTES

    with pytest.raises(errors.TooLarge, match="the encoded committee has"):
        Committee.load(raw)
