"""One error for a file that cannot be read, from whichever library the error comes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from dragon.errors import LogDamaged
from dragon.storage.damage import unreadable


def test_an_error_of_the_library_has_our_words() -> None:
    engine = create_engine("sqlite://", poolclass=NullPool)

    with (
        pytest.raises(LogDamaged) as raised,
        unreadable("a.db cannot be read"),
        engine.connect() as connection,
    ):
        connection.exec_driver_sql("SELECT * FROM absent")

    assert str(raised.value) == "a.db cannot be read: the table absent is missing"


def test_an_error_of_the_driver_has_our_words(tmp_path: Path) -> None:
    with (
        closing(sqlite3.connect(tmp_path / "a.db")) as database,
        pytest.raises(LogDamaged) as raised,
        unreadable("a.db cannot be read"),
    ):
        database.execute("SELECT * FROM absent")

    assert str(raised.value) == "a.db cannot be read: the table absent is missing"


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(ZeroDivisionError), unreadable("a.db cannot be read"):
        raise ZeroDivisionError
