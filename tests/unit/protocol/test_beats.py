"""Beats are decoded strictly, and each reason not to count one has its own refusal."""

from __future__ import annotations

import hashlib

import pytest
from py_ecc.bls import G2ProofOfPossession

from committees import make_members, secret, with_heartbeats
from dragon import errors
from dragon.encoding import Members, canonical, to_hex
from dragon.protocol import bls
from dragon.protocol.beats import (
    MAX_CLOCK_OFFSET_MS,
    Beat,
    SignedBeat,
    heartbeat_check,
    heartbeat_checks,
)

NODE = "sensor_1"
MEMBERS = with_heartbeats(make_members(targets=1), NODE, every_seconds=20)
COMMITTEE = MEMBERS.committee
KEY = secret(NODE)
NOW_MS = 1_732_522_000_000
CHECK = heartbeat_check(COMMITTEE, NODE)


def signed(time_ms: int = NOW_MS, key: bls.SecretKey = KEY) -> SignedBeat:
    return SignedBeat.sign(Beat(NODE, time_ms), key, COMMITTEE.network_id)


def take(value: dict[str, object]) -> SignedBeat:
    members = Members(value, "the beat")  # type: ignore[arg-type]
    beat = SignedBeat.take(members)
    members.end()
    return beat


# The signature


def test_the_signed_bytes_are_kind_network_and_canonical_members() -> None:
    members = b'{"node_id":"sensor_1","time_ms":1732522000000}'
    message = b"datadragon/heartbeat/v1\x00" + COMMITTEE.network_id + members

    root = hashlib.sha256(message).digest()

    assert Beat(NODE, NOW_MS).root(COMMITTEE.network_id) == root
    assert canonical(Beat(NODE, NOW_MS).members()) == members
    assert signed().signature == G2ProofOfPossession.Sign(KEY.scalar, root)


def test_a_beat_that_its_target_signed_is_genuine() -> None:
    signed().verify(CHECK, COMMITTEE.network_id)


def test_a_beat_belongs_to_the_network_and_not_to_one_committee() -> None:
    """So a handover changes nothing for the machine."""
    with pytest.raises(errors.BadSignature):
        signed().verify(CHECK, bytes(32))


@pytest.mark.parametrize("of", ["another node", "another time", "another key"])
def test_a_beat_with_the_signature_of_another_one_is_refused(of: str) -> None:
    other = {
        "another node": SignedBeat(Beat("sensor_2", NOW_MS), signed().signature),
        "another time": SignedBeat(Beat(NODE, NOW_MS + 1), signed().signature),
        "another key": signed(key=secret("operator_1")),
    }[of]

    with pytest.raises(errors.BadSignature, match="not signed with the key"):
        other.verify(CHECK, COMMITTEE.network_id)


def test_a_signature_that_is_no_point_is_refused() -> None:
    with pytest.raises(errors.InvalidSignature):
        SignedBeat(Beat(NODE, NOW_MS), bytes(96)).verify(CHECK, COMMITTEE.network_id)


# The form


def test_a_beat_is_decoded_as_it_is_encoded() -> None:
    assert take(dict(signed().to_json())) == signed()


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"node_id": "Sensor 1"}, errors.InvalidId),
        ({"time_ms": -1}, errors.IntegerOutOfRange),
        ({"time_ms": 1.5}, errors.NotAnInteger),
        ({"time_ms": "1732522000000"}, errors.WrongType),
        ({"signature": "0x00"}, errors.InvalidHex),
        ({"nonce": "0x00"}, errors.UnknownMember),
    ],
)
def test_a_beat_of_another_form_is_refused(
    change: dict[str, object], refusal: type[errors.DragonError]
) -> None:
    with pytest.raises(refusal):
        take({**signed().to_json(), **change})


@pytest.mark.parametrize("missing", ["node_id", "time_ms", "signature"])
def test_every_member_of_a_beat_is_needed(missing: str) -> None:
    value = {name: each for name, each in signed().to_json().items() if name != missing}

    with pytest.raises(errors.MissingMember):
        take(dict(value))


# The time


@pytest.mark.parametrize("offset", [-MAX_CLOCK_OFFSET_MS, 0, MAX_CLOCK_OFFSET_MS])
def test_a_clock_within_the_margin_is_good_enough(offset: int) -> None:
    signed(NOW_MS + offset).check_time(NOW_MS)


def test_a_beat_older_than_the_margin_is_refused_with_the_offset() -> None:
    with pytest.raises(errors.BeatTooOld, match="sensor_1 is 95 s behind") as refused:
        signed(NOW_MS - 95_000).check_time(NOW_MS)

    assert refused.value.facts == {"offset_ms": -95_000, "max_offset_ms": 30_000}


def test_a_beat_from_the_future_is_refused_with_the_offset() -> None:
    with pytest.raises(errors.BeatTooEarly, match="3600 s ahead of the receiver") as refused:
        signed(NOW_MS + 3_600_000).check_time(NOW_MS)

    assert refused.value.facts["offset_ms"] == 3_600_000


@pytest.mark.parametrize("newest", [NOW_MS, NOW_MS + 1])
def test_a_beat_that_is_not_later_than_the_newest_is_refused(newest: int) -> None:
    with pytest.raises(errors.BeatNotLater) as refused:
        signed().check_later(newest)

    assert refused.value.facts == {"newest_ms": newest}


@pytest.mark.parametrize("newest", [None, NOW_MS - 1])
def test_a_beat_that_is_later_than_the_newest_counts(newest: int | None) -> None:
    signed().check_later(newest)


# The target


def test_only_heartbeat_targets_have_a_heartbeat_check() -> None:
    assert heartbeat_checks(COMMITTEE) == {NODE: CHECK}
    assert (CHECK.public_key, CHECK.every_seconds) == (KEY.public_key(), 20)
    assert to_hex(CHECK.public_key.raw) == to_hex(KEY.public_key().raw)


def test_a_node_that_is_not_listed_is_refused() -> None:
    with pytest.raises(errors.UnknownNode):
        heartbeat_check(COMMITTEE, "sensor_9")


@pytest.mark.parametrize("node_id", ["operator_1", "target_1"])
def test_a_node_that_sends_no_heartbeats_is_refused(node_id: str) -> None:
    with pytest.raises(errors.NotHeartbeatTarget, match="not a target that sends heartbeats"):
        heartbeat_check(COMMITTEE, node_id)
