"""Events, batches, leaves, and entries with their proofs of inclusion."""

from __future__ import annotations

import hashlib
from typing import Any, cast

import pytest

from committees import make_members
from dragon import errors
from dragon.encoding import canonical, parse, to_hex
from dragon.protocol import event
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.log_entry import LogEntry, ProvenEntry
from dragon.protocol.merkle import Tree, leaf_hash
from dragon.protocol.messages import StatusAnswer, Suspicion

FOUR = make_members(4, nodes_sha256=bytes(32))
OUTAGE = FOUR.status("operator_2", Status.DOWN, 139)
Value = dict[str, Any]


def test_a_certificate_is_an_event() -> None:
    assert event.decode(OUTAGE.to_json()) == OUTAGE


@pytest.mark.parametrize("kind", ["status-answer", "suspicion", "stream-header", "weather"])
def test_messages_between_services_are_no_events(kind: str) -> None:
    disguised = cast("Value", OUTAGE.to_json()) | {"kind": kind}

    with pytest.raises(errors.UnknownKind) as refused:
        event.decode(disguised)

    assert refused.value.facts == {"kind": kind}


@pytest.mark.parametrize(
    "statement",
    [
        StatusAnswer("operator_2", Status.DOWN, 1_732_522_695_000, bytes(16)),
        Suspicion("operator_2", Status.DOWN, 1_732_522_695, "operator_1"),
    ],
    ids=lambda statement: statement.KIND,
)
def test_a_signed_statement_of_one_operator_is_no_event(
    statement: StatusAnswer | Suspicion,
) -> None:
    signature = FOUR.secrets["operator_1"].sign(statement.root(FOUR.committee.id))
    value: Value = {
        "kind": statement.KIND,
        **statement.members(),
        "signature": to_hex(signature),
        "committee": to_hex(FOUR.committee.id),
    }

    with pytest.raises(errors.UnknownKind):
        event.decode(value)


def test_a_bare_claim_is_no_event() -> None:
    claim = StatusClaim("operator_2", Status.DOWN, 1_732_522_695)

    with pytest.raises(errors.MissingMember):
        event.decode(claim.to_json())


# -- batches ---------------------------------------------------------------------------------------


def test_a_batch_holds_its_events_in_order() -> None:
    recovery = FOUR.status("operator_2", Status.UP, 150)
    body = canonical([OUTAGE.to_json(), recovery.to_json()]).decode()

    items = event.decode_batch(body)

    assert [event.decode_item(item) for item in items] == [OUTAGE, recovery]


def test_an_empty_batch_holds_no_events() -> None:
    assert event.decode_batch("[]") == []


@pytest.mark.parametrize("body", ["{}", '"[]"', "null", "1", "true", '{"events":[]}'])
def test_a_batch_that_is_not_an_array_is_refused(body: str) -> None:
    with pytest.raises(errors.WrongType):
        event.decode_batch(body)


@pytest.mark.parametrize("body", ["", "[", "[1,]", "[]]", "\x00", "not json", "[" * 100])
def test_a_batch_that_is_not_json_is_refused(body: str) -> None:
    with pytest.raises(errors.NotJson):
        event.decode_batch(body)


@pytest.mark.parametrize(
    ("bad", "refusal"),
    [
        ("{}", errors.MissingMember),
        ("null", errors.WrongType),
        ("[]", errors.WrongType),
        ('"status"', errors.WrongType),
        ('{"kind":"weather"}', errors.UnknownKind),
        ('{"kind":"status","kind":"status"}', errors.DuplicateMember),
        ('{"kind":"status","timestamp":1.5}', errors.NotAnInteger),
        ('{"kind":"status","timestamp":9007199254740992}', errors.IntegerOutOfRange),
        ('{"kind":"\\ud800"}', errors.LoneSurrogate),
        ("[" * 20 + "0" + "]" * 20, errors.NotJson),
    ],
)
def test_an_invalid_event_does_not_affect_the_others(
    bad: str, refusal: type[errors.DragonError]
) -> None:
    good = canonical(OUTAGE.to_json()).decode()

    first, second, third = event.decode_batch(f"[{good},{bad},{good}]")

    assert event.decode_item(first) == event.decode_item(third) == OUTAGE
    with pytest.raises(errors.DragonError) as refused:
        event.decode_item(second)
    assert type(refused.value) is refusal


def test_the_excerpt_of_a_refused_event_is_its_canonical_text() -> None:
    strange, unreadable = event.decode_batch('[{"b":2,"a":1},{"a":1,"a":2}]')

    assert event.excerpt(strange) == '{"a":1,"b":2}'
    assert event.excerpt(unreadable) == ""


# -- leaves ----------------------------------------------------------------------------------------

LEAF = (
    '{"event":{"aggregated_public_key":"0xb1cd39d7f154228c598f1d34b21d56e54e5ab2a56cedbb9b'
    'b4764dea12998189e5fc431f1b618c5feae270fbe3218a1a",'
    '"aggregated_signature":"0x8b0636f8bae1bfb97eaea7fba1f8d5680d2d2ff40b0c79a6'
    "db9d80bcf31c7de85078844961c5f6bf52dbdefc772e42060647d602f22ef558edb62cf963e51bbd"
    'ae3719198f215f108467968d6595d9183dc59804e7acc535240836d11ed7c4e1",'
    '"committee":"0x57b1c688cfb5cf71dc251a54f10316579eaf54fddc1dde37dd9f68b4be2fc360",'
    '"kind":"status","node_id":"operator_2",'
    '"signers":["operator_1","operator_3","operator_4"],'
    '"status":"down","timestamp":1732522695},'
    '"ledger_index":7}'
)


def test_the_leaf_of_an_event_never_changes() -> None:
    assert event.leaf(OUTAGE, 7).decode() == LEAF


def test_the_hash_of_a_leaf_never_changes() -> None:
    hashed = leaf_hash(event.leaf(OUTAGE, 7))

    assert hashed == hashlib.sha256(b"\x00" + LEAF.encode()).digest()
    assert hashed.hex() == "36093d25f3db499daeb757d44cad5434ef94d91243f4e74effe8a335086b6f2c"


def test_the_leaf_covers_the_index_and_not_the_ledgers_time() -> None:
    leaf = event.leaf(OUTAGE, 7)

    assert event.leaf(OUTAGE, 8) != leaf
    entries = [LogEntry(1, OUTAGE, 7, time) for time in (None, 1_732_522_699, 1_732_522_700)]
    assert {entry.leaf_hash for entry in entries} == {leaf_hash(leaf)}


def test_two_events_are_the_same_if_their_claims_are() -> None:
    by_other_signers = FOUR.status("operator_2", Status.UP, 139, list(FOUR.secrets)[:3])
    by_all = FOUR.status("operator_2", Status.UP, 139)

    assert event.root(by_other_signers) == event.root(by_all)
    assert event.root(by_all) == to_hex(by_all.claim.root(FOUR.committee.id))
    assert event.root(by_all) != event.root(OUTAGE)


# -- events with their place in a log --------------------------------------------------------------


def logged_json() -> Value:
    """Return entry 1 of a log of three, in its published form."""
    recovery = FOUR.status("operator_2", Status.UP, 150)
    others = [FOUR.status("operator_3", Status.DOWN, 140), OUTAGE, recovery]
    tree = Tree(leaf_hash(event.leaf(other, 7)) for other in others)
    entry = LogEntry(1, OUTAGE, 7)
    logged = ProvenEntry(entry, 3, tree.root(), tuple(tree.inclusion(1)))
    return cast("Value", logged.to_json())


def verify_logged(value: Value) -> None:
    ProvenEntry.from_json(parse(canonical(value))).verify(FOUR.committee)


def test_a_logged_event_verifies() -> None:
    verify_logged(logged_json())


def test_a_logged_event_is_restored_from_its_json() -> None:
    value = logged_json()

    assert ProvenEntry.from_json(value).to_json() == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("position", 0),
        ("position", 3),
        ("ledger_index", 8),
        ("size", 1),
        ("size", 2),
        ("size", 5),
        ("root", to_hex(bytes(32))),
        ("inclusion", []),
        ("inclusion", [to_hex(bytes(32))] * 2),
        ("inclusion", [to_hex(bytes(32))] * 64),
        ("event", FOUR.status("operator_2", Status.UP, 150).to_json()),
    ],
)
def test_an_event_at_another_place_of_the_log_is_refused(name: str, value: Any) -> None:
    with pytest.raises(errors.InvalidProof):
        verify_logged(logged_json() | {name: value})


def test_an_event_in_a_log_still_needs_its_quorum() -> None:
    value = logged_json()

    value["event"]["signers"].pop()

    with pytest.raises(errors.QuorumNotMet):
        verify_logged(value)


@pytest.mark.parametrize(
    ("name", "value", "refusal"),
    [
        ("position", -1, errors.IntegerOutOfRange),
        ("size", True, errors.NotAnInteger),
        ("root", "0x" + "00" * 31, errors.InvalidHex),
        ("inclusion", "0x", errors.WrongType),
        ("inclusion", [to_hex(bytes(33))], errors.InvalidHex),
        ("inclusion", [to_hex(bytes(31))], errors.InvalidHex),
        ("inclusion", [to_hex(bytes(32))] * 65, errors.UnknownValue),
        ("event", None, errors.WrongType),
        ("note", "", errors.UnknownMember),
    ],
)
def test_an_invalid_logged_event_is_refused(
    name: str, value: Any, refusal: type[errors.InvalidEncoding]
) -> None:
    with pytest.raises(errors.InvalidEncoding) as refused:
        verify_logged(logged_json() | {name: value})

    assert type(refused.value) is refusal


@pytest.mark.parametrize("name", list(logged_json()))
def test_a_logged_event_without_a_member_is_refused(name: str) -> None:
    value = logged_json()

    del value[name]

    with pytest.raises(errors.MissingMember):
        verify_logged(value)
