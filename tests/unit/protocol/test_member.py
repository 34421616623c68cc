"""Member files: what binds an id and a URL to a key, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from committees import secret
from dragon import errors
from dragon.encoding import canonical, to_hex
from dragon.protocol import signing
from dragon.protocol.committee_file import Expert, Operator
from dragon.protocol.member import MAX_FILE_BYTES, Member, Role

KEY = secret("operator_3")
URL = "https://dragon.example.org:5001"
OPERATOR = Member.sign(Role.OPERATOR, "operator_3", URL, KEY)
EXPERT = Member.sign(Role.EXPERT, "expert_1", None, secret("expert_1"))


def file_of(member: Member) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(canonical(member.to_json()))
    return value


def test_a_member_is_restored_from_its_file() -> None:
    for member in (OPERATOR, EXPERT):
        assert Member.load(canonical(member.to_json())) == member


def test_the_file_has_the_members_that_the_key_signed() -> None:
    signed = {
        "role": "operator",
        "id": "operator_3",
        "url": URL,
        "public_key": to_hex(KEY.public_key().raw),
    }

    assert OPERATOR.signature == KEY.sign(signing.root("member", bytes(32), signed))
    assert list(OPERATOR.to_json()) == [
        *("kind", "role", "id", "url", "public_key", "proof_of_possession", "signature")
    ]
    assert "url" not in EXPERT.to_json()


def test_a_member_is_listed_with_its_own_key() -> None:
    assert OPERATOR.listed() == Operator(
        "operator_3", URL, KEY.public_key(), KEY.prove_possession()
    )
    assert isinstance(EXPERT.listed(), Expert)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "operator_4"},
        {"url": "https://elsewhere.example.org:5001"},
        {"signature": to_hex(bytes(96))},
        {"signature": to_hex(KEY.sign(bytes(32)))},
    ],
)
def test_member_file_of_another_id_is_forged(change: dict[str, str]) -> None:
    with pytest.raises(errors.ForgedMember):
        Member.load(canonical({**file_of(OPERATOR), **change}))


def test_another_key_takes_over_neither_id_nor_url() -> None:
    other = Member.sign(Role.OPERATOR, "operator_4", URL, secret("operator_4"))
    mixed = {**file_of(other), "id": "operator_3"}

    with pytest.raises(errors.ForgedMember):
        Member.load(canonical(mixed))


def test_a_role_cannot_be_changed() -> None:
    as_operator = {**file_of(EXPERT), "role": "operator", "url": URL}

    with pytest.raises(errors.ForgedMember):
        Member.load(canonical(as_operator))


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"kind": "operator"}, errors.UnknownValue),
        ({"role": "voter"}, errors.UnknownValue),
        ({"role": "owner"}, errors.UnknownMember),  # it has no URL
        ({"id": "Operator 3"}, errors.InvalidId),
        ({"url": "dragon.example.org"}, errors.UnknownValue),
        ({"public_key": to_hex(bytes(48))}, errors.InvalidKey),
        ({"proof_of_possession": to_hex(bytes(96))}, errors.UnprovenKey),
        ({"more": 1}, errors.UnknownMember),
    ],
)
def test_an_invalid_file_is_refused(
    change: dict[str, Any], refusal: type[errors.DragonError]
) -> None:
    with pytest.raises(refusal):
        Member.load(canonical({**file_of(OPERATOR), **change}))


def test_an_expert_has_no_url() -> None:
    with pytest.raises(errors.UnknownMember):
        Member.load(canonical({**file_of(EXPERT), "url": URL}))


def test_a_large_file_is_not_read() -> None:
    with pytest.raises(errors.TooLarge):
        Member.load(b" " * (MAX_FILE_BYTES + 1))
