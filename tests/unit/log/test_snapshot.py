"""A start from a snapshot says the same as a start that reads all entries, or finds the damage."""

from __future__ import annotations

import base64
import json
import random
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from committees import make_members
from dragon import errors
from dragon.encoding import canonical
from dragon.log import archive, block_table, columns, cursor, file_check, index_tables, snapshot
from dragon.log.derived import Derived
from dragon.log.ledger import Position
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol import event, history, merkle
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.maintenance import MaintenanceClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.claims.window import InvalidReason
from dragon.protocol.state import State
from dragon.storage.database import Database
from epoch_log import EpochLog, pass_three_handovers
from unit.log.test_index_tables import EVENTS, batch, praise, window

MEMBERS = make_members(4, targets=2, experts=2)
COMMITTEE, ROUNDS = MEMBERS.committee, MEMBERS.committee.rounds
NODES = list(COMMITTEE.urls)
SIGNERS = ("operator_1", "operator_2", "operator_3")
TEMPLATE = MEMBERS.certify(StatusClaim("operator_1", Status.UP, ROUNDS.start(0)), SIGNERS)
NEVER = 1 << 40
Step = tuple[str, int, int]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few items fill a block, so that short logs have many."""
    shrink(monkeypatch)


def shrink(patch: pytest.MonkeyPatch) -> None:
    for module in (history, snapshot):
        patch.setattr(module, "BLOCK_ITEMS", 3)
    patch.setattr(columns, "BLOCK_INTEGERS", 2)
    patch.setattr(merkle, "BLOCK_HASHES", 4)
    for module in (merkle, block_table):
        patch.setattr(module, "BLOCK_BYTES", 4 * merkle.HASH_BYTES)
    patch.setattr(file_check, "PAGE_ENTRIES", 2)
    patch.setattr(file_check, "BLOCKS_EVERY", 3)


class Writer:
    """Writes entries into a log's file. Nobody verifies their signatures, only who reads them."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path, LOG_SCHEMA)
        self.tree = merkle.Tree()
        self.time = 1
        self.windows = 0
        with self.database.write() as connection:
            cursor.read_cursor(connection, COMMITTEE.network_id)

    def write(self, steps: Iterable[Step]) -> None:
        with self.database.transaction() as changing:
            for step in steps:
                claim = self._claim(*step)
                made = (
                    MEMBERS.endorse(claim)
                    if claim.KIND == "endorsement"
                    else replace(TEMPLATE, claim=claim)
                )
                self._append(changing, made)
            size = len(self.tree)
            cursor.advance_cursor(changing, Position(size, f"{size:032x}"))

    def _claim(self, what: str, one: int, other: int) -> Any:
        self.time += 1 + other % 3 * 10
        at = ROUNDS.start(self.time)
        if what == "status" or not len(self.tree):
            moves = [Status.UP, Status.DOWN]
            return StatusClaim(NODES[one % len(NODES)], moves[other % 2], at)
        if what == "checkpoint":
            size = 1 + one % len(self.tree)
            return CheckpointClaim(size, self.tree.root(size), at)
        if what == "maintenance":
            begin = at + one
            return MaintenanceClaim(NODES[one % 2], begin, begin + 1 + other, at)
        if what == "endorsement":
            return replace(praise(0, other), timestamp=at)
        fault = InvalidReason.STARK if other % 3 == 0 else InvalidReason.NONE
        made = replace(window(self.windows % 100, fault=fault), timestamp=at)
        self.windows += fault is InvalidReason.NONE
        return made

    def _append(self, changing: Any, made: Any) -> None:
        position = len(self.tree)
        text = canonical(made.to_json())
        leaf_hash = merkle.leaf_hash(event.leaf_of(text, position + 1))
        row = (position, made.claim.KIND, f"{position}", text.decode(), leaf_hash, position + 1)
        changing.execute(
            "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, None, f"{position + 1:032x}"),
        )
        index_tables.insert(changing, position, made)
        self.tree.append(leaf_hash)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["status", "checkpoint", "checkpoint", "maintenance", "endorsement", "window"]
        ),
        st.integers(0, 200),
        st.integers(0, 200),
    ),
    min_size=1,
    max_size=16,
)


def all_of(log: Log) -> list[object]:
    """Everything that a log says: two logs of the same entries say the same."""
    state, size = log.state, log.head().size
    found: list[object] = [log.position, log.committee, log.alarm(), log.committee_before]
    # The positions of marks and moves are not compared by `==`.
    found += [state, [*map(repr, state.marks)], [*map(repr, state.handovers)]]
    found += [repr(state.checkpoint), repr(sorted(state.nodes.items()))]
    for at in range(size + 1):
        found.append(log.head(at))
        found += [log.inclusion(each, at) for each in range(at)]
    marks = [0, *(mark.timestamp for mark in state.marks)]
    draw = random.Random(size)
    for node in sorted(state.nodes):
        for _ in range(10):
            begin = draw.choice(marks) + draw.randint(-9, 9)
            interval = (begin, begin + draw.randint(1, 1000))
            known = draw.randint(0, size)
            found.append((interval, log.totals(known, node, interval)))
            found.append(log.listed_nodes(known, interval))
    found += [state.settling(time) for time in marks]
    found += [state.first_checkpoint(time) for time in marks]
    return found


class Opened(NamedTuple):
    log: Log
    database: Database


@contextmanager
def opened(path: Path, every: int = NEVER, committee: Any = COMMITTEE) -> Iterator[Opened]:
    database = Database(path, LOG_SCHEMA)
    try:
        yield Opened(Log(database, committee, snapshot_entries=every), database)
    finally:
        database.close()


def execute(path: Path, *statements: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as database, database:
        return [row for statement in statements for row in database.execute(statement)]


def covered(path: Path) -> int | None:
    """Return how many entries the snapshot covers."""
    return next((row[0] for row in execute(path, "SELECT size FROM snapshot")), None)


def read_completely(path: Path) -> list[object]:
    """What a start without a snapshot says."""
    copy = path.with_name("complete.db")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    execute(copy, "DELETE FROM snapshot", "DELETE FROM blocks")
    with opened(copy) as (log, _):
        assert is_checked(log)
        return all_of(log)


def is_checked(log: Log) -> bool:
    """Return whether all that the start relied on is checked."""
    return log.check.is_finished


def check(log: Log) -> None:
    """Run the check of the file to its end."""
    with mock.patch.object(file_check, "IDLE_FACTOR", 0):
        log.check.run(threading.Event())


@settings(deadline=None, max_examples=20)
@given(st.lists(STEPS, min_size=1, max_size=3), st.integers(1, 12))
def test_a_start_from_a_snapshot_equals_a_start_from_all_entries(
    tmp_path_factory: pytest.TempPathFactory, parts: Sequence[Sequence[Step]], every: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "operator.db"
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        writer = Writer(path)
        for part in parts:
            writer.write(part)
            with opened(path, every) as (log, _):  # it stores a snapshot if one is due
                check(log)
                assert is_checked(log), log.alarm()
        writer.database.close()
        expected = read_completely(path)
        with opened(path) as (log, _):
            relied_on = covered(path)
            assert is_checked(log) is (relied_on is None)
            assert log.check.entries_left == (relied_on or 0)

            assert all_of(log) == expected
            check(log)
            assert (is_checked(log), log.alarm()) == (True, None)


def test_a_log_that_applies_batches_stores_snapshots(tmp_path: Path) -> None:
    path = tmp_path / "operator.db"
    made = make_members(experts=2).committee
    with opened(path, 2, made) as (log, _):
        assert covered(path) is None
        log.take(batch(1, *EVENTS[:3]))
        assert covered(path) == 3
        log.take(batch(2, *EVENTS[3:4]))
        assert covered(path) == 3
        log.take(batch(3, *EVENTS[4:]))
        assert covered(path) == len(EVENTS)
        expected = all_of(log)

    with opened(path, committee=made) as (log, _):
        assert not is_checked(log)
        assert all_of(log) == expected
        check(log)
        assert is_checked(log)
        assert log.take(batch(4, make_members(experts=2).status("operator_1", Status.UP, 1)))
    assert read_completely_of(path, made) != expected  # it has one entry more


def read_completely_of(path: Path, committee: Any) -> list[object]:
    execute(path, "DELETE FROM snapshot", "DELETE FROM blocks")
    with opened(path, committee=committee) as (log, _):
        return all_of(log)


@pytest.mark.parametrize("every", [1, 3, 5])
def test_handovers_are_in_snapshots(tmp_path: Path, every: int) -> None:
    path, founding = tmp_path / "operator.db", make_members(4, targets=1)
    with opened(path, every, founding.committee) as (log, _):
        pass_three_handovers(EpochLog(log, path, [founding]))
        expected = all_of(log)
        assert log.committee.epoch == 3

    with opened(path, committee=founding.committee) as (log, _):
        assert log.check.entries_left == covered(path)
        assert all_of(log) == expected
        check(log)
        assert is_checked(log)
    assert read_completely_of(path, founding.committee) == expected


# A log with a snapshot of most entries, and some after it


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "operator.db"
    draw = random.Random(5)
    kinds = ["status", "checkpoint", "maintenance", "endorsement", "window"]
    steps = [(kinds[at % 5], draw.randrange(200), draw.randrange(200)) for at in range(40)]
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        writer = Writer(path)
        writer.write(steps)
        with opened(path, 30):
            pass
        writer.write([("checkpoint", 30, 1), ("status", 1, 1)])
        writer.database.close()
    assert covered(path) == 40
    return path


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "copy.db"))


def as_encoded(document: object) -> str:
    """Return a document as the content of a snapshot."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def changed_snapshot(path: Path, change: str) -> None:
    """Change the content of the snapshot, with the digest that belongs to the changed content."""
    [(size, content)] = execute(path, "SELECT size, content FROM snapshot")
    altered = snapshot.Snapshot(size, change.encode() if change else content[:-1])
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "UPDATE snapshot SET content = ?, digest = ?", (altered.content, altered.digest)
        )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE snapshot SET size = size - 1",
        "UPDATE snapshot SET size = 0",
        "UPDATE snapshot SET digest = x'00'",
        "UPDATE snapshot SET content = CAST(replace(content, 'up', 'un') || ' ' AS BLOB)",
        "UPDATE snapshot SET content = zeroblob(length(content))",
        "DELETE FROM snapshot",
    ],
)
def test_an_altered_snapshot_is_not_used(copy: Path, statement: str) -> None:
    expected = read_completely(copy)
    execute(copy, statement)

    with opened(copy) as (log, _):
        assert is_checked(log), "all entries were read and checked"
        assert all_of(log) == expected


MEMBERS_OF_SNAPSHOT = (
    *("format", "network", "committee", "epoch", "ledger_index", "tree", "downtime", "marks"),
    *("checkpoint", "handovers", "nodes", "streams", "maintenance", "listed_since"),
)


@pytest.mark.parametrize("member", MEMBERS_OF_SNAPSHOT)
def test_a_snapshot_with_a_wrong_member_is_not_used_or_found_by_the_check(
    copy: Path, tmp_path: Path, member: str
) -> None:
    """Its digest is right, as if a faulty release had written it."""
    size = 42
    [(content,)] = execute(copy, "SELECT content FROM snapshot")
    assert json.loads(content).keys() == set(MEMBERS_OF_SNAPSHOT)
    values: list[object] = [7, "x", [], {}, None]
    for value in values:
        document = json.loads(content) | {member: value}
        path = Path(shutil.copy(copy, tmp_path / "changed.db"))
        changed_snapshot(path, as_encoded(document))

        with opened(path) as (log, _):
            assert log.head().size == size
            if is_checked(log):  # all entries were read instead
                continue
            check(log)
            assert not is_checked(log)
            alarm = log.alarm()
            assert alarm is not None
            assert alarm.reason == "log_damaged"


def test_a_snapshot_of_a_release_that_encodes_differently_is_not_used(copy: Path) -> None:
    expected = read_completely(copy)
    [(content,)] = execute(copy, "SELECT content FROM snapshot")
    changed_snapshot(copy, json.dumps(json.loads(content)))

    with opened(copy) as (log, _):
        assert is_checked(log)  # all entries were read instead
        assert (log.alarm(), all_of(log)) == (None, expected)


def test_a_snapshot_that_fits_to_other_entries_is_not_used(copy: Path) -> None:
    """Such as one that a restored copy of the file has kept."""
    execute(copy, "DELETE FROM entries WHERE position >= 39", "UPDATE cursor SET last_index = 39")
    execute(
        copy,
        "UPDATE cursor SET chaining_hash = (SELECT chaining_hash FROM entries WHERE position = 38)",
    )

    with opened(copy) as (log, _):
        assert is_checked(log)
        assert log.head().size == 39


def test_entries_after_the_snapshot_are_checked_at_the_start(copy: Path) -> None:
    execute(copy, "UPDATE entries SET event = event || ' ' WHERE position = 41")

    with pytest.raises(errors.LogDamaged, match="entry 41 was altered on disk"):
        Log(Database(copy, LOG_SCHEMA), COMMITTEE)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE cursor SET last_index = 3",
        "UPDATE cursor SET chaining_hash = 'x'",
        "UPDATE cursor SET network = 'x'",
        "UPDATE committees SET document = replace(document, 'operator_1', 'operator_9')",
        "ALTER TABLE alarm RENAME COLUMN reason TO reasons",
        "DROP TABLE refusals",
    ],
)
def test_small_tables_are_checked_at_the_start(copy: Path, statement: str) -> None:
    execute(copy, statement)

    database = Database(copy, LOG_SCHEMA)
    with pytest.raises((errors.LogDamaged, errors.DocumentMissing)):
        Log(database, COMMITTEE).refusals()
    database.close()


ZEROS = "UPDATE blocks SET content = zeroblob(128)"
BACKGROUND = {
    "UPDATE entries SET event = event || ' ' WHERE position = 4": "entry 4 was altered on disk",
    "UPDATE entries SET ledger_index = 2 WHERE position = 8": "entry 8 was altered on disk",
    "UPDATE entries SET kind = 'x' WHERE position = 8": "entry 8 cannot be decoded",
    "UPDATE entries SET kind = x'00' WHERE position = 8": "table entries, row 8: column kind has",
    "DELETE FROM entries WHERE position = 2": "entry 2 is missing",
    "DELETE FROM entries WHERE position < 39": "entry 0 is missing",
    "UPDATE logs SET status = x'00'": "is damaged",
    "UPDATE statement_counts SET windows = 1 + windows": "table statement_counts: the number for",
    "INSERT INTO statement_counts VALUES ('x', '', 1)": "table statement_counts: the number for",
    "DELETE FROM blocks WHERE series = 'tree_0' AND number = 2": "block 2 of tree_0 is missing",
    f"{ZEROS} WHERE series = 'tree_0' AND number = 1": "block 1 of tree_0 was altered on disk",
    f"{ZEROS} WHERE series = 'marks' AND number = 1": "block 1 of marks was altered on disk",
    "UPDATE blocks SET number = 77 WHERE series = 'mark_times' AND number = 0": (
        "block 0 of mark_times is missing"
    ),
}


@pytest.mark.parametrize("statement", BACKGROUND)
def test_the_check_finds_damage_that_the_start_did_not_look_for(copy: Path, statement: str) -> None:
    execute(copy, statement)
    with opened(copy) as (log, _):
        assert log.alarm() is None
        assert not is_checked(log)

        check(log)

        alarm = log.alarm()
        assert alarm is not None
        assert alarm.reason == "log_damaged"
        assert BACKGROUND[statement] in alarm.detail
        assert not is_checked(log)
        with pytest.raises(errors.LogStopped):
            log.take(batch(99))
    assert covered(copy) is None, "the next start reads everything"
    if "blocks" in statement:
        with opened(copy) as (log, _):
            assert (is_checked(log), log.alarm()) == (True, None)
    else:
        with pytest.raises(errors.LogDamaged):
            Log(Database(copy, LOG_SCHEMA), COMMITTEE)


def test_entries_altered_with_their_leaf_hashes_are_found_by_the_check(copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as database, database:
        [(text, index)] = database.execute(
            "SELECT event, ledger_index FROM entries WHERE position = 0"
        )
        altered = text.replace("operator_", "operator-")
        assert altered != text
        leaf_hash = merkle.leaf_hash(event.leaf_of(altered.encode(), index))
        database.execute(
            "UPDATE entries SET event = ?, leaf_hash = ? WHERE position = 0", (altered, leaf_hash)
        )

    with opened(copy) as (log, _):
        check(log)
        alarm = log.alarm()
        assert alarm is not None
        assert alarm.detail == "block 0 of tree_0 differs from what the entries say"


def test_a_damaged_block_that_is_read_raises_the_alarm_and_the_next_start_heals(copy: Path) -> None:
    expected = read_completely(copy)
    execute(copy, f"{ZEROS} WHERE series = 'tree_0' AND number = 1")
    with opened(copy) as (log, _):
        with pytest.raises(errors.LogDamaged, match="block 1 of tree_0 was altered"):
            log.inclusion(5, 40)
        alarm = log.alarm()
        assert alarm is not None
        assert alarm.reason == "log_damaged"

    with opened(copy) as (log, _):
        assert all_of(log) == expected


def test_a_root_that_differs_from_the_newest_mark_is_found_at_the_start(copy: Path) -> None:
    """The tree of the snapshot is compared with the newest certified root."""
    [(content,)] = execute(copy, "SELECT content FROM snapshot")
    document = json.loads(content)
    level = next(at for at, tail in enumerate(document["tree"]) if tail)
    tail = base64.b64decode(document["tree"][level])
    document["tree"][level] = base64.b64encode(bytes(32) + tail[32:]).decode()
    changed_snapshot(copy, as_encoded(document))
    execute(copy, "DELETE FROM entries WHERE position >= 40")
    execute(
        copy,
        "UPDATE cursor SET last_index = 40, chaining_hash = "
        "(SELECT chaining_hash FROM entries WHERE position = 39)",
    )

    with opened(copy) as (log, _):
        if not is_checked(log):
            check(log)
            assert log.alarm() is not None


def test_the_check_ends_when_it_is_told_to(copy: Path) -> None:
    class Soon(threading.Event):
        waits = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.waits += 1
            if self.waits == 3:
                self.set()
            return self.is_set()

    with opened(copy) as (log, _):
        stop = Soon()
        log.check.run(stop)

        assert stop.waits == 3
        assert (is_checked(log), log.check.entries_left) == (False, 40 - 3 * 2)
        check(log)
        assert (is_checked(log), log.check.entries_left) == (True, 0)


def test_the_check_ends_while_sqlite_checks_its_structures(copy: Path) -> None:
    stop = threading.Event()
    stop.set()
    with opened(copy) as (log, _), mock.patch.object(file_check, "_STEPS_BETWEEN_LOOKS", 1):
        log.check.run(stop)

        assert (is_checked(log), log.alarm()) == (False, None)
        assert log.entry(0).position == 0


def test_the_check_ends_while_the_counts_of_windows_are_compared(copy: Path) -> None:
    stop = threading.Event()
    stop.set()
    with (
        opened(copy) as (log, _),
        mock.patch.object(file_check, "_STEPS_BETWEEN_LOOKS", 1),
        mock.patch.object(file_check, "check_structure"),
    ):
        log.check.run(stop)

        assert (is_checked(log), log.alarm()) == (False, None)
        assert log.entry(0).position == 0


def test_damage_that_is_found_while_a_snapshot_is_made_leaves_none(tmp_path: Path) -> None:
    path, committee = tmp_path / "operator.db", make_members(experts=2).committee
    with opened(path, 1, committee) as (log, _):
        real = snapshot.encode

        def encode(derived: Derived) -> snapshot.Snapshot:
            log.note_damage(errors.LogDamaged("found by the check of the file"))
            return real(derived)

        with mock.patch.object(snapshot, "encode", encode):
            assert len(log.take(batch(1, EVENTS[0]))) == 1
        assert log.alarm() is not None
        assert covered(path) is None


# Crashes


class Crash(BaseException):
    """Ends the process at this line, as `kill -9` would."""


@pytest.mark.parametrize(
    "target",
    [
        (block_table, "write"),
        (snapshot, "store"),
        (snapshot, "encode"),
        (merkle.Tree, "forget"),
    ],
)
@pytest.mark.parametrize("calls", [0, 1, 5])
def test_a_crash_while_a_snapshot_is_stored_loses_nothing(
    tmp_path: Path, target: tuple[Any, str], calls: int
) -> None:
    path, committee = tmp_path / "operator.db", make_members(experts=2).committee
    real, made = getattr(*target), 0

    def crash(*arguments: Any) -> Any:
        nonlocal made
        made += 1
        if made > calls:
            raise Crash
        return real(*arguments)

    with opened(path, 1, committee) as (log, _), pytest.MonkeyPatch.context() as patch:
        patch.setattr(*target, crash)
        try:
            for number, each in enumerate(EVENTS, start=1):
                log.take(batch(number, each))
        except Crash:
            pass
        applied = log.position.index

    with opened(path, committee=committee) as (log, _):
        assert log.head().size == log.position.index == applied
        check(log)
        assert is_checked(log)
        log.take(*(batch(at, each) for at, each in enumerate(EVENTS, start=1)))
        assert log.head().size == len(EVENTS)


@pytest.mark.parametrize("error", [errors.DiskFull("full"), errors.LogDamaged("broken")])
def test_a_snapshot_that_cannot_be_stored_stops_no_batch(
    tmp_path: Path, error: errors.DragonError
) -> None:
    path, committee = tmp_path / "operator.db", make_members(experts=2).committee
    with opened(path, 1, committee) as (log, _):
        with mock.patch.object(snapshot, "store", side_effect=error):
            assert len(log.take(batch(1, EVENTS[0]))) == 1
        alarm = log.alarm()
        assert (alarm is None) is isinstance(error, errors.DiskFull)
        if alarm is None:
            assert len(log.take(batch(2, EVENTS[1]))) == 1
            assert covered(path) == 2


# Memory


def test_full_blocks_do_not_stay_in_memory(tmp_path: Path) -> None:
    writer, path = Writer(tmp_path / "operator.db"), tmp_path / "operator.db"
    writer.write([("checkpoint", at, 1) for at in range(100)])
    with opened(path, 10) as (log, _):
        pass
    writer.write([("checkpoint", at, 1) for at in range(5)])
    writer.database.close()

    with opened(path) as (log, _):
        held = [number for number, _ in log.state.marks.new_blocks()]

        assert len(log.state.marks) == 104
        assert min(held, default=33) >= 33


def test_an_archived_log_has_no_snapshot(copy: Path) -> None:
    archive.archive(copy)

    assert execute(copy, "SELECT COUNT(*) FROM snapshot") == [(0,)]
    assert execute(copy, "SELECT COUNT(*) FROM blocks") == [(0,)]


def test_a_state_of_another_kind_is_never_in_a_snapshot() -> None:
    state = State.of(COMMITTEE)

    assert snapshot.can_store(state)
    assert not snapshot.can_store(replace(state, further={"weather": 1}))
