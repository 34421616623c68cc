"""Disclosed chunks with readings: number, value, digest and salt, each refused by name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from dragon import errors
from dragon.protocol.streams.chunks import digest, opening_with_reading
from dragon.protocol.streams.disclosure import (
    DisclosureReason,
    check_data,
    check_disclosure,
    committed_number,
)
from dragon.stark.commitment import NO_READING, commit
from dragon.stark.prover.blocks import hash_many
from reading_rules import make_readings

VECTORS = Path(__file__).parents[3] / "vectors" / "readings"
OPENINGS: list[dict[str, Any]] = json.loads((VECTORS / "openings.json").read_text("utf-8"))[
    "openings"
]
READINGS = make_readings()
KEY, STREAM = bytes(range(32)), bytes(range(32, 64))
DATA, SILENT = b'{"temp":4.25}', b'{"temp":null}'


def opening_of(data: bytes, value: int, sequence: int = 7) -> bytes:
    return opening_with_reading(KEY, STREAM, sequence, digest(data), value)


OPENING = opening_of(DATA, 4250)
COMMITMENT = commit(OPENING)


def refusal(data: bytes, opening: bytes, commitment: bytes | None = None) -> str:
    """The reason for which a disclosure is refused."""
    [hashed] = hash_many([opening]) if commitment is None else [commitment]
    with pytest.raises(errors.DisclosureRefused) as refused:
        check_disclosure(READINGS, hashed, opening, data)
    assert refused.value.facts["reason"] == refused.value.reason
    return refused.value.reason


def test_a_disclosed_chunk_shows_its_reading() -> None:
    assert check_disclosure(READINGS, COMMITMENT, OPENING, DATA) == 4250


def test_a_disclosed_message_without_a_reading_shows_that_it_has_none() -> None:
    opening = opening_of(SILENT, NO_READING)

    assert check_disclosure(READINGS, commit(opening), opening, SILENT) is None
    assert committed_number(opening, commit(opening)) is None


@pytest.mark.parametrize("known", OPENINGS, ids=lambda known: str(known["reading"]))
def test_a_known_opening_has_its_reading(known: dict[str, Any]) -> None:
    rule = make_readings(pointer="/reading", scale=0)
    opening, commitment = bytes.fromhex(known["opening"]), bytes.fromhex(known["commitment"])
    reading = None if known["reading"] == NO_READING else known["reading"]

    assert committed_number(opening, commitment) == reading
    assert check_disclosure(rule, commitment, opening, known["data"].encode()) == reading


def test_without_data_the_committed_number_is_shown() -> None:
    assert committed_number(OPENING, COMMITMENT) == 4250


@pytest.mark.parametrize("size", [0, 59, 61, 68])
def test_an_opening_of_the_wrong_size_is_refused(size: int) -> None:
    spoiled = OPENING[:size].ljust(size, b"\0")

    assert refusal(DATA, spoiled, COMMITMENT) == DisclosureReason.SIZE
    with pytest.raises(errors.DisclosureRefused) as refused:
        committed_number(spoiled, COMMITMENT)
    assert refused.value.reason == DisclosureReason.SIZE


@pytest.mark.parametrize("bit", [60, 61, 62, 63])
def test_a_value_with_a_top_bit_is_refused(bit: int) -> None:
    """The proof sees the value modulo 2^60, so such an opening would show another number."""
    value = int.from_bytes(OPENING[52:], "big") | 1 << bit
    spoiled = OPENING[:52] + value.to_bytes(8, "big")

    assert refusal(DATA, spoiled) == DisclosureReason.TOP_BITS
    with pytest.raises(errors.DisclosureRefused) as refused:
        committed_number(spoiled, commit(spoiled))
    assert refused.value.reason == DisclosureReason.TOP_BITS


def test_other_data_is_refused() -> None:
    assert refusal(b'{"temp":4.250}', OPENING) == DisclosureReason.DIGEST


def test_another_digest_is_refused() -> None:
    spoiled = hashlib.sha256(b"else").digest() + OPENING[32:]

    assert refusal(DATA, spoiled) == DisclosureReason.DIGEST
    assert refusal(b"else", spoiled, COMMITMENT) == DisclosureReason.NO_NUMBER


@pytest.mark.parametrize("place", [32, 40, 51])
def test_another_salt_is_refused(place: int) -> None:
    spoiled = bytearray(OPENING)
    spoiled[place] ^= 1

    assert refusal(DATA, bytes(spoiled), COMMITMENT) == DisclosureReason.COMMITMENT


def test_another_commitment_is_refused() -> None:
    other = commit(opening_of(DATA, 4250, sequence=8))

    assert refusal(DATA, OPENING, other) == DisclosureReason.COMMITMENT


@pytest.mark.parametrize("value", [4249, 4251, -4250, 0, 425, 2**59 - 1])
def test_a_value_that_is_not_the_number_in_the_data_is_refused(value: int) -> None:
    assert refusal(DATA, opening_of(DATA, value)) == DisclosureReason.NUMBER


@pytest.mark.parametrize("data", [SILENT, b"ERR", b"", b'{"temp":"4.25"}', b'{"temp":1e17}'])
def test_a_value_where_the_data_has_no_reading_is_refused(data: bytes) -> None:
    assert refusal(data, opening_of(data, 4250)) == DisclosureReason.NO_NUMBER


def test_data_with_a_reading_that_is_not_committed_to_is_refused() -> None:
    assert refusal(DATA, opening_of(DATA, NO_READING)) == DisclosureReason.UNCOMMITTED


def test_the_value_below_the_range_is_no_sentinel() -> None:
    """Only the stored value 0 means that there is no reading."""
    assert refusal(SILENT, opening_of(SILENT, NO_READING + 1)) == DisclosureReason.NO_NUMBER


def test_data_longer_than_the_length_is_refused() -> None:
    longest, longer = DATA.ljust(64), DATA.ljust(65)

    assert check_data(READINGS, opening_of(longest, 4250), longest) == 4250
    assert refusal(longer, opening_of(longer, 4250)) == DisclosureReason.LENGTH


def test_a_changed_value_does_not_open_the_commitment() -> None:
    """An owner who committed to another number cannot disclose the number of the data."""
    committed = commit(opening_of(DATA, 4249))

    assert refusal(DATA, opening_of(DATA, 4250), committed) == DisclosureReason.COMMITMENT
    assert refusal(DATA, opening_of(DATA, 4249), committed) == DisclosureReason.NUMBER


def test_the_opening_of_a_stream_without_readings_is_refused() -> None:
    """Its last bytes are salt: 15 of 16 have a top bit, and the others are not the number."""
    reasons = {
        refusal(DATA, digest(DATA) + hashlib.sha256(bytes([n])).digest()[:28]) for n in range(64)
    }

    assert reasons == {DisclosureReason.TOP_BITS, DisclosureReason.NUMBER}
