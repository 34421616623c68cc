"""A damaged log file: every flipped byte is harmless or is reported as damage."""

from __future__ import annotations

import random
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dragon import errors
from dragon.log.audit import audit
from dragon.log.follower import Follower
from dragon.log.index_tables import StreamRecords
from dragon.log.ledger import FinalityRule, KeptPositions, Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Alarm, Log
from dragon.protocol import event, merkle
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status
from dragon.storage.database import Database
from unit.log.test_index_tables import COMMITTEE, EVENTS, MEMBERS, ROUNDS, STREAM, batch

PAGE_BYTES = 4096
# A damaged number of the schema's version may look like another release's.
DAMAGE = (errors.LogDamaged, errors.DatabaseTooNew, errors.DatabaseTooOld)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed log with a row in every table but `alarm` and `archived`."""
    path = tmp_path_factory.mktemp("original") / "operator.db"
    database = Database(path, LOG_SCHEMA)
    log = Log(database, COMMITTEE)
    log.take(batch(1, *EVENTS[:3]), batch(2, *EVENTS[3:]))
    head = log.head()
    checkpoint = CheckpointClaim(head.size, head.root, ROUNDS.start(2))
    log.take(batch(3, MEMBERS.certify(checkpoint, ("operator_1", "operator_2", "operator_3"))))
    log.take(batch(4, MEMBERS.status("operator_1", Status.UP, 3)), batch(5, EVENTS[0]))
    database.close()
    return path


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "copy.db"))


def use_all(path: Path) -> None:
    """Open the log, read everything that it says, and apply a batch."""
    database = Database(path, LOG_SCHEMA)
    try:
        log, records = Log(database, COMMITTEE), StreamRecords(database)
        log.entries()
        log.entries_page(-1, 1000, 1 << 20)
        log.position_before(4)
        log.find(EVENTS[0])
        log.rows(None, 0, 1000)
        log.rows("operator_1", 0, 1000)
        log.refusals()
        log.refused_before(100, 100)
        records.streams()
        records.windows(STREAM)
        records.verdicts(STREAM, 1)
        records.endorsements(STREAM)
        records.endorsements(STREAM, 1)
        if log.alarm() is None:
            log.take(batch(6, MEMBERS.status("operator_2", Status.UP, 3)))
    finally:
        database.close()


def flip(original: Path, path: Path, offset: int, mask: int) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    content = bytearray(original.read_bytes())
    content[offset] ^= mask
    path.write_bytes(content)


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)


def verify(path: Path) -> None:
    audit(path, COMMITTEE)


@pytest.mark.parametrize(("use", "reported"), [(use_all, DAMAGE), (verify, errors.DragonError)])
def test_a_flipped_byte_is_harmless_or_damage(
    original: Path,
    tmp_path: Path,
    use: Callable[[Path], None],
    reported: type[Exception] | tuple[type[Exception], ...],
) -> None:
    """Bytes of the header, of the schema, and one of every page."""
    chosen, size = random.Random(14), original.stat().st_size
    offsets = [*chosen.sample(range(100), 30), *chosen.sample(range(100, 3 * PAGE_BYTES), 30)]
    offsets += [chosen.randrange(at, at + PAGE_BYTES) for at in range(0, size, PAGE_BYTES)]
    found = 0
    for offset in offsets:
        flip(original, tmp_path / "flipped.db", offset, 1 << chosen.randrange(8))
        try:
            use(tmp_path / "flipped.db")
        except reported:
            found += 1
    assert found


# At start


def test_an_altered_event_with_its_old_leaf_hash_is_named(copy: Path) -> None:
    change(copy, "UPDATE entries SET event = replace(event, '\"stark\"', '\"statement\"')")

    with pytest.raises(errors.LogDamaged, match=r"^entry 1 was altered on disk") as caught:
        use_all(copy)
    assert caught.value.facts["position"] == 1


def test_an_altered_ledger_index_is_named(copy: Path) -> None:
    change(copy, "UPDATE entries SET ledger_index = 2 WHERE position = 8")

    with pytest.raises(errors.LogDamaged, match=r"^entry 8 was altered on disk"):
        use_all(copy)


def test_an_event_altered_with_its_leaf_hash_differs_from_the_certified_root(copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as database, database:
        [(text, index)] = database.execute(
            "SELECT event, ledger_index FROM entries WHERE position = 1"
        )
        altered = text.replace('"stark"', '"statement"')
        leaf_hash = merkle.leaf_hash(event.leaf_of(altered.encode(), index))
        values = (altered, leaf_hash)
        database.execute("UPDATE entries SET event = ?, leaf_hash = ? WHERE position = 1", values)

    with pytest.raises(errors.LogDamaged, match=r"^the first 7 entries do not have the root that"):
        use_all(copy)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE entries SET kind = 'status' WHERE position = 2", "entry 2 cannot be decoded"),
        (
            "UPDATE entries SET kind = x'00' WHERE position = 2",
            "table entries, row 2: column kind has",
        ),
        ("UPDATE entries SET ledger_index = -1 WHERE position = 2", "entry 2 has a value of"),
        ("DELETE FROM entries WHERE position = 2", "entry 2 is missing"),
        ("UPDATE cursor SET last_index = 3", "the cursor .3. lies before the last entry .4."),
        (
            "UPDATE cursor SET last_index = 'x'",
            "table cursor, row 1: column last_index has a value",
        ),
        ("UPDATE cursor SET last_index = 4", "cursor and entry 8 have different chaining hashes"),
        (
            "INSERT INTO alarm VALUES (1, x'00', '')",
            "table alarm, row 1: column reason has a value",
        ),
        ("ALTER TABLE entries RENAME COLUMN kind TO kinds", "the column kind is missing"),
        ("DROP TABLE cursor", "the table cursor is missing"),
    ],
)
def test_what_contradicts_itself_is_refused_at_start(
    copy: Path, statement: str, message: str
) -> None:
    change(copy, statement)

    with pytest.raises(errors.LogDamaged, match=message):
        use_all(copy)


def test_altered_rows_are_refused_when_they_are_read(copy: Path) -> None:
    noted: list[errors.LogDamaged] = []
    database = Database(copy, LOG_SCHEMA)
    log, records = Log(database, COMMITTEE), StreamRecords(database, noted.append)
    change(
        copy,
        "UPDATE logs SET signature = x'00'",
        "UPDATE streams SET header = '0xzz'",
        "UPDATE windows SET verdict = 'odd'",
        "UPDATE endorsements SET note = 7",
        "UPDATE refused SET detail = x'00'",
        "UPDATE refusals SET count = 'x'",
    )

    reads: list[Callable[[], object]] = [
        *(lambda: log.rows(None, 0, 10), log.refused, log.refusals),
        *(records.streams, lambda: records.windows(STREAM), lambda: records.endorsements(STREAM)),
    ]
    for read in reads:
        with pytest.raises(errors.LogDamaged):
            read()
    database.close()
    assert len(noted) == 3


# At run time


class Silent:
    """A ledger without batches."""

    def poll(
        self, after: Position, kept: KeptPositions | None = None, rule: FinalityRule | None = None
    ) -> list[ProvenBatch]:
        if kept is not None:
            kept(4)
        return []


class Once(threading.Event):
    """An event that is set after two waits."""

    waits = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.waits += 1
        if self.waits == 2:
            self.set()
        return self.is_set()


@pytest.fixture
def log(copy: Path) -> Iterator[Log]:
    database = Database(copy, LOG_SCHEMA)
    yield Log(database, COMMITTEE)
    database.close()


def test_a_read_that_meets_damage_raises_the_alarm(log: Log, copy: Path) -> None:
    change(copy, "UPDATE entries SET event = event || ' ' WHERE position = 4")

    assert log.entry(3).position == 3
    assert log.alarm() is None
    with pytest.raises(errors.LogDamaged, match="entry 4 was altered"):
        log.entries_page(2, 10, 1 << 20)
    alarm = log.alarm()
    assert alarm is not None
    assert alarm.reason == "log_damaged"
    assert alarm.detail.startswith("entry 4 was altered")
    with pytest.raises(errors.LogStopped):
        log.take(batch(6))
    with pytest.raises(errors.LogDamaged):
        log.entries()
    assert log.alarm() == alarm  # the first one stays


def test_the_follower_stops_and_its_thread_goes_on(log: Log, copy: Path) -> None:
    change(copy, "UPDATE entries SET event = event || ' '")
    follower, stop = Follower(log, Silent(), monotonic=lambda: 0.0), Once()

    follower.run(stop)

    assert stop.waits == 2
    assert log.alarm() is not None
    assert follower.step() == []


def test_a_batch_that_cannot_be_written_raises_the_alarm(log: Log, copy: Path) -> None:
    change(copy, "ALTER TABLE refusals RENAME COLUMN count TO counts")
    before = log.position

    with pytest.raises(errors.LogDamaged, match="the column count is missing"):
        log.take(batch(6, EVENTS[0]))

    assert isinstance(log.alarm(), Alarm)
    assert log.position == before


def test_a_row_that_should_not_exist_raises_the_alarm(log: Log, copy: Path) -> None:
    change(copy, "UPDATE entries SET position = 9 WHERE position = 8")

    with pytest.raises(errors.LogDamaged, match="contradicts the log in memory"):
        log.take(batch(6, MEMBERS.status("operator_2", Status.UP, 3)))


def test_a_file_that_refuses_the_first_committee_is_no_log(copy: Path) -> None:
    refuse = "CREATE TRIGGER refuse BEFORE INSERT ON committees BEGIN SELECT RAISE(ABORT, ''); END"
    change(copy, "DELETE FROM committees", refuse)

    with pytest.raises(errors.LogDamaged, match="cannot be read as a log: a row contradicts"):
        use_all(copy)
