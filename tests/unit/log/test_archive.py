"""Archiving a log that has applied a handover."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from committees import make_members
from dragon import errors
from dragon.log import stored_lineage
from dragon.log.archive import archive
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol.founding import refound
from dragon.storage.database import Database
from epochs import successor
from homes import make_log

OLD = make_members(4)
NEW = successor(OLD, None, add=["operator_5"])
NETWORK = OLD.committee.network_id
REFOUNDED = refound(NEW.committee, OLD.committee.rounds.genesis + 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "operator.db"
    make_log(path, [OLD, NEW])
    return path


@pytest.mark.parametrize("refounded", [None, NETWORK])
def test_a_network_that_has_handed_over_cannot_begin_again(
    path: Path, refounded: bytes | None
) -> None:
    before = path.read_bytes()

    with pytest.raises(errors.HandedOver, match="has applied a handover, to epoch 1"):
        archive(path, refounded=refounded)

    assert path.read_bytes() == before
    assert list(path.parent.glob("*.archived-*")) == []


def test_its_file_can_serve_a_new_network(path: Path) -> None:
    copy = archive(path, refounded=REFOUNDED.network_id)

    assert stored_lineage.read(copy).lineage.newest == NEW.committee
    with closing(Database(path, LOG_SCHEMA)) as database:
        assert Log(database, REFOUNDED).committee == REFOUNDED


def test_a_log_without_a_handover_needs_no_new_network(tmp_path: Path) -> None:
    path = tmp_path / "operator.db"
    make_log(path, [OLD])

    assert archive(path).exists()


def test_what_is_no_log_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "operator.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE other (x)")

    with pytest.raises(errors.LogDamaged):
        archive(path)
