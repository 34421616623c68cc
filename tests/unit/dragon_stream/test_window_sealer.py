"""Closing windows of streams with readings: the claim, the openings, and a start after a crash."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragon.encoding import Json
from dragon.protocol.claims.window import Statement
from dragon.protocol.streams.chunks import decode_chunks, digest, salt
from dragon.protocol.streams.closing import HeaderClaim
from dragon.protocol.streams.disclosure import check_disclosure
from dragon.protocol.streams.statements import statement_of, window_statement
from dragon.protocol.streams.window import is_signed
from dragon.stark.commitment import NO_READING, READING_SALT_BYTES, is_opening
from dragon_stream.chunk_readings import ChunkReading, decode
from dragon_stream.store import WindowRow
from dragon_stream.streams import Stream
from dragon_stream.window_sealer import window_openings
from local_streams import LocalStreams, cold_chain, with_readings


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalStreams]:
    made = LocalStreams(tmp_path, random.Random(1))
    yield made
    made.close()


def create(local: LocalStreams, window_chunks: int = 3, **readings: Json) -> Stream:
    return local.streams.create(with_readings(cold_chain(**readings), window_chunks))[0]


def sealed(local: LocalStreams, stream: Stream, *messages: bytes) -> WindowRow:
    """The window of these messages, which are all that is in it."""
    local.upload(stream, *messages)
    local.close_windows(stream, all_chunks=True)
    row = local.store.last_window(stream.id)
    assert row is not None
    assert row.header.count == len(messages)
    return row


def test_a_window_within_bounds_claims_its_readings(local: LocalStreams) -> None:
    stream = create(local)

    row = sealed(local, stream, b"4.00", b"4.5", b"4.25  ")

    assert row.header.claim is HeaderClaim.READINGS
    assert row.statement is Statement.READINGS
    assert row.readings is not None
    assert decode(row.readings) == [
        ChunkReading(400, 4), ChunkReading(450, 3), ChunkReading(425, 6)
    ]  # fmt: skip
    assert is_signed(row.header, stream.keys.descriptor, row.signature)


@pytest.mark.parametrize(
    ("message", "value"),
    [
        (b"1.99", 199),
        (b"8.01", 801),
        (b"-4", -400),
        (b"3.49", 349),  # a step of 0.51
        (b"4.001", NO_READING),  # not exact at this scale
        (b"open", NO_READING),
        (b"", NO_READING),
    ],
)
def test_one_reading_out_of_bounds_makes_the_window_claim_nothing(
    local: LocalStreams, message: bytes, value: int
) -> None:
    stream = create(local)

    row = sealed(local, stream, b"4.00", message, b"4.00")

    assert row.header.claim is HeaderClaim.NONE
    assert row.statement is Statement.BLOCKS
    assert row.header.stated is None
    assert row.readings is not None
    assert decode(row.readings)[1] == ChunkReading(value, len(message))


def test_the_step_from_window_to_window_counts(local: LocalStreams) -> None:
    stream = create(local)

    claims = [
        sealed(local, stream, message).header.claim
        for message in (b"4.00", b"4.50", b"5.01", b"5.00", b"9", b"8", b"8")
    ]

    none, readings = HeaderClaim.NONE, HeaderClaim.READINGS
    assert claims == [readings, readings, none, readings, none, none, readings]


def test_the_header_names_the_last_commitment_only_with_carry(local: LocalStreams) -> None:
    carrying = sealed(local, create(local), b"4.00", b"4.10")
    other = local.streams.create(
        with_readings(cold_chain(carry=False, fall="600", rise="600"), name="other")
    )[0]
    alone = sealed(local, other, b"4.00", b"4.10")

    assert carrying.header.last == decode_chunks(carrying.chunks)[-1].commitment
    assert alone.header.last is None
    assert "last" not in alone.header.members()


def test_a_stated_sum_stands_in_the_header(local: LocalStreams) -> None:
    exact = create(local, sum={"kind": "stated", "width": "0"})
    rough = local.streams.create(
        with_readings(cold_chain(sum={"kind": "stated", "width": "99"}), name="rough")
    )[0]

    assert sealed(local, exact, b"4.01", b"4.02").header.stated == 803
    assert sealed(local, rough, b"4.01", b"4.02").header.stated == 800


def test_all_chunk_headers_state_one_length(local: LocalStreams) -> None:
    row = sealed(local, create(local), b"4", b"4.00        ", b"")

    assert [chunk.length for chunk in decode_chunks(row.chunks)] == [12, 12, 12]
    assert row.lengths() == [1, 12, 0]


def test_openings_disclose_number_digest_and_a_salt_of_20_bytes(local: LocalStreams) -> None:
    stream = create(local)
    messages = (b"4.00", b"no number", b"4.10")
    row = sealed(local, stream, *messages)
    keys = stream.keys

    openings = window_openings(keys, row)

    commitments = [chunk.commitment for chunk in decode_chunks(row.chunks)]
    expected = [400, None, 410]
    for each in zip(openings, commitments, messages, expected, strict=True):
        opened, commitment, data, number = each
        assert stream.readings is not None
        assert check_disclosure(stream.readings, commitment, opened, data) == number
    for sequence, (opened, data) in enumerate(zip(openings, messages, strict=True)):
        size = READING_SALT_BYTES
        assert opened[:32] == digest(data)
        assert opened[32:52] == salt(keys.salt, stream.id, sequence, digest(data), size)


@pytest.mark.parametrize("crash_after", ["chunks", "window"])
def test_after_a_crash_the_window_is_the_same(tmp_path: Path, crash_after: str) -> None:
    """Before the header is on disk, numbers are read from the data again; then they are kept."""
    messages = [b"4.00", b"nothing", b"4.10", b"4.40", b"4.90", b"5.40"]

    def windows(folder: Path, *, crash: bool) -> list[WindowRow]:
        local = LocalStreams(folder, random.Random(1))
        stream = create(local)
        local.upload(stream, *messages)
        if crash_after == "window":
            due = stream.chunker.due_chunks(0)
            stream.sealer.close(local.store, due, 1_000_700)
        if crash:
            local.close()
            local = LocalStreams(folder, random.Random(2))
            stream = local.streams.get(stream.id)
        for row_number in range(crash_after == "window", 2):
            due = stream.chunker.due_chunks(0)
            stream.sealer.close(local.store, due, 1_000_700 + row_number)
        rows = [local.store.needed_window(stream.id, number) for number in range(2)]
        local.close()
        return rows

    one = windows(tmp_path / "crashed", crash=True)
    other = windows(tmp_path / "whole", crash=False)

    assert [row.header for row in one] == [row.header for row in other]
    assert one == other
    assert [row.header.claim for row in one] == [HeaderClaim.NONE, HeaderClaim.READINGS]


# -- random windows, judged by arithmetic of their own --------------------------------------------

VALUES = st.one_of(st.integers(380, 420), st.integers(150, 850), st.none())
SUMS: Sequence[Json] = (
    {"kind": "none"},
    {"kind": "total", "low": "700", "high": "1300"},
    {"kind": "mean", "low": "390", "high": "410"},
    {"kind": "stated", "width": "7"},
)


def written(value: int | None) -> bytes:
    if value is None:
        return b"none"
    sign = "-" if value < 0 else ""
    return f"{sign}{abs(value) // 100}.{abs(value) % 100:02}".encode()


def keeps_bounds(new: Sequence[int | None], before: int | None, kind: str) -> bool:
    """Whether a window keeps the rules of `COLD_CHAIN` and of its sum, without our code."""
    if None in new or any(not 200 <= (value or 0) <= 800 for value in new):
        return False
    numbers = [value for value in new if value is not None]
    line = numbers if before is None else [before, *numbers]
    if any(abs(after - earlier) > 50 for earlier, after in pairwise(line)):
        return False
    if before is not None and not 200 <= before <= 800:
        return False
    total = sum(numbers)
    if kind == "total":
        return 700 <= total <= 1300
    return kind != "mean" or 390 * len(numbers) <= total <= 410 * len(numbers)


@given(
    values=st.lists(VALUES, min_size=1, max_size=8),
    size=st.integers(1, 3),
    rule=st.sampled_from(SUMS),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_claim_of_random_windows_is_right(
    tmp_path_factory: pytest.TempPathFactory,
    values: list[int | None],
    size: int,
    rule: dict[str, Json],
) -> None:
    local = LocalStreams(tmp_path_factory.mktemp("random"), random.Random(3))
    stream = create(local, size, sum=rule)
    local.upload(stream, *map(written, values))
    local.close_windows(stream, all_chunks=True)

    previous, before, first = None, None, 0
    while first < len(values):
        row = local.store.needed_window(stream.id, previous.number + 1 if previous else 0)
        new = values[first : first + size]
        is_kept = keeps_bounds(new, before, str(rule["kind"]))
        assert (row.header.claim is HeaderClaim.READINGS) is is_kept
        assert row.statement is statement_of(stream.keys.descriptor, row.header)
        statement = window_statement(stream.keys.descriptor, row.header, previous)
        assert (statement is not None) is is_kept
        openings = window_openings(stream.keys, row)
        commitments = [chunk.commitment for chunk in decode_chunks(row.chunks)]
        assert all(map(is_opening, commitments, openings))
        last = new[-1]
        previous, first = row.header, first + size
        before = NO_READING if last is None else last
    assert local.store.last_window(stream.id) is not None
    local.close()
