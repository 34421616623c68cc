"""Single statements on a database, without the transaction of `Database.read`."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from dragon.errors import LogDamaged
from dragon.storage.database import Database


def test_a_single_statement_sees_the_last_commit(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.db")
    with database.write() as connection:
        connection.execute(text("CREATE TABLE t (a INTEGER, b BLOB)"))
        connection.execute(text("INSERT INTO t VALUES (1, x'00'), (2, NULL)"))

    query = "SELECT a, b FROM t WHERE a >= :least ORDER BY a"
    with database.write() as connection:
        connection.execute(text("DELETE FROM t"))
        assert database.query(query, {"least": 1}) == [(1, b"\0"), (2, None)]
    assert database.query(query, {"least": 1}) == []
    assert database.value(query, {"least": 1}) is None
    database.close()


def test_damage_has_the_same_error_as_in_a_transaction(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.db")

    with pytest.raises(LogDamaged, match="is damaged"):
        database.query("SELECT a FROM nothing", {})
    database.close()


def test_single_statements_give_their_connection_back(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.db")
    for _ in range(64):  # more than there are connections
        assert database.value("SELECT :a", {"a": 7}) == 7
        with pytest.raises(LogDamaged):
            database.query("SELECT a FROM nothing", {})
    database.close()
