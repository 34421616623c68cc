"""Stream descriptors: all keys are proven, and the id covers all members."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from committees import make_members, secret
from dragon import errors
from dragon.encoding import Json, canonical, parse, to_hex
from dragon.protocol.streams.descriptor import MAX_DESCRIPTOR_BYTES, Descriptor
from streams import make_owner

MEMBERS = make_members()
OWNER = make_owner(MEMBERS)
DESCRIPTOR = OWNER.descriptor
Value = dict[str, Any]


def spoiled(name: str, value: Json) -> bytes:
    return canonical({**DESCRIPTOR.to_json(), name: value})


def test_a_descriptor_is_restored_from_its_object() -> None:
    again = Descriptor.decode(DESCRIPTOR.encode())

    assert again == DESCRIPTOR
    assert again.encode() == canonical(DESCRIPTOR.to_json())


def test_the_id_is_the_hash_of_the_object() -> None:
    text = (
        f'{{"header_key":"{to_hex(secret("headers of sensor-1").public_key().raw)}",'
        f'"identity":"{to_hex(DESCRIPTOR.identity)}","name":"sensor-1",'
        f'"network":"{to_hex(MEMBERS.committee.network_id)}","parameters":"standard",'
        f'"proof_of_possession":"{to_hex(DESCRIPTOR.proof_of_possession)}"}}'
    )

    assert DESCRIPTOR.encode() == text.encode()
    assert DESCRIPTOR.id == hashlib.sha256(text.encode()).digest()


@given(st.from_regex(r"[a-z0-9_-]{1,32}", fullmatch=True), st.sampled_from(["standard", "strong"]))
def test_every_name_and_parameter_set_has_a_different_id(name: str, parameters: str) -> None:
    described = dataclasses.replace(DESCRIPTOR, name=name, parameters=parameters)

    same = (name, parameters) == ("sensor-1", "standard")
    assert (described.id == DESCRIPTOR.id) is same
    assert parse(described.encode()) == described.to_json()


def test_the_id_covers_every_key() -> None:
    other = make_owner(make_members(name="another"), "sensor-2").descriptor
    ids = {
        dataclasses.replace(DESCRIPTOR, **{name: getattr(other, name)}).id
        for name in ("network_id", "identity", "header_key", "proof_of_possession")
    }

    assert len(ids | {DESCRIPTOR.id}) == 5


OTHER_KEY = secret("headers of somebody").public_key().raw
AT_INFINITY = "0xc0" + "00" * 47


@pytest.mark.parametrize(
    ("name", "value", "refusal"),
    [
        ("identity", to_hex(b"\xff" * 32), errors.InvalidIdentity),
        ("header_key", AT_INFINITY, errors.InvalidHeaderKey),
        ("header_key", to_hex(bytes(48)), errors.InvalidHeaderKey),
        ("header_key", to_hex(OTHER_KEY), errors.UnprovenHeaderKey),
        ("proof_of_possession", to_hex(bytes(96)), errors.UnprovenHeaderKey),
        (
            "proof_of_possession",
            to_hex(OWNER.header_secret.sign(OTHER_KEY)),
            errors.UnprovenHeaderKey,
        ),
        ("network", "0x", errors.InvalidHex),
        ("identity", to_hex(bytes(31)), errors.InvalidHex),
        ("parameters", "ziggy-classic", errors.UnknownValue),
        ("parameters", "test-reference", errors.UnknownValue),
        ("name", "Sensor 1", errors.InvalidId),
        ("name", "", errors.InvalidId),
        ("name", "s" * 33, errors.InvalidId),
        ("name", None, errors.WrongType),
        ("more", 1, errors.UnknownMember),
    ],
)
def test_an_invalid_descriptor_is_refused(
    name: str, value: Json, refusal: type[errors.DragonError]
) -> None:
    with pytest.raises(errors.DragonError) as refused:
        Descriptor.decode(spoiled(name, value))

    assert type(refused.value) is refusal


@pytest.mark.parametrize("name", list(DESCRIPTOR.to_json()))
def test_a_descriptor_without_a_member_is_refused(name: str) -> None:
    value = cast("Value", DESCRIPTOR.to_json())
    del value[name]

    with pytest.raises(errors.MissingMember):
        Descriptor.from_json(value)


def test_a_large_object_is_not_parsed() -> None:
    with pytest.raises(errors.TooLarge):
        Descriptor.decode(b"[" * (MAX_DESCRIPTOR_BYTES + 1))

    largest = dataclasses.replace(DESCRIPTOR, name="n" * 32)
    assert len(largest.encode()) < MAX_DESCRIPTOR_BYTES
