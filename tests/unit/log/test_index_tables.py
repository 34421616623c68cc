"""The derived tables of streams, and the audit of these tables."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy

from committees import make_members
from dragon import errors
from dragon.encoding import canonical, to_hex
from dragon.log.archive import archive
from dragon.log.audit import audit
from dragon.log.index_tables import Applied, StreamRecords, StreamRow
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.claims.stream_state import StreamState
from dragon.protocol.claims.window import InvalidReason, Statement, Verdict, WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event
from dragon.protocol.log_entry import LogEntry
from dragon.storage.database import Database

MEMBERS = make_members(experts=2)
COMMITTEE = MEMBERS.committee
ROUNDS = COMMITTEE.rounds
STREAM, OTHER = bytes([1]) * 32, bytes([2]) * 32


def header(stream: bytes, number: int) -> bytes:
    return stream if number < 0 else stream[:31] + bytes([100 + number])


def window(
    number: int,
    stream: bytes = STREAM,
    fault: InvalidReason = InvalidReason.NONE,
    statement: Statement | None = None,
) -> WindowClaim:
    verdict = Verdict.VALID if fault is InvalidReason.NONE else Verdict.INVALID
    previous, own = header(stream, number - 1), header(stream, number)
    proof = bytes([7, number]) * 16 if fault is InvalidReason.NONE else bytes([8, number]) * 16
    start = ROUNDS.start(1)
    proven = own, verdict, fault, proof, "strong", start, statement
    return WindowClaim(stream, number, previous, *proven)


def praise(first: int, last: int, expert: str = "expert_1") -> EndorsementClaim:
    note = bytes([9]) * 32
    return EndorsementClaim(STREAM, first, last, Verdict.VALID, note, expert, ROUNDS.start(1) + 3)


CLAIMS = (
    window(0),
    window(1, fault=InvalidReason.STARK),
    window(1),
    window(0, OTHER, statement=Statement.READINGS),
    praise(0, 1),
    window(2),
    praise(1, 1, "expert_2"),
)


def event(claim: WindowClaim | EndorsementClaim) -> Event:
    if isinstance(claim, EndorsementClaim):
        return MEMBERS.endorse(claim)
    return MEMBERS.certify(claim, ("operator_1", "operator_2", "operator_3"))


EVENTS = [event(claim) for claim in CLAIMS]


def batch(index: int, *events: Event) -> ProvenBatch:
    """Return a batch with the same proven time for every index."""
    time, body = ROUNDS.start(1), canonical([item.to_json() for item in events]).decode()
    return ProvenBatch(index, body, time, "{}", Position(index, f"{index:032x}"))


@contextmanager
def opened(path: Path, committee: Committee = COMMITTEE) -> Iterator[tuple[Log, StreamRecords]]:
    database = Database(path, LOG_SCHEMA)
    try:
        yield Log(database, committee), StreamRecords(database)
    finally:
        database.close()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "operator.db"
    with opened(path) as (log, _):
        log.take(batch(1, *EVENTS[:3]), batch(2, *EVENTS[3:]))
        log.take(batch(3, MEMBERS.status("operator_1", Status.UP, 1)))
    return path


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "copy.db"))


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)


# -- reading ---------------------------------------------------------------------------------------


def test_the_tables_contain_the_applied_events(original: Path) -> None:
    everything = [Applied(at, claim) for at, claim in enumerate(CLAIMS)]
    with opened(original) as (_, records):
        assert records.windows(STREAM) == [everything[at] for at in (0, 1, 2, 5)]
        assert records.windows(STREAM, 1, limit=2) == everything[1:3]
        assert records.windows(OTHER) == everything[3:4]
        assert records.windows(bytes(32)) == []
        assert records.endorsements(STREAM) == [everything[4], everything[6]]
        assert records.endorsements(STREAM, 0) == [everything[4]]
        assert records.endorsements(STREAM, 1, after=4) == [everything[6]]
        assert records.endorsements(STREAM, 2) == records.endorsements(OTHER) == []


def test_a_stream_has_one_row(original: Path) -> None:
    start = ROUNDS.start(1)
    with opened(original) as (_, records):
        rows = records.streams()

        assert rows == [
            StreamRow(STREAM, 3, header(STREAM, 2), start, 5),
            StreamRow(OTHER, 1, header(OTHER, 0), start, 3),
        ]
        assert records.streams(after=STREAM) == rows[1:]
        assert records.streams(limit=1) == rows[:1]


def test_windows_are_counted_by_statement_without_reading_them(original: Path) -> None:
    """Anyone may open the page of a stream, and a stream may have a million windows."""
    asked: list[tuple[str, object]] = []

    def note(_: object, __: object, query: str, values: object, *___: object) -> None:
        asked.append((query, values))

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", note)
    try:
        with opened(original) as (_, records):
            asked.clear()
            assert records.statements(OTHER) == {Statement.READINGS: 1}
            assert records.statements(STREAM) == {None: 3}
            assert records.unclaimed(OTHER) == []
            counted, _, listed = (each for each in asked if each[0].startswith("SELECT"))
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", note)

    with closing(sqlite3.connect(original)) as connection:
        plans = [
            [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values)]
            for query, values in (counted, listed)
        ]
    index = "INDEX windows_by_statement (stream=? AND verdict=?"
    assert plans == [
        ["SEARCH statement_counts USING INDEX sqlite_autoindex_statement_counts_1 (stream=?)"],
        [f"SEARCH windows USING {index} AND statement=?)"],
    ]


def test_a_reopened_log_has_its_streams(original: Path) -> None:
    with opened(original) as (log, _):
        stream = log.state.stream(STREAM)

    assert (stream.windows, stream.last, stream.position) == (3, CLAIMS[5], 5)
    assert stream.by("expert_2").claims == (CLAIMS[6],)
    assert log.state.stream(OTHER) == StreamState(CLAIMS[3], 3)


def test_windows_of_one_batch_may_follow_each_other(tmp_path: Path) -> None:
    """Windows are pipelined: the next one is sent before the previous one is applied."""
    with opened(tmp_path / "operator.db") as (log, _):
        added = log.take(batch(1, EVENTS[2], EVENTS[0], EVENTS[2], EVENTS[5]))

        assert [entry.event.claim for entry in added] == [CLAIMS[0], CLAIMS[2], CLAIMS[5]]
        assert log.refusals() == {"not_next": 1}


def test_a_log_that_begins_at_a_checkpoint_has_the_same_tables(
    original: Path, tmp_path: Path
) -> None:
    with opened(original) as (log, records):
        entries = log.entries()
        head = log.head()
        rows = records.streams(), records.windows(STREAM), records.endorsements(STREAM)
    claim = CheckpointClaim(head.size, head.root, ROUNDS.start(2))
    stored = [LogEntry(e.position, e.event, e.ledger_index) for e in entries]

    with opened(tmp_path / "late.db") as (log, records):
        log.begin_at(claim, stored)
        log.take(batch(3, MEMBERS.status("operator_1", Status.UP, 1)))

        assert log.head() == head
        again = records.streams(), records.windows(STREAM), records.endorsements(STREAM)
        assert again == rows
        assert log.state.stream(STREAM).windows == 3


def test_after_archiving_the_log_has_no_streams(copy: Path) -> None:
    """After a reset, streams start again with new descriptors."""
    archive(copy)

    with opened(copy, make_members(name="refounded").committee) as (log, records):
        assert log.state.streams == {}
        assert (records.streams(), records.windows(STREAM)) == ([], [])
        assert records.endorsements(STREAM) == []


# -- the audit -------------------------------------------------------------------------------------


def test_an_audit_returns_the_state_of_the_log(original: Path) -> None:
    with opened(original) as (log, _):
        state = log.state

    for batched in (True, False):
        assert audit(original, COMMITTEE, batched=batched).state == state


WINDOW_COLUMNS = ("stream", "number", "previous", "header", "verdict", "reason", "proof")


@pytest.mark.parametrize(
    "statement",
    [
        *(f"UPDATE windows SET {column} = 'x' WHERE position = 2" for column in WINDOW_COLUMNS),
        "UPDATE windows SET parameters = 'standard' WHERE position = 2",
        "UPDATE windows SET timestamp = timestamp + 1 WHERE position = 2",
        "UPDATE windows SET position = 99 WHERE position = 2",
        "DELETE FROM windows WHERE position = 5",
        "INSERT INTO windows SELECT 99, stream, number, previous, header, verdict, reason, proof,"
        " parameters, timestamp, statement FROM windows WHERE position = 5",
        "UPDATE windows SET statement = 'readings' WHERE position = 2",
        "UPDATE windows SET statement = 'blocks' WHERE position = 3",
        "UPDATE windows SET statement = NULL WHERE position = 3",
        "UPDATE endorsements SET last = 2",
        "UPDATE endorsements SET verdict = 'invalid' WHERE position = 4",
        "DELETE FROM endorsements WHERE position = 6",
        "UPDATE streams SET windows = 4 WHERE position = 5",
        "UPDATE streams SET header = 'x'",
        "UPDATE streams SET position = 2 WHERE position = 5",
        "DELETE FROM streams WHERE position = 3",
        f"INSERT INTO streams VALUES ('{to_hex(bytes([3]) * 32)}', 1, 'x', 1, 1)",
    ],
)
def test_an_audit_finds_changes_to_the_tables(copy: Path, statement: str) -> None:
    change(copy, statement)

    with pytest.raises(errors.LogDamaged):
        audit(copy, COMMITTEE)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE statement_counts SET windows = windows + 1 WHERE statement = 'readings'",
        "UPDATE statement_counts SET windows = CAST(windows AS BLOB)",
        "UPDATE statement_counts SET statement = 'blocks' WHERE statement = ''",
        "DELETE FROM statement_counts WHERE statement = 'readings'",
        "DELETE FROM statement_counts",
        "INSERT INTO statement_counts VALUES ('x', '', 1)",
    ],
)
def test_an_audit_finds_changes_to_the_counts_of_windows(copy: Path, statement: str) -> None:
    change(copy, statement)

    with pytest.raises(errors.LogDamaged, match="table statement_counts: the number for stream"):
        audit(copy, COMMITTEE)


def test_a_long_text_in_the_counts_is_quoted_in_part(copy: Path) -> None:
    change(copy, f"INSERT INTO statement_counts VALUES ('{'x' * 1000}', '', 1)")

    with pytest.raises(errors.LogDamaged, match=r"for stream x{66} is wrong"):
        audit(copy, COMMITTEE)


BEFORE_STATEMENTS = (
    "DROP TABLE snapshot",
    "DROP TRIGGER windows_counted",
    "DROP TABLE statement_counts",
    "DROP TABLE blocks",
    "DROP INDEX windows_by_statement",
    "ALTER TABLE windows DROP COLUMN statement",
    "UPDATE schema_log SET version_num = 'log_0007'",
)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A log of the release before: its table of windows has no statements."""
    path = tmp_path / "earlier.db"
    with opened(path) as (log, _):
        log.take(batch(1, *EVENTS[:3]))
    change(path, *BEFORE_STATEMENTS)
    return path


def test_a_log_of_the_release_before_is_audited_as_it_is(earlier: Path) -> None:
    assert audit(earlier, COMMITTEE).state.stream(STREAM).windows == 2


def test_a_log_of_the_release_before_is_continued(earlier: Path) -> None:
    with opened(earlier) as (log, records):
        log.take(batch(2, *EVENTS[3:]))

        assert [each.claim.statement for each in records.windows(STREAM)] == [None] * 4
        assert [each.claim.statement for each in records.windows(OTHER)] == [Statement.READINGS]
    assert audit(earlier, COMMITTEE).state.size == len(EVENTS)


def test_an_entry_whose_window_does_not_follow_is_found(copy: Path) -> None:
    change(copy, "UPDATE entries SET event = replace(event, '\"number\":2', '\"number\":3')")

    with pytest.raises(errors.DragonError) as refused:
        audit(copy, COMMITTEE)

    assert isinstance(refused.value, errors.NotNext)
    assert refused.value.facts["position"] == 5
