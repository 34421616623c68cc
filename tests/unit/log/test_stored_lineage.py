"""The lineage in the file of a log, read beside the service that writes it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from committees import Members
from dragon import errors
from dragon.log import stored_lineage
from dragon.log.cursor import Alarm, store_alarm
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.storage.database import Database
from epochs import successor
from homes import ROUNDS, make_log, recent_members

OLD = recent_members()
NEW = successor(OLD, None, add=["operator_5"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "operator.db"


def written(path: Path, *epochs: Members) -> Path:
    make_log(path, list(epochs), now=OLD.committee.rounds.start(ROUNDS))
    return path


def test_a_log_of_epoch_0_has_a_lineage_of_one(path: Path) -> None:
    found = stored_lineage.read(written(path, OLD))

    assert found.lineage.committees == (OLD.committee,)
    assert found.log_time == OLD.committee.rounds.start(ROUNDS - 1)
    assert found.alarm is None
    found.lineage.verify()


def test_after_a_handover_the_lineage_is_whole_and_verifies(path: Path) -> None:
    [handover] = make_log(path, [OLD, NEW])

    found = stored_lineage.read(path)

    assert found.lineage.committees == (OLD.committee, NEW.committee)
    assert found.lineage.handovers == (handover,)
    found.lineage.verify()


def test_a_log_without_a_mark_has_the_time_of_genesis(path: Path) -> None:
    with closing(Database(path, LOG_SCHEMA)) as database:
        Log(database, OLD.committee)

    found = stored_lineage.read(path)

    assert found.log_time == OLD.committee.rounds.genesis
    assert found.lineage.checkpoint is None


def test_the_alarm_is_read(path: Path) -> None:
    with (
        closing(Database(written(path, OLD), LOG_SCHEMA)) as database,
        database.write() as connection,
    ):
        store_alarm(connection, Alarm("diverged", "another root"))

    assert stored_lineage.read(path).alarm == Alarm("diverged", "another root")


def test_the_file_is_not_created_and_not_changed(path: Path) -> None:
    with pytest.raises(errors.NotFound):
        stored_lineage.read(path)
    assert not path.exists()

    before = written(path, OLD).read_bytes()
    stored_lineage.read(path)
    assert path.read_bytes() == before


def test_a_database_that_is_being_created_has_no_log_yet(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")

    with pytest.raises(errors.NotFound):
        stored_lineage.read(path)


def test_a_file_without_a_log_is_damaged(path: Path) -> None:
    path.write_bytes(b"no database" * 100)

    with pytest.raises(errors.LogDamaged):
        stored_lineage.read(path)


def test_an_altered_committee_is_damage(path: Path) -> None:
    with closing(sqlite3.connect(written(path, OLD, NEW))) as database:
        database.execute("UPDATE committees SET document = replace(document, 'test', 'else')")
        database.commit()

    with pytest.raises(errors.LogDamaged):
        stored_lineage.read(path)
