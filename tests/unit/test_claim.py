"""The roots that are signed: pinned, computed again by hand, and kept apart by their domains."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragon import errors
from dragon.claim import RefusalReason, Status, StatusAnswer, StatusClaim, Suspicion, root
from dragon.encoding import Json, Members, canonical

COMMITTEE = bytes(range(32))
OTHER_COMMITTEE = bytes(32)

OUTAGE = StatusClaim("operator_2", Status.DOWN, 1_732_522_695)
ANSWER = StatusAnswer("operator_2", Status.UP, 1_732_522_695_123, bytes(range(16)))
DOUBT = Suspicion("operator_2", Status.DOWN, 1_732_522_695, "operator_1")

Claim = StatusClaim | StatusAnswer | Suspicion
CLAIMS: list[Claim] = [OUTAGE, ANSWER, DOUBT]
TEXTS = {
    "status": '{"node_id":"operator_2","status":"down","timestamp":1732522695}',
    "status-answer": (
        '{"node_id":"operator_2","nonce":"0x000102030405060708090a0b0c0d0e0f",'
        '"status":"up","time_ms":1732522695123}'
    ),
    "suspicion": (
        '{"node_id":"operator_2","operator":"operator_1","status":"down","timestamp":1732522695}'
    ),
}
ROOTS = {
    "status": "8bfc66c63df9024a8aabcf96ae4bc9d10abc74d5a9de95e2cfa7a93ce36e846f",
    "status-answer": "aeacafc27630d36580b15f01bea7ccfaa7af8643dbe752b6c2f96daeee178e57",
    "suspicion": "2034b1e451f50a3ce855d9d9b7dd212c1fb753d335af9b848239a9705442a4c7",
}


def by_hand(kind: str, committee_id: bytes, text: str) -> bytes:
    digest = hashlib.sha256()
    digest.update(b"datadragon/")
    digest.update(kind.encode("ascii"))
    digest.update(b"/v1\x00")
    digest.update(committee_id)
    digest.update(text.encode("utf-8"))
    return digest.digest()


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.KIND)
def test_the_root_of_a_claim_never_changes(claim: Claim) -> None:
    assert claim.root(COMMITTEE).hex() == ROOTS[claim.KIND]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.KIND)
def test_the_root_is_the_hash_of_domain_committee_and_text(claim: Claim) -> None:
    assert canonical(claim.members()) == TEXTS[claim.KIND].encode()
    assert claim.root(COMMITTEE) == by_hand(claim.KIND, COMMITTEE, TEXTS[claim.KIND])


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.KIND)
def test_the_same_members_under_another_kind_have_another_root(claim: Claim) -> None:
    kinds = ["status", "status-answer", "suspicion", "window", "checkpoint", "statu", "status-"]

    roots = {root(kind, COMMITTEE, claim.members()) for kind in kinds}

    assert len(roots) == len(kinds)
    assert claim.root(COMMITTEE) in roots


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.KIND)
def test_the_same_claim_for_another_committee_has_another_root(claim: Claim) -> None:
    assert claim.root(COMMITTEE) != claim.root(OTHER_COMMITTEE)


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        (OUTAGE, {"node_id": "operator_3"}),
        (OUTAGE, {"status": Status.UP}),
        (OUTAGE, {"timestamp": 1_732_522_700}),
        (ANSWER, {"node_id": "operator_3"}),
        (ANSWER, {"status": Status.DOWN}),
        (ANSWER, {"time_ms": 1_732_522_695_124}),
        (ANSWER, {"nonce": bytes(16)}),
        (ANSWER, {"nonce": bytes(range(17))}),
        (DOUBT, {"node_id": "operator_3"}),
        (DOUBT, {"status": Status.UP}),
        (DOUBT, {"timestamp": 1_732_522_700}),
        (DOUBT, {"operator": "operator_4"}),
    ],
)
def test_every_member_is_under_the_root(claim: Claim, changes: dict[str, object]) -> None:
    changed = dataclasses.replace(claim, **changes)  # type: ignore[arg-type]

    assert changed.root(COMMITTEE) != claim.root(COMMITTEE)


IDS = st.from_regex(r"[a-z0-9_-]{1,32}", fullmatch=True)
STATUSES = st.sampled_from(Status)
TIMES = st.integers(0, 2**53 - 1)
ANY_CLAIM = (
    st.builds(StatusClaim, IDS, STATUSES, TIMES)
    | st.builds(StatusAnswer, IDS, STATUSES, TIMES, st.binary(min_size=16, max_size=32))
    | st.builds(Suspicion, IDS, STATUSES, TIMES, IDS)
)


@given(ANY_CLAIM)
def test_a_claim_comes_back_from_its_members(claim: Claim) -> None:
    members = Members(claim.members(), "the claim")

    again = type(claim).take(members)
    members.end()

    assert again == claim
    assert again.root(COMMITTEE) == claim.root(COMMITTEE)


@given(ANY_CLAIM, ANY_CLAIM)
def test_claims_have_the_same_root_only_if_they_are_the_same(one: Claim, other: Claim) -> None:
    assert (one.root(COMMITTEE) == other.root(COMMITTEE)) == (one == other)


def test_a_status_claim_comes_back_from_its_json() -> None:
    value = OUTAGE.to_json()

    assert value == {
        "kind": "status",
        "node_id": "operator_2",
        "status": "down",
        "timestamp": 1_732_522_695,
    }
    assert StatusClaim.from_json(value) == OUTAGE


@pytest.mark.parametrize(
    ("name", "value", "refusal"),
    [
        ("kind", "suspicion", errors.UnknownValue),
        ("kind", 1, errors.WrongType),
        ("node_id", "Operator_2", errors.InvalidId),
        ("node_id", "", errors.InvalidId),
        ("node_id", None, errors.WrongType),
        ("status", "DOWN", errors.UnknownValue),
        ("status", "unknown", errors.UnknownValue),
        ("status", False, errors.WrongType),
        ("timestamp", -5, errors.IntegerOutOfRange),
        ("timestamp", 2**53, errors.IntegerOutOfRange),
        ("timestamp", True, errors.NotAnInteger),
        ("timestamp", "1732522695", errors.WrongType),
        ("operator", "operator_1", errors.UnknownMember),
    ],
)
def test_a_spoiled_status_claim_is_refused(
    name: str, value: Json, refusal: type[errors.InvalidEncoding]
) -> None:
    spoiled = {**OUTAGE.to_json(), name: value}

    with pytest.raises(errors.InvalidEncoding) as refused:
        StatusClaim.from_json(spoiled)

    assert type(refused.value) is refusal


@pytest.mark.parametrize("name", ["kind", "node_id", "status", "timestamp"])
def test_a_status_claim_lacks_no_member(name: str) -> None:
    value = OUTAGE.to_json()
    del value[name]

    with pytest.raises(errors.MissingMember):
        StatusClaim.from_json(value)


@pytest.mark.parametrize("size", [0, 15, 33, 64])
def test_a_nonce_has_sixteen_to_thirty_two_bytes(size: int) -> None:
    spoiled: dict[str, Json] = {**ANSWER.members(), "nonce": "0x" + "00" * size}

    with pytest.raises(errors.InvalidHex):
        StatusAnswer.take(Members(spoiled, "the answer"))


def test_the_reasons_not_to_sign_are_a_closed_list() -> None:
    assert set(RefusalReason) == {
        "sees_up",
        "sees_down",
        "no_change",
        "blind",
        "clock",
        "behind",
        "off_round",
        "unknown_node",
        "subject",
        "equivocation",
        "busy",
        "malformed",
    }
