"""Chunk headers, and the commitments that hide the data."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from committees import make_members
from dragon import errors
from dragon.encoding import Json, canonical, parse, to_hex
from dragon.protocol import merkle
from dragon.protocol.streams.chunks import (
    MAX_CHUNK_BYTES,
    MAX_CHUNKS_BYTES,
    ChunkHeader,
    chunk_headers,
    chunks_from_json,
    decode_chunks,
    digest,
    digest_of,
    encode_chunks,
    opening,
    opening_with_reading,
    salt,
    tree_of,
)
from dragon.stark.blocks import MAX_CHUNKS
from dragon.stark.commitment import READING_SALT_BYTES, commit, committed_reading
from dragon.stark.prover.blocks import hash_many
from streams import make_owner

KEY, STREAM = bytes(range(32)), bytes(range(32, 64))
COMMITMENT = bytes(range(1, 33))
HEADER = ChunkHeader(7, 1_732_522_695_123, 4096, COMMITMENT)
NUMBERS = st.integers(0, 2**53 - 1)
HASHES = st.binary(min_size=32, max_size=32)
HEADERS = st.builds(ChunkHeader, NUMBERS, NUMBERS, st.integers(0, MAX_CHUNK_BYTES), HASHES)


# -- salt and opening ------------------------------------------------------------------------------


def test_the_salt_never_changes() -> None:
    assert salt(KEY, STREAM, 7, digest(b"21.5")).hex() == PINNED_SALT


PINNED_SALT = "9a7ac6e81dfffe2cb8df5de6e1c3796fc1afa66ce99e99750fbade20"


@given(HASHES, HASHES, NUMBERS, st.binary(max_size=80))
def test_a_salt_is_an_hmac_over_stream_sequence_and_digest(
    key: bytes, stream: bytes, sequence: int, data: bytes
) -> None:
    message = stream + sequence.to_bytes(8, "big") + hashlib.sha256(data).digest()
    expected = hmac.new(key, message, hashlib.sha256).digest()[:28]

    whole = opening(key, stream, sequence, digest(data))

    assert whole == hashlib.sha256(data).digest() + expected
    assert len(whole) == 60
    assert digest_of(whole) == digest(data)


def test_different_data_sequence_stream_or_key_has_a_different_salt() -> None:
    salts = {
        salt(KEY, STREAM, 7, digest(b"a")),
        salt(STREAM, STREAM, 7, digest(b"a")),
        salt(KEY, KEY, 7, digest(b"a")),
        salt(KEY, STREAM, 8, digest(b"a")),
        salt(KEY, STREAM, 7, digest(b"b")),
    }

    assert len(salts) == 5


@pytest.mark.parametrize("sizes", [(31, 32, 32), (32, 33, 32), (32, 32, 0)])
def test_parts_of_a_salt_with_a_wrong_length_are_refused(sizes: tuple[int, int, int]) -> None:
    """Otherwise different parts could have the same concatenation."""
    key, stream, digest_ = (bytes(size) for size in sizes)

    with pytest.raises(ValueError, match="32 bytes"):
        salt(key, stream, 0, digest_)


@given(HASHES, HASHES, NUMBERS, HASHES, st.integers(-(2**59), 2**59 - 1))
def test_an_opening_with_a_reading_ends_in_a_shorter_salt_and_the_value(
    key: bytes, stream: bytes, sequence: int, hashed: bytes, value: int
) -> None:
    whole = opening_with_reading(key, stream, sequence, hashed, value)

    assert whole[:32] == hashed
    assert whole[32:52] == salt(key, stream, sequence, hashed)[:20]
    assert whole[32:52] == salt(key, stream, sequence, hashed, READING_SALT_BYTES)
    assert whole[52:] == (value + 2**59).to_bytes(8, "big")
    assert committed_reading(whole) == value


@pytest.mark.parametrize("value", [-(2**59) - 1, 2**59])
def test_a_value_that_is_no_reading_is_not_committed_to(value: int) -> None:
    with pytest.raises(errors.ProofRefused):
        opening_with_reading(KEY, STREAM, 7, digest(b"1"), value)


# -- headers ---------------------------------------------------------------------------------------


def test_the_leaf_of_a_chunk_never_changes() -> None:
    assert (
        HEADER.leaf()
        == (
            f'{{"commitment":"{to_hex(COMMITMENT)}","length":4096,'
            '"received_ms":1732522695123,"sequence":7}'
        ).encode()
    )


@given(HEADERS)
def test_a_chunk_header_is_restored_from_its_leaf(header: ChunkHeader) -> None:
    assert ChunkHeader.from_json(parse(header.leaf())) == header


@pytest.mark.parametrize(
    ("name", "value", "refusal"),
    [
        ("sequence", -1, errors.IntegerOutOfRange),
        ("sequence", "7", errors.WrongType),
        ("received_ms", 2**53, errors.IntegerOutOfRange),
        ("received_ms", True, errors.NotAnInteger),
        ("length", 65_537, errors.IntegerOutOfRange),
        ("length", -1, errors.IntegerOutOfRange),
        ("commitment", "0x" + "00" * 31, errors.InvalidHex),
        ("digest", "0x", errors.UnknownMember),
    ],
)
def test_an_invalid_chunk_header_is_refused(
    name: str, value: Json, refusal: type[errors.DragonError]
) -> None:
    with pytest.raises(errors.DragonError) as refused:
        ChunkHeader.from_json({**HEADER.members(), name: value})

    assert type(refused.value) is refusal


@pytest.mark.parametrize("name", list(HEADER.members()))
def test_a_chunk_header_without_a_member_is_refused(name: str) -> None:
    value: dict[str, Any] = HEADER.members()
    del value[name]

    with pytest.raises(errors.MissingMember):
        ChunkHeader.from_json(value)


@given(st.lists(HEADERS, min_size=1, max_size=9))
def test_the_chunk_headers_of_a_window_are_one_object(headers: list[ChunkHeader]) -> None:
    raw = encode_chunks(headers)

    assert decode_chunks(raw) == tuple(headers)
    assert raw == canonical([header.members() for header in headers])


@given(
    st.lists(HEADERS, min_size=1, max_size=3),
    st.data(),
    st.sampled_from([b"", b"0", b"9", b"-", b"a", b"A", b"x", b" ", b",", b'"', b"}", b"]", b"\n"]),
)
def test_other_bytes_are_decoded_as_json_decides(
    headers: list[ChunkHeader], data: st.DataObject, put: bytes
) -> None:
    """Canonical JSON is decoded in a faster way, which must accept nothing more."""
    raw = encode_chunks(headers)
    at, cut = data.draw(st.integers(0, len(raw))), data.draw(st.integers(0, 3))
    changed = raw[:at] + put + raw[at + cut :]

    def outcome(decode: Callable[[], object]) -> object:
        try:
            return decode()
        except errors.DragonError as error:
            return type(error)

    def as_json() -> object:
        value = parse(changed)
        if not isinstance(value, list):
            raise errors.WrongType("no array")
        return chunks_from_json(value)

    assert outcome(lambda: decode_chunks(changed)) == outcome(as_json)


@pytest.mark.parametrize(
    "header",
    [
        ChunkHeader(2**53, 5, 5, COMMITMENT),
        ChunkHeader(5, 2**53, 5, COMMITMENT),
        ChunkHeader(5, 5, MAX_CHUNK_BYTES + 1, COMMITMENT),
    ],
    ids=["sequence", "time", "length"],
)
def test_a_number_out_of_range_is_refused_in_canonical_json_too(header: ChunkHeader) -> None:
    with pytest.raises(errors.IntegerOutOfRange):
        decode_chunks(encode_chunks([HEADER, header]))


def test_the_root_is_that_of_rfc_6962_over_the_headers() -> None:
    headers = [ChunkHeader(n, n, n, COMMITMENT) for n in range(3)]
    hashed = [hashlib.sha256(b"\x00" + header.leaf()).digest() for header in headers]
    left = hashlib.sha256(b"\x01" + hashed[0] + hashed[1]).digest()

    assert tree_of(headers).root() == hashlib.sha256(b"\x01" + left + hashed[2]).digest()
    merkle.verify_inclusion(hashed[2], 2, 3, tree_of(headers).inclusion(2), tree_of(headers).root())


@pytest.mark.parametrize(
    ("raw", "refusal"),
    [
        (b"[]", errors.UnknownValue),
        (b"{}", errors.WrongType),
        (b"[7]", errors.WrongType),
        (b"[", errors.NotJson),
        (b"[" + b"0," * MAX_CHUNKS + b"0]", errors.UnknownValue),
        (b" " * (MAX_CHUNKS_BYTES + 1), errors.TooLarge),
    ],
    ids=["none", "object", "number", "half", "many", "large"],
)
def test_an_invalid_list_of_chunk_headers_is_refused(
    raw: bytes, refusal: type[errors.DragonError]
) -> None:
    with pytest.raises(errors.DragonError) as refused:
        decode_chunks(raw)

    assert type(refused.value) is refusal


def test_the_largest_window_fits() -> None:
    largest = ChunkHeader(2**53 - 1, 2**53 - 1, MAX_CHUNK_BYTES, COMMITMENT)

    assert len(encode_chunks([largest])) * MAX_CHUNKS <= MAX_CHUNKS_BYTES


# -- commitments -----------------------------------------------------------------------------------


def test_the_compiled_commitments_are_those_of_plain_python() -> None:
    openings = [opening(KEY, STREAM, n, digest(bytes([n]))) for n in range(5)]
    received = [(1_732_522_695_000 + n, n) for n in range(5)]

    plain = chunk_headers(40, received, openings)

    assert plain == chunk_headers(40, received, openings, hash_many)
    assert [header.sequence for header in plain] == [40, 41, 42, 43, 44]
    assert [header.commitment for header in plain] == [commit(each) for each in openings]
    assert [(header.received_ms, header.length) for header in plain] == received


# -- hidden data -----------------------------------------------------------------------------------

READING = (4217).to_bytes(4, "big")  # of a sensor; a few thousand values are likely
GUESSES = [guess.to_bytes(4, "big") for guess in range(10_000)]


def test_a_dictionary_attack_finds_short_data_from_its_unsalted_digest() -> None:
    """This shows that the attack in the next test works."""
    seen = hashlib.sha256(READING).digest()

    assert [guess for guess in GUESSES if hashlib.sha256(guess).digest() == seen] == [READING]


def test_a_dictionary_attack_finds_no_salt_without_the_key() -> None:
    """The attacker tries every public value of the stream as the key; none opens the commitment."""
    owner = make_owner(make_members())
    window = owner.window([READING])
    chunk, stream = window.chunks[0], owner.descriptor.id
    public = [bytes(32), stream, owner.descriptor.identity, window.header.hash, chunk.commitment]
    guesses = GUESSES[4200:4230]
    openings = [
        opening(key, stream, chunk.sequence, digest(guess)) for key in public for guess in guesses
    ] + [digest(guess) + bytes(28) for guess in guesses]

    assert chunk.commitment not in hash_many(openings)
    known = [opening(owner.salt_key, stream, 0, digest(guess)) for guess in guesses]
    assert guesses[hash_many(known).index(chunk.commitment)] == READING
