"""Window headers: form, signature, links between windows, and faults."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from py_ecc.bls.ciphersuites import G2ProofOfPossession

from committees import make_members
from dragon import errors
from dragon.encoding import Json, canonical, parse, to_hex
from dragon.protocol.streams.chunks import ChunkHeader, tree_of
from dragon.protocol.streams.window import (
    MAX_HEADER_BYTES,
    WindowHeader,
    chunks_fault,
    close,
    header_fault,
    is_signed,
    outputs,
)
from dragon.stark.blocks import MAX_CHUNKS, window_outputs
from streams import START_MS, Owner, make_owner

Oracle: Any = G2ProofOfPossession  # an independent implementation of the ciphersuite
MEMBERS = make_members()
OWNER = make_owner(MEMBERS)
FIRST = OWNER.window([b"a", b"bb", b"ccc"])
SECOND = OWNER.window([b"dddd", b""], FIRST)
NUMBERS, HASHES = st.integers(0, 2**53 - 1), st.binary(min_size=32, max_size=32)
HEADERS = st.builds(
    WindowHeader,
    *(HASHES, NUMBERS, HASHES, NUMBERS, st.integers(1, MAX_CHUNKS), NUMBERS, NUMBERS, HASHES),
)


# -- form ------------------------------------------------------------------------------------------


def test_a_header_describes_its_window() -> None:
    header = SECOND.header

    assert FIRST.header.previous == OWNER.descriptor.id == header.stream
    assert header.previous == FIRST.header.hash
    assert (FIRST.header.number, FIRST.header.first, FIRST.header.count) == (0, 0, 3)
    assert (header.number, header.first, header.count, header.next_first) == (1, 3, 2, 5)
    assert header.first_received_ms == FIRST.header.last_received_ms + 10 == START_MS + 30
    assert header.last_received_ms == START_MS + 40
    assert header.chunks_root == tree_of(SECOND.chunks).root()


def test_the_hash_of_a_header_is_that_of_its_object() -> None:
    header = dataclasses.replace(FIRST.header, chunks_root=bytes(32))
    text = (
        f'{{"count":3,"first":0,"first_received_ms":{START_MS},'
        f'"last_received_ms":{START_MS + 20},"number":0,"previous":"{to_hex(header.previous)}",'
        f'"root":"{to_hex(bytes(32))}","stream":"{to_hex(header.stream)}"}}'
    )

    assert header.encode() == text.encode()
    assert header.hash == hashlib.sha256(text.encode()).digest()


@given(HEADERS)
def test_a_header_is_restored_from_its_object(header: WindowHeader) -> None:
    raw = header.encode()

    assert WindowHeader.decode(raw) == header
    assert canonical(parse(raw)) == raw
    assert len(raw) <= MAX_HEADER_BYTES


@pytest.mark.parametrize("name", list(FIRST.header.members()))
def test_every_member_is_required_and_covered_by_the_hash(name: str) -> None:
    value: dict[str, Any] = FIRST.header.members()
    changed = {
        **value,
        name: value[name] + 1 if isinstance(value[name], int) else to_hex(b"x" * 32),
    }

    assert WindowHeader.from_json(changed).hash != FIRST.header.hash
    del value[name]
    with pytest.raises(errors.MissingMember):
        WindowHeader.from_json(value)


@pytest.mark.parametrize(
    ("name", "value", "refusal"),
    [
        ("stream", "0x", errors.InvalidHex),
        ("number", -1, errors.IntegerOutOfRange),
        ("previous", None, errors.WrongType),
        ("first", 1.0, errors.NotAnInteger),
        ("count", 0, errors.IntegerOutOfRange),
        ("count", MAX_CHUNKS + 1, errors.IntegerOutOfRange),
        ("first_received_ms", -1, errors.IntegerOutOfRange),
        ("last_received_ms", 2**53, errors.IntegerOutOfRange),
        ("root", "0x" + "AB" * 32, errors.InvalidHex),
        ("signature", "0x", errors.UnknownMember),
    ],
)
def test_an_invalid_header_is_refused(
    name: str, value: Any, refusal: type[errors.DragonError]
) -> None:
    spoiled: dict[str, Json] = {**FIRST.header.members(), name: value}

    with pytest.raises(errors.DragonError) as refused:
        WindowHeader.from_json(spoiled)

    assert type(refused.value) is refusal


def test_a_large_object_is_not_parsed() -> None:
    with pytest.raises(errors.TooLarge):
        WindowHeader.decode(b"[" * (MAX_HEADER_BYTES + 1))


# -- signature -------------------------------------------------------------------------------------


def test_headers_are_signed_with_a_separate_domain() -> None:
    committee, text = MEMBERS.committee.id, FIRST.header.encode()
    signed = hashlib.sha256(b"datadragon/stream-header/v1\x00" + committee + text).digest()

    assert FIRST.header.root(committee) == signed
    assert Oracle.Verify(OWNER.header_secret.public_key().raw, signed, FIRST.signature)
    assert is_signed(FIRST.header, OWNER.descriptor, FIRST.signature)


def test_a_signature_is_valid_for_one_stream_and_header() -> None:
    stranger = make_owner(MEMBERS, "sensor-2")
    elsewhere = make_owner(make_members(name="another"))

    assert not is_signed(FIRST.header, OWNER.descriptor, SECOND.signature)
    assert not is_signed(SECOND.header, OWNER.descriptor, FIRST.signature)
    assert not is_signed(FIRST.header, OWNER.descriptor, bytes(96))
    assert not is_signed(FIRST.header, OWNER.descriptor, b"")
    assert not is_signed(FIRST.header, OWNER.descriptor, stranger.sign(FIRST.header))
    assert not is_signed(FIRST.header, stranger.descriptor, stranger.sign(FIRST.header))
    assert not is_signed(FIRST.header, elsewhere.descriptor, elsewhere.sign(FIRST.header))


# -- links -----------------------------------------------------------------------------------------


def test_closed_windows_have_no_fault() -> None:
    assert header_fault(FIRST.header, None) == ""
    assert header_fault(SECOND.header, FIRST.header) == ""
    assert chunks_fault(FIRST.header, FIRST.chunks) == ""


@pytest.mark.parametrize(
    ("previous", "changes", "why"),
    [
        (None, {"number": 1}, "number must be 0, not 1"),
        (None, {"first": 1}, "first chunk must be chunk 0, not 1"),
        (None, {"last_received_ms": START_MS - 1}, "last chunk has an earlier time"),
        (FIRST, {"number": 0}, "number must be 1, not 0"),
        (FIRST, {"number": 2}, "number must be 1, not 2"),
        (FIRST, {"first": 2}, "first chunk must be chunk 3, not 2"),
        (FIRST, {"first": 4}, "first chunk must be chunk 3, not 4"),
        (FIRST, {"first_received_ms": START_MS + 19}, "first chunk has an earlier time"),
        (FIRST, {"last_received_ms": START_MS + 29}, "last chunk has an earlier time"),
        (FIRST, {"stream": bytes(32)}, "belongs to another stream"),
    ],
)
def test_a_header_that_contradicts_itself_or_its_predecessor_has_a_fault(
    previous: Any, changes: dict[str, Any], why: str
) -> None:
    good = SECOND.header if previous else FIRST.header
    before = previous.header if previous else None

    assert why in header_fault(dataclasses.replace(good, **changes), before)


def test_a_window_may_begin_in_the_millisecond_in_which_the_previous_one_ends() -> None:
    at_once = dataclasses.replace(SECOND.header, first_received_ms=START_MS + 20)

    assert header_fault(at_once, FIRST.header) == ""


def with_chunk(at: int, **changes: Any) -> list[ChunkHeader]:
    chunks = list(FIRST.chunks)
    chunks[at] = dataclasses.replace(chunks[at], **changes)
    return chunks


@pytest.mark.parametrize(
    ("chunks", "why"),
    [
        ([], "states 3 chunks, but there are 0"),
        (FIRST.chunks[:2], "states 3 chunks, but there are 2"),
        ([*FIRST.chunks, FIRST.chunks[2]], "states 3 chunks, but there are 4"),
        (with_chunk(1, sequence=2), "chunk 2 is in the place of chunk 1"),
        ([FIRST.chunks[1], FIRST.chunks[0], FIRST.chunks[2]], "is in the place of chunk 0"),
        (with_chunk(1, received_ms=START_MS - 1), "chunk 1 has an earlier time"),
        (with_chunk(0, received_ms=START_MS - 1), "the times of the first and last chunk differ"),
        (with_chunk(2, received_ms=START_MS + 21), "the times of the first and last chunk differ"),
    ],
)
def test_chunk_headers_that_contradict_the_header_have_a_fault(
    chunks: list[ChunkHeader], why: str
) -> None:
    assert why in chunks_fault(FIRST.header, chunks)


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [FIRST.chunks[0]] * (MAX_CHUNKS + 1),
        [FIRST.chunks[1], FIRST.chunks[0]],
        FIRST.chunks[1:],
    ],
    ids=["none", "many", "turned", "late"],
)
def test_an_invalid_window_cannot_be_closed(chunks: list[ChunkHeader]) -> None:
    with pytest.raises(ValueError, match="chunk"):
        close(OWNER.descriptor, None, chunks)


@given(st.lists(st.lists(st.binary(max_size=6), min_size=1, max_size=5), min_size=1, max_size=4))
def test_consecutive_windows_have_no_fault(data: list[list[bytes]]) -> None:
    previous = None
    for each in data:
        window = FREE.window(each, previous)
        assert header_fault(window.header, previous.header if previous else None) == ""
        assert chunks_fault(window.header, window.chunks) == ""
        previous = window
    assert previous is not None
    assert previous.header.next_first == sum(map(len, data))


class _Unsigned(Owner):
    """An owner that does not sign, to save time."""

    def sign(self, header: WindowHeader) -> bytes:
        return b""


FREE = _Unsigned(**vars(OWNER))


# -- statement -------------------------------------------------------------------------------------


def test_the_statement_covers_the_identity_and_every_commitment() -> None:
    commitments = [chunk.commitment for chunk in FIRST.chunks]

    assert outputs(OWNER.descriptor, FIRST.chunks) == window_outputs(
        OWNER.descriptor.identity, commitments
    )
    assert len(outputs(OWNER.descriptor, FIRST.chunks)) == 4
