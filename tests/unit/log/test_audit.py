"""The audit finds every change to a log file and names it."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest

from committees import make_members
from dragon import errors
from dragon.encoding import canonical, to_hex
from dragon.log import entry_table
from dragon.log.archive import archive
from dragon.log.audit import audit
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol import event, merkle
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.event import Event
from dragon.protocol.log_entry import LogEntry
from dragon.storage.database import Database

MEMBERS = make_members()
COMMITTEE = MEMBERS.committee
ROUNDS = COMMITTEE.rounds
NODE = "operator_2"
ENTRIES = 6


@cache
def certified(round_: int, node_id: str = NODE) -> Event:
    return MEMBERS.status(node_id, Status.UP if round_ % 2 else Status.DOWN, round_)


def batch(index: int) -> ProvenBatch:
    return batch_of(index, certified(index))


def batch_of(index: int, applied: Event) -> ProvenBatch:
    body = canonical([applied.to_json()]).decode()
    time = ROUNDS.start(index)
    return ProvenBatch(index, body, time, "{}", Position(index, f"{index:032x}"))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed log of six entries, without a -wal file."""
    path = tmp_path_factory.mktemp("original") / "operator.db"
    database = Database(path, LOG_SCHEMA)
    log = Log(database, COMMITTEE)
    for index in range(1, ENTRIES + 1):
        log.take(batch(index))
    database.close()
    return path


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "copy.db"))


def change(path: Path, *statements: str, values: tuple[object, ...] = ()) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement, values if "?" in statement else ())


def put(path: Path, position: int, item: Event) -> None:
    """Put an event into the file, with all rows and hashes that belong to it."""
    index, time = position + 1, ROUNDS.start(position + 1)
    hashed = merkle.leaf_hash(event.leaf(item, index))
    text = canonical(item.to_json()).decode()
    claim = item.claim
    change(
        path,
        "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        values=(position, "status", event.root(item), text, hashed, index, time, f"{index:032x}"),
    )
    change(
        path,
        "INSERT OR REPLACE INTO logs VALUES (?, ?, ?, ?, ?)",
        values=(
            position + 1,
            claim.node_id,
            str(claim.status),
            claim.timestamp,
            to_hex(item.signature),
        ),
    )


# Valid logs


def test_an_unchanged_log_is_valid(original: Path) -> None:
    found = audit(original, COMMITTEE)

    leaves = [event.leaf(certified(i), i) for i in range(1, ENTRIES + 1)]
    assert found.size == ENTRIES
    assert found.root == merkle.Tree(merkle.leaf_hash(leaf) for leaf in leaves).root()
    assert [move.status for move in found.state.nodes[NODE]] == 3 * [Status.UP, Status.DOWN]


def test_an_empty_log_is_valid(tmp_path: Path) -> None:
    database = Database(tmp_path / "empty.db", LOG_SCHEMA)
    Log(database, COMMITTEE)
    database.close()

    found = audit(tmp_path / "empty.db", COMMITTEE)

    assert (found.size, found.root) == (0, merkle.EMPTY_ROOT)


def test_progress_counts_the_entries(original: Path) -> None:
    seen: list[int] = []

    audit(original, COMMITTEE, seen.append, batched=False)
    audit(original, COMMITTEE, seen.append)

    assert seen == [*range(1, ENTRIES + 1), ENTRIES]


def test_an_appended_event_with_a_quorum_is_valid(copy: Path) -> None:
    """`put` writes everything right, so the audit refuses its other events for their content."""
    put(copy, ENTRIES, certified(ENTRIES + 1))

    assert audit(copy, COMMITTEE).size == ENTRIES + 1


def test_an_audit_does_not_change_the_file(copy: Path) -> None:
    before = hashlib.sha256(copy.read_bytes()).digest()

    audit(copy, COMMITTEE)

    assert hashlib.sha256(copy.read_bytes()).digest() == before


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Log, Path]]:
    """A log in use: its last entries are in the -wal file only."""
    path = tmp_path / "running.db"
    database = Database(path, LOG_SCHEMA)
    log = Log(database, COMMITTEE)
    for index in range(1, ENTRIES + 1):
        log.take(batch(index))
    yield log, path
    database.close()


def test_an_audit_sees_what_a_running_operator_has_committed(running: tuple[Log, Path]) -> None:
    log, path = running
    assert path.with_name("running.db-wal").stat().st_size

    found = audit(path, COMMITTEE)

    assert (found.size, found.root) == (ENTRIES, log.head().root)


def test_an_operator_continues_during_an_audit(running: tuple[Log, Path]) -> None:
    log, path = running

    def take_another(entries: int) -> None:
        if entries == 1:
            log.take(batch(ENTRIES + 1))

    found = audit(path, COMMITTEE, take_another, batched=False)

    assert found.size == ENTRIES
    assert log.head().size == ENTRIES + 1
    assert audit(path, COMMITTEE).size == ENTRIES + 1


def test_a_copy_of_file_and_wal_has_the_newest_entries(
    running: tuple[Log, Path], tmp_path: Path
) -> None:
    _, path = running
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", tmp_path / f"copied.db{suffix}")

    assert audit(tmp_path / "copied.db", COMMITTEE).size == ENTRIES


# Files that are no log


def test_a_missing_file_is_not_found_and_not_created(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound):
        audit(tmp_path / "none.db", COMMITTEE)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_not_a_log(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound):
        audit(tmp_path, COMMITTEE)


@pytest.mark.parametrize(
    "content",
    [b"", b"no database", b"SQLite format 3\0" + bytes(4096), bytes(8192)],
    ids=["empty", "text", "a header and nothing", "zeros"],
)
def test_a_file_that_is_not_a_database_is_not_a_log(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "some.db"
    path.write_bytes(content)

    with pytest.raises(errors.LogDamaged):
        audit(path, COMMITTEE)


def test_another_database_is_not_a_log(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    change(path, "CREATE TABLE recipes (name TEXT)")

    with pytest.raises(errors.LogDamaged):
        audit(path, COMMITTEE)


def test_a_truncated_file_is_damaged(copy: Path) -> None:
    copy.write_bytes(copy.read_bytes()[: copy.stat().st_size // 2])

    with pytest.raises(errors.LogDamaged):
        audit(copy, COMMITTEE)


@pytest.mark.parametrize(
    "change_",
    [
        "UPDATE cursor SET network = '0x00'",
        "UPDATE cursor SET network = x'ff'",
        "DELETE FROM cursor",
    ],
)
def test_a_log_of_another_committee_is_refused(copy: Path, change_: str) -> None:
    change(copy, change_)

    with pytest.raises(errors.WrongCommittee):
        audit(copy, COMMITTEE)


def test_an_audit_for_another_committee_is_refused(original: Path) -> None:
    with pytest.raises(errors.WrongCommittee):
        audit(original, make_members(name="another").committee)


# Every column and table

DAMAGES = {
    "position, and a gap": "UPDATE entries SET position = 17 WHERE position = 5",
    "kind": "UPDATE entries SET kind = 'window' WHERE position = 2",
    "kind, as bytes": "UPDATE entries SET kind = x'737461747573' WHERE position = 2",
    "root": "UPDATE entries SET root = '0x00' WHERE position = 2",
    "event, with a space": "UPDATE entries SET event = event || ' ' WHERE position = 2",
    "event, as bytes": "UPDATE entries SET event = CAST(event AS BLOB) WHERE position = 2",
    "leaf_hash": "UPDATE entries SET leaf_hash = zeroblob(32) WHERE position = 2",
    "leaf_hash, as text": "UPDATE entries SET leaf_hash = 'abc' WHERE position = 2",
    "leaf_hash, cut": "UPDATE entries SET leaf_hash = substr(leaf_hash, 1, 31) WHERE position = 2",
    "ledger_index": "UPDATE entries SET ledger_index = 4 WHERE position = 2",
    "ledger_index, back": "UPDATE entries SET ledger_index = 1 WHERE position = 2",
    "ledger_index, negative": "UPDATE entries SET ledger_index = -1 WHERE position = 0",
    "ledger_index, a fraction": "UPDATE entries SET ledger_index = 3.5 WHERE position = 2",
    "ledger_time, negative": "UPDATE entries SET ledger_time = -1 WHERE position = 2",
    "ledger_time, as text": "UPDATE entries SET ledger_time = 'noon' WHERE position = 2",
    "entries, the first": "DELETE FROM entries WHERE position = 0",
    "entries, one in the middle": "DELETE FROM entries WHERE position = 3",
    "entries, the last": "DELETE FROM entries WHERE position = 5",
    "entries, all": "DELETE FROM entries",
    "logs, one row": "DELETE FROM logs WHERE id = 4",
    "logs, the last row": "DELETE FROM logs WHERE id = 6",
    "logs, all": "DELETE FROM logs",
    "logs, a row too many": "INSERT INTO logs VALUES (7, 'operator_1', 'up', 1732522005, '0x')",
    "logs, a row before": "INSERT INTO logs VALUES (0, 'operator_1', 'up', 1732522005, '0x')",
    "logs.node_id": "UPDATE logs SET node_id = 'operator_1' WHERE id = 3",
    "logs.status": "UPDATE logs SET status = 'down' WHERE id = 3",
    "logs.timestamp": "UPDATE logs SET timestamp = timestamp - 5 WHERE id = 3",
    "logs.timestamp, as text": "UPDATE logs SET timestamp = 'now' WHERE id = 3",
    "logs.signature": "UPDATE logs SET signature = '0x00' WHERE id = 3",
    "no table logs": "DROP TABLE logs",
    "no table entries": "DROP TABLE entries",
    "no table cursor": "DROP TABLE cursor",
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_file_that_contradicts_itself_is_damaged(copy: Path, what: str) -> None:
    change(copy, DAMAGES[what])

    with pytest.raises(errors.LogDamaged):
        audit(copy, COMMITTEE)


def test_swapped_entries_are_found(copy: Path) -> None:
    change(
        copy,
        "UPDATE entries SET position = 99 WHERE position = 2",
        "UPDATE entries SET position = 2 WHERE position = 3",
        "UPDATE entries SET position = 3 WHERE position = 99",
    )

    with pytest.raises((errors.LogDamaged, errors.NotApplicable)):
        audit(copy, COMMITTEE)


def test_swapped_events_are_not_applicable_in_that_order(copy: Path) -> None:
    put(copy, 2, certified(4))
    change(copy, "DELETE FROM entries WHERE position = 3")
    put(copy, 3, certified(3))

    with pytest.raises(errors.NotApplicable):
        audit(copy, COMMITTEE)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("", errors.NotJson),
        ("{}", errors.MissingMember),
        ("[]", errors.WrongType),
        ("1.5", errors.NotAnInteger),
        ('{"kind":"weather"}', errors.UnknownKind),
        ('{"kind":"status","kind":"status"}', errors.DuplicateMember),
    ],
)
def test_an_invalid_event_is_refused_by_name(
    copy: Path, text: str, refusal: type[errors.DragonError]
) -> None:
    change(copy, "UPDATE entries SET event = ? WHERE position = 2", values=(text,))

    with pytest.raises(refusal) as refused:
        audit(copy, COMMITTEE)

    assert refused.value.facts["position"] == 2


def forgeries() -> dict[str, tuple[Event, type[errors.DragonError]]]:
    """Return events to replace entry 2, with right form and hashes, and the expected errors."""
    genuine = certified(3)
    stranger = make_members(name="another").status(NODE, Status.UP, 3)
    return {
        "with another signature": (
            dataclasses.replace(genuine, signature=certified(5).signature),
            errors.BadSignature,
        ),
        "without a quorum": (
            MEMBERS.status(NODE, Status.UP, 3, ["operator_1", "operator_3"]),
            errors.QuorumNotMet,
        ),
        "another committee's": (stranger, errors.WrongCommittee),
        "about an unknown node": (MEMBERS.status("operator_9", Status.UP, 3), errors.UnknownNode),
        "a genuine one that changes nothing": (
            MEMBERS.status(NODE, Status.DOWN, 3),
            errors.NotAChange,
        ),
        "a genuine one that is not later": (MEMBERS.status(NODE, Status.UP, 2), errors.NotLater),
        "a genuine one that was applied": (certified(1), errors.AppliedAlready),
    }


@pytest.mark.parametrize("what", forgeries())
def test_an_event_that_should_not_have_been_applied_is_refused_by_name(
    copy: Path, what: str
) -> None:
    forged, refusal = forgeries()[what]
    # Roots are unique, so a genuine entry with the same claim has to be removed first.
    position = 2 if what != "a genuine one that was applied" else ENTRIES
    change(copy, f"DELETE FROM entries WHERE position = {position}")
    if position == ENTRIES:
        change(copy, "DELETE FROM entries WHERE position = 0", "DELETE FROM logs WHERE id = 1")
        put(copy, 0, certified(1))
        change(copy, "DROP TABLE IF EXISTS spare", "CREATE TABLE spare AS SELECT * FROM entries")
        change(copy, "DROP TABLE entries", "ALTER TABLE spare RENAME TO entries")
    put(copy, position, forged)

    with pytest.raises(refusal) as refused:
        audit(copy, COMMITTEE)

    assert refused.value.facts["position"] == position


def test_a_stale_event_is_refused_by_name(copy: Path) -> None:
    stale, late = certified(1, "operator_1"), ENTRIES + 1
    database = Database(copy, LOG_SCHEMA)
    log = Log(database, COMMITTEE)
    claim = CheckpointClaim(ENTRIES, log.head().root, ROUNDS.start(14))
    log.take(batch_of(late, MEMBERS.certify(claim, sorted(MEMBERS.secrets))))
    with database.transaction() as cursor:
        entry_table.append(cursor, LogEntry(late, stale, late + 1))
    database.close()

    with pytest.raises(errors.Stale) as refused:
        audit(copy, COMMITTEE)

    assert refused.value.facts["position"] == late


@pytest.mark.parametrize("time", ["NULL", "1", "ledger_time - 2 * position", "9007199254740991"])
def test_the_ledgers_time_is_part_of_no_rule(copy: Path, time: str) -> None:
    before = audit(copy, COMMITTEE)

    change(copy, f"UPDATE entries SET ledger_time = {time}")

    assert audit(copy, COMMITTEE) == before


@pytest.mark.parametrize("version", ["log_0003", "log_0006"])
def test_a_log_of_the_old_format_is_refused_in_one_sentence(copy: Path, version: str) -> None:
    """It signed other bytes, so it cannot be continued."""
    change(copy, f"UPDATE schema_log SET version_num = '{version}'")

    for use in (
        lambda: audit(copy, COMMITTEE),
        lambda: archive(copy),
        lambda: Database(copy, LOG_SCHEMA),
    ):
        with pytest.raises(errors.DatabaseTooOld, match="found a new network"):
            use()


def test_an_empty_log_of_the_old_format_is_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "operator.db"
    Database(path, LOG_SCHEMA).close()
    change(
        path,
        "DROP TABLE archived",
        "DROP TABLE maintenance",
        "DROP TABLE snapshot",
        "DROP TRIGGER windows_counted",
        "DROP TABLE statement_counts",
        "DROP TABLE blocks",
        "DROP INDEX windows_by_statement",
        "ALTER TABLE windows DROP COLUMN statement",
        "DROP TABLE committees",
        "DROP TABLE committee_files",
        "DROP TABLE cursor",
        "CREATE TABLE cursor (id INTEGER, committee TEXT, last_index INTEGER, "
        "chaining_hash TEXT, proof_index INTEGER, proof_time INTEGER)",
        f"INSERT INTO cursor VALUES (1, '{to_hex(COMMITTEE.id)}', 7, 'ab', 7, 1732522000)",
        "UPDATE schema_log SET version_num = 'log_0003'",
    )

    database = Database(path, LOG_SCHEMA)

    assert Log(database, COMMITTEE).position == Position()
    database.close()


def test_an_empty_log_with_a_committee_of_the_old_format_is_upgraded(tmp_path: Path) -> None:
    """The file of its committee lacks members, so that it has another id."""
    path = tmp_path / "operator.db"
    Database(path, LOG_SCHEMA).close()
    change(
        path,
        "DROP TABLE maintenance",
        "DROP TABLE snapshot",
        "DROP TRIGGER windows_counted",
        "DROP TABLE statement_counts",
        "DROP TABLE blocks",
        "DROP INDEX windows_by_statement",
        "ALTER TABLE windows DROP COLUMN statement",
        f"INSERT INTO cursor VALUES (1, '{to_hex(bytes(32))}', 7, 'ab')",
        f"INSERT INTO committees VALUES (0, '{to_hex(bytes(32))}', '{{}}', NULL)",
        "UPDATE schema_log SET version_num = 'log_0006'",
    )

    database = Database(path, LOG_SCHEMA)

    assert Log(database, COMMITTEE).position == Position()
    database.close()
