"""The tables of streams and windows: what is stored, and how the state of a window changes."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
import sqlalchemy.exc

from committees import make_members
from dragon.errors import ChunkDamaged
from dragon.protocol.claims.window import Statement
from dragon.protocol.streams.chunks import digest, encode_chunks
from dragon.protocol.streams.closing import HeaderClaim
from dragon.stark.commitment import NO_READING
from dragon.storage.database import Database
from dragon_stream.chunk_readings import ChunkReading, encode
from dragon_stream.store import SCHEMA, Store, StreamRow, WindowRow
from dragon_stream.window_state import WindowState
from streams import Window, make_owner

OWNER = make_owner(make_members())
STREAM = OWNER.descriptor.id
ROW = StreamRow(
    STREAM, "sensor-1", bytes(32), "standard", 65_536, 63, 5000, "bytes", 86_400, 1_732_522_000_000
)


def rows(windows: int) -> list[WindowRow]:
    """Consecutive windows of two chunks, closed one second apart."""
    found: list[WindowRow] = []
    last: Window | None = None
    for number in range(windows):
        last = OWNER.window([b"%d" % number, b"more of %d" % number], last)
        found.append(row_of(last, found[-1].total if found else 0, 1000 * (number + 1)))
    return found


def row_of(window: Window, before: int, closed_ms: int) -> WindowRow:
    header, total = window.header, before + sum(map(len, window.data))
    digests = b"".join(map(digest, window.data))
    chunks = encode_chunks(window.chunks)
    return WindowRow(
        STREAM, header.number, header, window.signature, total, 100 * header.number,
        chunks, digests, closed_ms, WindowState.CLOSED, None, 0, None,
    )  # fmt: skip


ROWS = rows(4)


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    database = Database(path, SCHEMA)
    try:
        yield Store(database)
    finally:
        database.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "windows.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    """A stream with four closed windows."""
    with opened(file) as made:
        made.add_stream(ROW)
        for row in ROWS:
            made.close_window(row)
        yield made


def states(store: Store) -> list[str]:
    return [str(window.state) for window in store.summaries(STREAM, -1, 100)]


def test_everything_is_there_after_a_restart(store: Store, file: Path) -> None:
    store.prove(STREAM, 0, b"proof")
    store.certify(STREAM, 0, 17)

    with opened(file) as again:
        assert again.streams() == [ROW]
        certified = replace(
            ROWS[0], state=WindowState.CERTIFIED, proof=b"proof", proofs=1, position=17
        )
        assert again.window(STREAM, 0) == certified
        assert [again.window(STREAM, n) for n in (1, 2, 3)] == ROWS[1:]
        assert again.last_window(STREAM) == ROWS[3]
        assert again.count_unfinished(STREAM) == 3


def test_a_window_is_closed_only_once(store: Store) -> None:
    other = row_of(OWNER.window([b"something else"]), 0, 5)
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        store.close_window(other)

    assert store.window(STREAM, 0) == ROWS[0]


def test_the_header_of_a_window_never_changes(store: Store) -> None:
    store.prove(STREAM, 0, b"proof")
    store.refute(STREAM, 0, final=False)
    store.prove(STREAM, 0, b"another")
    store.certify(STREAM, 0, 5)
    store.forget_proofs(STREAM, 10_000)

    row = store.window(STREAM, 0)
    assert row is not None
    assert replace(row, state=WindowState.CLOSED, position=None, proofs=0) == ROWS[0]


def test_names_of_streams_are_unique(store: Store) -> None:
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        store.add_stream(replace(ROW, stream=bytes(32)))

    assert store.streams() == [ROW]


def test_streams_are_ordered_by_creation_time(store: Store) -> None:
    store.add_stream(replace(ROW, stream=b"\1" * 32, name="b", created_ms=ROW.created_ms + 1))
    store.add_stream(replace(ROW, stream=b"\2" * 32, name="a", created_ms=ROW.created_ms + 1))

    assert [row.name for row in store.streams()] == ["sensor-1", "a", "b"]


def test_only_the_first_reason_for_a_stop_is_kept(store: Store) -> None:
    store.stop_stream(STREAM, "the first")
    store.stop_stream(STREAM, "the second")

    assert store.streams() == [replace(ROW, stopped="the first")]


def test_a_window_is_found_by_number_and_by_chunk(store: Store) -> None:
    assert [store.window_of(STREAM, n) for n in range(8)] == [row for row in ROWS for _ in range(2)]
    assert store.window_of(STREAM, 8) is None
    assert store.window(STREAM, 4) is None
    assert store.window(bytes(32), 0) is None
    assert store.last_window(bytes(32)) is None


def test_no_query_reads_rows_that_it_does_not_return(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are long, and there are millions of them after a year."""
    queries: list[tuple[str, object]] = []

    def note(_: object, __: object, statement: str, values: object, *___: object) -> None:
        queries.append((statement, values))

    query = Database.query

    def noted(database: Database, sql: str, values: Mapping[str, object]) -> list[Any]:
        queries.append((sql, values))
        return query(database, sql, values)

    monkeypatch.setattr(Database, "query", noted)
    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", note)
    try:
        store.window_of(STREAM, 100)
        store.summaries(STREAM, 0, 2)
        store.unfinished(STREAM, 2)
        store.proof_sizes(STREAM, 0, 3)
        store.count_unfinished(STREAM)
        store.certified(STREAM)
        store.check_states(STREAM)
        store.forget_proofs(STREAM, 1000)
        store.statements(STREAM, 0, 3)
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", note)

    with sqlite3.connect(file) as connection:
        steps = [
            [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
            for statement, values in queries
            if "own_window" in statement
        ]
    connection.close()
    ends = r".* USING (COVERING )?INDEX (\w+) \(.*\)"
    used = [[found[2] for step in each if (found := re.match(ends, step))] for each in steps]
    assert used == [
        [
            "sqlite_autoindex_own_windows_1",  # one row
            "own_windows_by_chunk",
            "sqlite_autoindex_own_window_checks_1",
            "sqlite_autoindex_own_window_readings_1",
        ],
        ["own_windows_summaries"],
        ["own_windows_by_state"],
        ["own_windows_summaries", "sqlite_autoindex_own_window_checks_1"],
        ["own_windows_by_state"],
        ["own_windows_summaries"],
        ["own_windows_with_proof"],
        ["own_windows_summaries"],
        ["sqlite_autoindex_own_window_readings_1"],
    ]
    assert not [step for each in steps for step in each if step.startswith("SCAN ")]


def test_a_page_of_summaries_begins_after_a_number(store: Store) -> None:
    page = store.summaries(STREAM, 0, 2)

    assert [(window.number, window.first, window.count) for window in page] == [
        (1, 2, 2),
        (2, 4, 2),
    ]
    assert [window.closed_ms for window in page] == [2000, 3000]
    assert store.summaries(STREAM, 3, 2) == []


def test_a_window_goes_from_closed_to_proven_to_certified(store: Store) -> None:
    store.prove(STREAM, 0, b"proof")
    store.prove(STREAM, 1, b"proof")
    assert states(store) == ["proven", "proven", "closed", "closed"]
    store.certify(STREAM, 0, 3)
    assert states(store) == ["certified", "proven", "closed", "closed"]
    assert [window.number for window in store.unfinished(STREAM, 2)] == [1, 2]
    assert (store.count_unfinished(STREAM), store.certified(STREAM)) == (3, 1)


def test_a_certified_window_is_not_proven_again(store: Store) -> None:
    store.prove(STREAM, 0, b"proof")
    store.certify(STREAM, 0, 3)
    store.prove(STREAM, 0, b"a late one")

    row = store.window(STREAM, 0)
    assert row is not None
    assert (row.state, row.proof, row.proofs) == (WindowState.CERTIFIED, b"proof", 1)


def test_a_refuted_proof_is_dropped_and_counted(store: Store) -> None:
    store.prove(STREAM, 0, b"refuted")
    store.refute(STREAM, 0, final=False)
    row = store.window(STREAM, 0)
    assert row is not None
    assert (row.state, row.proof, row.proofs) == (WindowState.CLOSED, None, 1)
    store.refute(STREAM, 0, final=True)
    assert states(store)[0] == "invalid"
    assert store.count_unfinished(STREAM) == 3


def test_only_old_proofs_of_certified_windows_are_forgotten(store: Store) -> None:
    for number in range(4):
        store.prove(STREAM, number, b"proof")
    for number in (0, 1):
        store.certify(STREAM, number, number)

    assert store.forget_proofs(STREAM, 1000) == 0
    assert store.forget_proofs(STREAM, 2000) == 2
    assert store.forget_proofs(STREAM, 10_000) == 4
    rows = [store.window(STREAM, number) for number in range(4)]
    assert [row and row.proof for row in rows] == [None, None, b"proof", b"proof"]
    assert store.forget_proofs(STREAM, 10_000) == 4, "a repetition gives the same result"


def test_the_sizes_of_proofs_are_kept_when_proofs_are_not(store: Store) -> None:
    for number, proof in enumerate((b"one", b"the second", b"")):
        store.prove(STREAM, number, proof)
    store.certify(STREAM, 0, 0)
    store.forget_proofs(STREAM, 10_000)
    store.refute(STREAM, 2, final=False)

    assert store.proof_sizes(STREAM, 0, 3) == {0: 3, 1: 10}
    assert store.proof_sizes(STREAM, 1, 1) == {1: 10}

    store.refute(STREAM, 1, final=True)
    assert store.proof_sizes(STREAM, 1, 1) == {1: 10}, "the proof that was found invalid"


def test_the_sizes_of_proofs_of_an_earlier_release_are_known(file: Path) -> None:
    with opened(file) as made:
        made.add_stream(ROW)
        for row in ROWS:
            made.close_window(row)
        for number in (0, 1, 2):
            made.prove(STREAM, number, b"proof")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM own_window_checks WHERE number = 1")  # the first releases
        connection.execute("ALTER TABLE own_window_checks DROP COLUMN proof_bytes")
        connection.execute("ALTER TABLE own_streams DROP COLUMN readings")
        connection.execute("ALTER TABLE own_streams DROP COLUMN adaptive")
        connection.execute("DROP TABLE own_window_readings")
        connection.execute("UPDATE schema_stream SET version_num = 'stream_0003'")

    with opened(file) as store:
        assert store.streams() == [ROW]
        assert store.is_whole(ROW)
        assert store.window(STREAM, 3) == ROWS[3]
        store.certify(STREAM, 0, 0)
        store.forget_proofs(STREAM, 10_000)
        assert store.proof_sizes(STREAM, 0, 3) == {0: 5, 1: 5, 2: 5}


def test_whether_windows_grow_is_kept_and_checked(file: Path) -> None:
    adaptive = replace(ROW, stream=b"\x09" * 32, name="growing", adaptive=True)
    with opened(file) as made:
        made.add_stream(ROW)
        made.add_stream(adaptive)
    with opened(file) as store:
        assert sorted(row.adaptive for row in store.streams()) == [False, True]
        assert all(store.is_whole(row) for row in store.streams())

    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE own_streams SET adaptive = 1 - adaptive")
    with opened(file) as store:
        assert not any(store.is_whole(row) for row in store.streams())


def test_a_damaged_size_is_unknown(store: Store, file: Path) -> None:
    store.prove(STREAM, 0, b"proof")
    for damaged in (-1, "large", b"5"):
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE own_window_checks SET proof_bytes = ?", (damaged,))
        assert store.proof_sizes(STREAM, 0, 0) == {}


def test_a_stream_without_windows_has_none(store: Store) -> None:
    unknown = bytes(32)

    assert (store.count_unfinished(unknown), store.certified(unknown)) == (0, 0)
    assert store.summaries(unknown, -1, 10) == []
    assert store.forget_proofs(unknown, 10_000) == 0


# -- streams with readings -----------------------------------------------------------------------

WITH_READINGS = replace(ROW, stream=b"r" * 32, name="truck", readings='{"form":"plain"}')


def with_readings(number: int) -> WindowRow:
    """Two chunks, with the claim of every other window."""
    claim = HeaderClaim.READINGS if number % 2 else HeaderClaim.NONE
    row = ROWS[number]
    return replace(
        row,
        stream=WITH_READINGS.stream,
        header=replace(row.header, claim=claim),
        statement=Statement.READINGS if number % 2 else Statement.BLOCKS,
        readings=encode([ChunkReading(400 + number, 1), ChunkReading(NO_READING, 9)]),
    )


@pytest.fixture
def read(store: Store) -> Store:
    """A stream with readings, beside the one without."""
    store.add_stream(WITH_READINGS)
    for number in range(3):
        store.close_window(with_readings(number))
    return store


def change(file: Path, query: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(query)


def test_readings_are_there_after_a_restart(read: Store, file: Path) -> None:
    with opened(file) as again:
        assert again.streams() == [ROW, WITH_READINGS]
        assert all(map(again.is_whole, again.streams()))
        found = [again.window(WITH_READINGS.stream, number) for number in range(3)]
    assert found == [with_readings(number) for number in range(3)]


def test_the_lengths_of_data_are_kept_with_the_readings(read: Store) -> None:
    assert with_readings(0).lengths() == [1, 9]
    assert ROWS[0].lengths() == [len(b"0"), len(b"more of 0")]


def test_statements_are_listed_for_streams_with_readings_only(read: Store) -> None:
    expected = {0: "blocks", 1: "readings", 2: "blocks"}

    assert read.statements(WITH_READINGS.stream, 0, 9) == expected
    assert read.statements(WITH_READINGS.stream, 1, 1) == {1: "readings"}
    assert read.statements(STREAM, 0, 9) == {}


@pytest.mark.parametrize(
    "query",
    [
        "UPDATE own_window_readings SET readings = zeroblob(24)",
        "UPDATE own_window_readings SET statement = 'readings' WHERE statement = 'blocks'",
        "UPDATE own_window_readings SET crc = crc + 1",
        "DELETE FROM own_window_readings",
    ],
)
def test_damaged_readings_are_found(read: Store, file: Path, query: str) -> None:
    change(file, query)

    with pytest.raises(ChunkDamaged, match="damaged row of window 0"):
        read.window(WITH_READINGS.stream, 0)
    assert read.window(STREAM, 0) == ROWS[0]


@pytest.mark.parametrize("value", ["NULL", "'{}'"])
def test_other_readings_of_a_stream_are_damage(read: Store, file: Path, value: str) -> None:
    change(file, f"UPDATE own_streams SET readings = {value} WHERE name = 'truck'")

    assert [read.is_whole(row) for row in read.streams()] == [True, False]


def test_readings_of_a_stream_without_them_are_damage(read: Store, file: Path) -> None:
    change(file, "UPDATE own_streams SET readings = '{}' WHERE name = 'sensor-1'")

    assert [read.is_whole(row) for row in read.streams()] == [False, True]


def test_a_window_that_must_exist_is_damage_if_it_does_not(read: Store) -> None:
    assert read.needed_window(STREAM, 3) == ROWS[3]
    with pytest.raises(ChunkDamaged, match="lacks window 4"):
        read.needed_window(STREAM, 4)
