"""Claims: signed roots, and their JSON form."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragon import errors
from dragon.encoding import Json, Members, canonical
from dragon.protocol.claims import from_json
from dragon.protocol.claims.base import kind_of
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.period import PeriodClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.claims.window import (
    WINDOW_SETS,
    InvalidReason,
    Statement,
    Verdict,
    WindowClaim,
)
from dragon.protocol.messages import StatusAnswer, Suspicion
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.signing import root
from dragon.stark.parameter_sets import SETS

COMMITTEE = bytes(range(32))
OTHER_COMMITTEE = bytes(32)

OUTAGE = StatusClaim("operator_2", Status.DOWN, 1_732_522_695)
ANSWER = StatusAnswer("operator_2", Status.UP, 1_732_522_695_123, bytes(range(16)))
DOUBT = Suspicion("operator_2", Status.DOWN, 1_732_522_695, "operator_1")
LOG_ROOT = bytes(range(100, 132))
STANDING = CheckpointClaim(1234, LOG_ROOT, 1_732_522_755)
ANSWERED = DowntimeClaim("operator_2", 1_732_522_000, 1_732_525_600, 55, 5, 20, 1234, LOG_ROOT)
REPORT = bytes(range(200, 232))
PERIOD = PeriodClaim(1_732_522_000, 1_732_525_600, 5, REPORT, LOG_ROOT, 1234)
STREAM, PREVIOUS, HEADER, PROOF = (bytes([k]) * 32 for k in (1, 2, 3, 4))
WINDOW = WindowClaim(
    *(
        STREAM,
        7,
        PREVIOUS,
        HEADER,
        Verdict.INVALID,
        InvalidReason.STARK,
        PROOF,
        "standard",
        1_732_522_755,
    )
)
ENDORSED = EndorsementClaim(STREAM, 3, 7, Verdict.VALID, LOG_ROOT, "expert_1", 1_732_522_801)

Claim = (
    StatusClaim
    | CheckpointClaim
    | DowntimeClaim
    | PeriodClaim
    | WindowClaim
    | EndorsementClaim
    | StatusAnswer
    | Suspicion
)
CLAIMS: list[Claim] = [OUTAGE, STANDING, ANSWERED, PERIOD, WINDOW, ENDORSED, ANSWER, DOUBT]
TEXTS = {
    "status": '{"node_id":"operator_2","status":"down","timestamp":1732522695}',
    "checkpoint": (
        '{"root":"0x6465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f80818283",'
        '"size":1234,"timestamp":1732522755}'
    ),
    "downtime": (
        '{"from":1732522000,"node_id":"operator_2",'
        '"root":"0x6465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f80818283",'
        '"seconds_down":55,"seconds_maintenance":5,"seconds_unknown":20,"size":1234,"to":1732525600}'
    ),
    "period": (
        '{"from":1732522000,"nodes":5,'
        '"report":"0xc8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7",'
        '"root":"0x6465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f80818283",'
        '"size":1234,"to":1732525600}'
    ),
    "window": (
        '{"header":"0x0303030303030303030303030303030303030303030303030303030303030303",'
        '"number":7,"parameters":"standard",'
        '"previous":"0x0202020202020202020202020202020202020202020202020202020202020202",'
        '"proof":"0x0404040404040404040404040404040404040404040404040404040404040404",'
        '"reason":"stark",'
        '"stream":"0x0101010101010101010101010101010101010101010101010101010101010101",'
        '"timestamp":1732522755,"verdict":"invalid"}'
    ),
    "endorsement": (
        '{"expert":"expert_1","first":3,"last":7,'
        '"note":"0x6465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f80818283",'
        '"stream":"0x0101010101010101010101010101010101010101010101010101010101010101",'
        '"timestamp":1732522801,"verdict":"valid"}'
    ),
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
    "checkpoint": "e682bfc9d7a4c61c97948c11b2d57adce5285dbcc2a24453f415c912b609c71a",
    "downtime": "82ce2ec65b0aaeba975bcf915e61a7b0953fa2d3c7e28442ee16cf0a52335940",
    "period": "b9bcb8035e816cae750a6a8d3c8c28f1a7420217fe59be5f8b6be6c85ec80535",
    "window": "a07be2b43b64a15bfb51b14aef647662b58450a7ebfe4d25c9e80ec7b38939a2",
    "endorsement": "a396329938afc7f79ac4f56ab0840386b5cd1b28a3de6fd781546ece30403010",
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
    kinds = [*TEXTS, "stream-header", "statu", "status-"]

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
        (STANDING, {"size": 1235}),
        (STANDING, {"log_root": bytes(32)}),
        (STANDING, {"timestamp": 1_732_522_760}),
        (ANSWERED, {"node_id": "operator_3"}),
        (ANSWERED, {"begin": 1_732_522_001}),
        (ANSWERED, {"end": 1_732_525_601}),
        (ANSWERED, {"seconds_down": 54}),
        (ANSWERED, {"seconds_maintenance": 4}),
        (ANSWERED, {"seconds_unknown": 21}),
        (ANSWERED, {"size": 1235}),
        (ANSWERED, {"log_root": bytes(32)}),
        (WINDOW, {"stream": PROOF}),
        (WINDOW, {"number": 8}),
        (WINDOW, {"previous": PROOF}),
        (WINDOW, {"header": PROOF}),
        (WINDOW, {"verdict": Verdict.VALID}),
        (WINDOW, {"reason": InvalidReason.ROOT}),
        (WINDOW, {"proof": STREAM}),
        (WINDOW, {"parameters": "strong"}),
        (WINDOW, {"timestamp": 1_732_522_760}),
        (WINDOW, {"statement": Statement.READINGS}),
        (WINDOW, {"statement": Statement.BLOCKS}),
        (ENDORSED, {"stream": PROOF}),
        (ENDORSED, {"first": 4}),
        (ENDORSED, {"last": 8}),
        (ENDORSED, {"verdict": Verdict.INVALID}),
        (ENDORSED, {"note": PROOF}),
        (ENDORSED, {"expert": "expert_2"}),
        (ENDORSED, {"timestamp": 1_732_522_802}),
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
def test_the_root_covers_every_member(claim: Claim, changes: dict[str, object]) -> None:
    changed = dataclasses.replace(claim, **changes)  # type: ignore[arg-type]

    assert changed.root(COMMITTEE) != claim.root(COMMITTEE)


IDS = st.from_regex(r"[a-z0-9_-]{1,32}", fullmatch=True)
STATUSES = st.sampled_from(Status)
TIMES = st.integers(0, 2**53 - 1)
ROOT_BYTES = st.binary(min_size=32, max_size=32)
ANY_CLAIM = (
    st.builds(StatusClaim, IDS, STATUSES, TIMES)
    | st.builds(CheckpointClaim, st.integers(1, 2**53 - 1), ROOT_BYTES, TIMES)
    | st.builds(
        lambda node_id, begin, up, down, unknown, size, root_: DowntimeClaim(
            node_id, begin, begin + 1 + up + down + unknown, down, down // 2, unknown, size, root_
        ),
        IDS,
        *(st.integers(0, 2**50) for _ in range(4)),
        TIMES,
        ROOT_BYTES,
    )
    | st.builds(
        lambda reason, *rest: WindowClaim(
            *rest[:4],
            Verdict.VALID if reason is InvalidReason.NONE else Verdict.INVALID,
            reason,
            *rest[4:],
        ),
        st.sampled_from(InvalidReason),
        ROOT_BYTES,
        TIMES,
        *(ROOT_BYTES for _ in range(3)),
        st.sampled_from(WINDOW_SETS),
        TIMES,
        st.sampled_from([None, *Statement]),
    )
    | st.builds(
        lambda stream, first, more, *rest: EndorsementClaim(stream, first, first + more, *rest),
        ROOT_BYTES,
        st.integers(0, 2**52 - 1),
        st.integers(0, 2**52 - 1),
        st.sampled_from(Verdict),
        ROOT_BYTES,
        IDS,
        TIMES,
    )
    | st.builds(StatusAnswer, IDS, STATUSES, TIMES, st.binary(min_size=16, max_size=32))
    | st.builds(Suspicion, IDS, STATUSES, TIMES, IDS)
)


@given(ANY_CLAIM)
def test_a_claim_is_restored_from_its_members(claim: Claim) -> None:
    members = Members(claim.members(), "the claim")

    again = type(claim).take(members)
    members.end()

    assert again == claim
    assert again.root(COMMITTEE) == claim.root(COMMITTEE)


@given(ANY_CLAIM, ANY_CLAIM)
def test_different_claims_have_different_roots(one: Claim, other: Claim) -> None:
    assert (one.root(COMMITTEE) == other.root(COMMITTEE)) == (one == other)


def test_a_status_claim_is_restored_from_its_json() -> None:
    value = OUTAGE.to_json()

    assert value == {
        "kind": "status",
        "node_id": "operator_2",
        "status": "down",
        "timestamp": 1_732_522_695,
    }
    assert from_json(value) == OUTAGE


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
def test_an_invalid_status_claim_is_refused(
    name: str, value: Json, refusal: type[errors.InvalidEncoding]
) -> None:
    spoiled = {**OUTAGE.to_json(), name: value}

    with pytest.raises(errors.InvalidEncoding) as refused:
        from_json(spoiled)

    assert type(refused.value) is refusal


CERTIFIED = [OUTAGE, STANDING, ANSWERED, PERIOD, WINDOW]


@pytest.mark.parametrize("claim", CERTIFIED, ids=lambda claim: claim.KIND)
def test_a_claim_is_restored_by_its_kind(
    claim: StatusClaim | CheckpointClaim | DowntimeClaim | PeriodClaim | WindowClaim,
) -> None:
    value = claim.to_json()

    assert from_json(value) == claim
    for kind in ("suspicion", "status-answer", "endorsement", "stream-header"):
        with pytest.raises(errors.UnknownValue):
            from_json({**value, "kind": kind})
    for name in value:
        with pytest.raises(errors.MissingMember):
            from_json({key: value[key] for key in value if key != name})
    with pytest.raises(errors.UnknownMember):
        from_json({**value, "more": 1})


@pytest.mark.parametrize(
    ("claim", "changes", "refusal"),
    [
        (STANDING, {"size": 0}, errors.IntegerOutOfRange),
        (STANDING, {"size": True}, errors.NotAnInteger),
        (STANDING, {"root": "0x00"}, errors.InvalidHex),
        (STANDING, {"timestamp": -5}, errors.IntegerOutOfRange),
        (ANSWERED, {"node_id": "Operator_2"}, errors.InvalidId),
        (ANSWERED, {"from": -1}, errors.IntegerOutOfRange),
        (ANSWERED, {"from": 1_732_525_600}, errors.IntegerOutOfRange),
        (ANSWERED, {"to": 1_732_522_000}, errors.IntegerOutOfRange),
        (ANSWERED, {"seconds_down": 3601}, errors.IntegerOutOfRange),
        (ANSWERED, {"seconds_down": 3581}, errors.IntegerOutOfRange),
        (ANSWERED, {"seconds_maintenance": 56}, errors.IntegerOutOfRange),
        (ANSWERED, {"seconds_unknown": 3546}, errors.IntegerOutOfRange),
        (ANSWERED, {"seconds_unknown": "20"}, errors.WrongType),
        (ANSWERED, {"size": -1}, errors.IntegerOutOfRange),
        (ANSWERED, {"root": "0x" + "00" * 33}, errors.InvalidHex),
        (PERIOD, {"from": 1_732_525_600}, errors.IntegerOutOfRange),
        (PERIOD, {"to": 1_732_522_000}, errors.IntegerOutOfRange),
        (PERIOD, {"to": 1_732_522_000 + 366 * 86_400 + 1}, errors.IntegerOutOfRange),
        (PERIOD, {"nodes": 0}, errors.IntegerOutOfRange),
        (PERIOD, {"nodes": 8193}, errors.IntegerOutOfRange),
        (PERIOD, {"report": "0x" + "00" * 31}, errors.InvalidHex),
        (PERIOD, {"size": True}, errors.NotAnInteger),
        (WINDOW, {"stream": "0x" + "00" * 31}, errors.InvalidHex),
        (WINDOW, {"number": -1}, errors.IntegerOutOfRange),
        (WINDOW, {"previous": "0x" + "00" * 33}, errors.InvalidHex),
        (WINDOW, {"header": None}, errors.WrongType),
        (WINDOW, {"verdict": "perhaps"}, errors.UnknownValue),
        (WINDOW, {"verdict": "valid"}, errors.UnknownValue),
        (WINDOW, {"reason": "none"}, errors.UnknownValue),
        (WINDOW, {"reason": "behind"}, errors.UnknownValue),
        (WINDOW, {"reason": None}, errors.WrongType),
        (WINDOW, {"proof": "0x"}, errors.InvalidHex),
        (WINDOW, {"parameters": "ziggy-classic"}, errors.UnknownValue),
        (WINDOW, {"parameters": "test-reference"}, errors.UnknownValue),
        (WINDOW, {"timestamp": -5}, errors.IntegerOutOfRange),
        (WINDOW, {"statement": "none"}, errors.UnknownValue),
        (WINDOW, {"statement": None}, errors.WrongType),
    ],
)
def test_an_invalid_claim_is_refused(
    claim: CheckpointClaim | DowntimeClaim | PeriodClaim | WindowClaim,
    changes: dict[str, Json],
    refusal: type[errors.InvalidEncoding],
) -> None:
    with pytest.raises(errors.InvalidEncoding) as refused:
        from_json({**claim.to_json(), **changes})

    assert type(refused.value) is refusal


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"stream": "0x00"}, errors.InvalidHex),
        ({"first": -1}, errors.IntegerOutOfRange),
        ({"last": 2}, errors.IntegerOutOfRange),
        ({"last": True}, errors.NotAnInteger),
        ({"verdict": "none"}, errors.UnknownValue),
        ({"note": "0x"}, errors.InvalidHex),
        ({"expert": "Expert"}, errors.InvalidId),
        ({"timestamp": "now"}, errors.WrongType),
    ],
)
def test_an_invalid_endorsement_is_refused(
    changes: dict[str, Json], refusal: type[errors.InvalidEncoding]
) -> None:
    with pytest.raises(errors.InvalidEncoding) as refused:
        EndorsementClaim.take(Members({**ENDORSED.members(), **changes}, "the endorsement"))

    assert type(refused.value) is refusal


@pytest.mark.parametrize("statement", Statement)
def test_a_claim_about_a_stream_with_readings_has_one_more_member(statement: Statement) -> None:
    claim = dataclasses.replace(WINDOW, statement=statement)
    value = claim.to_json()

    assert from_json(value) == claim
    assert value == {**WINDOW.to_json(), "statement": str(statement)}
    assert "statement" not in WINDOW.to_json()


@pytest.mark.parametrize(
    ("verdict", "statement", "said"),
    [
        (Verdict.VALID, None, "was valid in the round"),
        (Verdict.VALID, Statement.READINGS, "valid, all committed readings within bounds, in the"),
        (Verdict.VALID, Statement.BLOCKS, "valid, without a claim about its readings, in the"),
        (Verdict.INVALID, None, "was invalid (stark) in the round"),
        (Verdict.INVALID, Statement.READINGS, "was invalid (stark) in the round"),
        (Verdict.INVALID, Statement.BLOCKS, "was invalid (stark) in the round"),
    ],
)
def test_the_sentence_of_a_window_says_what_was_proven(
    verdict: Verdict, statement: Statement | None, said: str
) -> None:
    reason = InvalidReason.NONE if verdict is Verdict.VALID else InvalidReason.STARK
    claim = dataclasses.replace(WINDOW, verdict=verdict, reason=reason, statement=statement)

    assert said in kind_of(claim).sentence(claim)


def test_window_sets_are_the_parameter_sets_that_hide_many_secrets() -> None:
    assert set(WINDOW_SETS) == {"standard", "strong"} < set(SETS)


@pytest.mark.parametrize("name", ["kind", "node_id", "status", "timestamp"])
def test_a_status_claim_without_a_member_is_refused(name: str) -> None:
    value = OUTAGE.to_json()
    del value[name]

    with pytest.raises(errors.MissingMember):
        from_json(value)


@pytest.mark.parametrize("size", [0, 15, 33, 64])
def test_a_nonce_has_sixteen_to_thirty_two_bytes(size: int) -> None:
    spoiled: dict[str, Json] = {**ANSWER.members(), "nonce": "0x" + "00" * size}

    with pytest.raises(errors.InvalidHex):
        StatusAnswer.take(Members(spoiled, "the answer"))


def test_the_refusal_reasons_are_a_closed_list() -> None:
    assert set(RefusalReason) == {
        "sees_up",
        "sees_down",
        "no_change",
        "blind",
        "clock",
        "dns",
        "private_address",
        "too_few_looks",
        "behind",
        "off_round",
        "unknown_node",
        "subject",
        "unapproved",
        "unseated",
        "equivocation",
        "busy",
        "malformed",
    }
