"""What the prover gets for a window: the statement, commitments and openings."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dragon.errors import ChunkDamaged
from dragon.protocol.streams.chunks import decode_chunks
from dragon.stark.commitment import committed_reading, is_opening
from dragon_stream.proof_request import ProofRequest, carried_window
from dragon_stream.store import WindowRow
from dragon_stream.streams import Stream
from local_streams import LocalStreams, cold_chain, with_readings


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalStreams]:
    made = LocalStreams(tmp_path, random.Random(1))
    yield made
    made.close()


@pytest.fixture
def stream(local: LocalStreams) -> Stream:
    """Three windows: the first two claim their readings, and the third does not."""
    made, _ = local.streams.create(with_readings(cold_chain(), 2))
    local.upload(made, b"4.00", b"4.10", b"4.20", b"4.30", b"4.40", b"door open")
    local.close_windows(made)
    return made


def row(local: LocalStreams, stream: Stream, number: int) -> WindowRow:
    return local.store.needed_window(stream.id, number)


def test_the_first_window_carries_nothing(local: LocalStreams, stream: Stream) -> None:
    wanted = ProofRequest.of(local.store, stream.keys, row(local, stream, 0))

    assert wanted.statement is not None
    assert wanted.statement.carried is None
    assert [committed_reading(each) for each in wanted.openings] == [400, 410]
    assert all(map(is_opening, wanted.commitments, wanted.openings))


def test_the_carried_commitment_and_its_opening_come_first(
    local: LocalStreams, stream: Stream
) -> None:
    first, second = row(local, stream, 0), row(local, stream, 1)

    wanted = ProofRequest.of(local.store, stream.keys, second)

    assert wanted.statement is not None
    assert wanted.statement.carried == decode_chunks(first.chunks)[-1].commitment
    assert wanted.commitments[0] == wanted.statement.carried
    assert [committed_reading(each) for each in wanted.openings] == [410, 420, 430]
    assert all(map(is_opening, wanted.commitments, wanted.openings))


def test_a_window_without_the_claim_needs_a_blocks_proof(
    local: LocalStreams, stream: Stream
) -> None:
    third = row(local, stream, 2)

    wanted = ProofRequest.of(local.store, stream.keys, third)

    assert wanted.statement is None
    assert carried_window(local.store, stream.keys, third) is None
    assert wanted.commitments == [chunk.commitment for chunk in decode_chunks(third.chunks)]
    assert all(map(is_opening, wanted.commitments, wanted.openings))


def test_each_attempt_repeats_the_statement(local: LocalStreams, stream: Stream) -> None:
    first, again = (
        ProofRequest.of(local.store, stream.keys, row(local, stream, 1)) for _ in range(2)
    )

    assert first == again


def test_without_the_window_before_it_nothing_is_proven(
    local: LocalStreams, stream: Stream, tmp_path: Path
) -> None:
    second = row(local, stream, 1)
    with closing(sqlite3.connect(tmp_path / "windows.db")) as connection, connection:
        connection.execute("DELETE FROM own_windows WHERE number = 0")

    with pytest.raises(ChunkDamaged, match="lacks window 0"):
        ProofRequest.of(local.store, stream.keys, second)
    assert [str(each) for each in local.damages.of(stream.id)] == ["windows.db: lacks window 0"]


def test_no_secret_is_in_its_repr(local: LocalStreams, stream: Stream) -> None:
    wanted = ProofRequest.of(local.store, stream.keys, row(local, stream, 1))

    for opening in wanted.openings:
        assert repr(opening) not in repr(wanted)
