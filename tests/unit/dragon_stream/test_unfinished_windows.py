"""The unfinished windows in memory are always those of the database."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from dragon.errors import ChunkDamaged
from dragon_stream.store import Store
from dragon_stream.streams import Stream, StreamConfig
from dragon_stream.window_state import WindowState
from local_streams import LocalStreams

CONFIG = StreamConfig("sensor", "standard", 64, 1, 1000, "message", 60)


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[LocalStreams]:
    made = LocalStreams(tmp_path, random.Random(1))
    yield made
    made.close()


def close(streams: LocalStreams, stream: Stream, windows: int) -> None:
    """Close windows of one chunk each."""
    streams.upload(stream, *[b"21.5"] * windows)
    for _ in range(windows):
        stream.sealer.close(streams.store, stream.chunker.due_chunks(0), streams.now_ms)


def rows(file: Path) -> list[tuple[int, str, int, int, int, int | None]]:
    """What the database says."""
    with sqlite3.connect(file) as connection:
        found = connection.execute(
            "SELECT number, state, first, count, closed_ms, position FROM own_windows "
            "WHERE state IN ('closed', 'proven') ORDER BY number"
        ).fetchall()
    connection.close()
    return found


def test_every_change_of_the_database_is_followed(streams: LocalStreams, tmp_path: Path) -> None:
    draw, store = random.Random(2), streams.store
    stream, _ = streams.streams.create(CONFIG)
    for _ in range(80):
        number = draw.randrange(6) + store.certified(stream.id)
        match draw.randrange(6):
            case 0 | 1:
                close(streams, stream, 1)
            case 2 | 3:
                store.prove(stream.id, number, b"a proof")
            case 4:
                store.certify(stream.id, store.certified(stream.id), 7)
            case _:
                store.refute(stream.id, number, final=draw.random() < 0.2)

        found = store.unfinished(stream.id, 1000)
        states = [
            (each.number, str(each.state), each.first, each.count, each.closed_ms, each.position)
            for each in found
        ]
        assert states == rows(tmp_path / "windows.db")
        assert store.count_unfinished(stream.id) == len(found)


def test_a_change_that_fails_changes_nothing(streams: LocalStreams) -> None:
    stream, _ = streams.streams.create(CONFIG)
    close(streams, stream, 1)
    row = streams.store.window(stream.id, 0)
    assert row is not None
    before = streams.store.unfinished(stream.id, 10)

    with pytest.raises(sqlalchemy.exc.IntegrityError):
        streams.store.close_window(row)

    assert streams.store.unfinished(stream.id, 10) == before


def test_only_the_first_look_reads_the_database(
    streams: LocalStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, _ = streams.streams.create(CONFIG)
    close(streams, stream, 3)
    assert streams.store.count_unfinished(stream.id) == 3

    def fail(*_: object) -> None:
        raise AssertionError("the database was read")

    monkeypatch.setattr(Store, "_query", fail)
    streams.store.certify(stream.id, 0, 5)

    assert [each.number for each in streams.store.unfinished(stream.id, 1)] == [1]
    assert streams.store.count_unfinished(stream.id) == 2


def test_another_service_on_the_same_files_reads_them(
    streams: LocalStreams, tmp_path: Path
) -> None:
    stream, _ = streams.streams.create(CONFIG)
    close(streams, stream, 2)
    streams.store.prove(stream.id, 0, b"a proof")
    before = streams.store.unfinished(stream.id, 10)
    streams.close()

    again = LocalStreams(tmp_path, random.Random(1))
    assert again.store.unfinished(stream.id, 10) == before
    assert [each.state for each in before] == [WindowState.PROVEN, WindowState.CLOSED]
    again.close()


def test_damage_is_reported_at_each_look_until_it_is_gone(
    streams: LocalStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, _ = streams.streams.create(CONFIG)
    close(streams, stream, 2)
    query = Store._summaries
    faults = [ChunkDamaged("a fault"), ChunkDamaged("a fault")]

    def failing(*arguments: object, **values: object) -> object:
        if faults:
            raise faults.pop()
        return query(*arguments, **values)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "_summaries", failing)
    for _ in range(2):
        with pytest.raises(ChunkDamaged):
            streams.store.unfinished(stream.id, 10)

    assert len(streams.store.unfinished(stream.id, 10)) == 2
