"""Databases are opened by their path, whatever characters it has."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from dragon.errors import LogDamaged
from dragon.storage.database import Database
from dragon.storage.read_only import ReadOnlyDatabase
from dragon_stream.scrub import ReadOnlyDatabase as ScrubDatabase

ROWS = text("SELECT a FROM t")


@pytest.mark.parametrize("name", ["plain", "a b", "a#b", "a%41b", "a?b", "a?b=1", "a&b=1", "ü"])
@pytest.mark.parametrize("reader", [ReadOnlyDatabase, ScrubDatabase])
def test_a_database_is_found_whatever_its_folder_is_called(
    tmp_path: Path, reader: type[ReadOnlyDatabase | ScrubDatabase], name: str
) -> None:
    path = tmp_path / name / "x.db"
    with closing(Database(path)) as database:
        with database.transaction() as cursor:
            cursor.execute("CREATE TABLE t (a INTEGER)")
            cursor.execute("INSERT INTO t VALUES (7)")
        with database.read() as connection:
            assert connection.execute(ROWS).scalars().all() == [7]

    with reader(path).read() as connection:
        assert connection.execute(ROWS).scalars().all() == [7]
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_database_that_is_missing_is_not_created(tmp_path: Path) -> None:
    path = tmp_path / "x.db"

    with (
        pytest.raises(LogDamaged, match=r"x\.db cannot be read: it cannot be opened"),
        ReadOnlyDatabase(path).read(),
    ):
        pass

    assert not path.exists()
