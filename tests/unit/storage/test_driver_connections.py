"""Connections of the driver: used again, one thread at a time, never in an open transaction."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dragon.storage.driver_connections import MAX_IDLE_CONNECTIONS, DriverConnections

Opened = list[sqlite3.Connection]


@pytest.fixture
def opened() -> Opened:
    return []


@pytest.fixture
def connections(tmp_path: Path, opened: Opened) -> Iterator[DriverConnections]:
    made = DriverConnections(tmp_path / "x.db", opened.append)
    with made.use() as connection:
        connection.execute("CREATE TABLE t (a)")
    yield made
    made.close()


def rows(connections: DriverConnections) -> list[tuple[int]]:
    with connections.use() as connection:
        return connection.execute("SELECT a FROM t").fetchall()


def is_open(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return False
    return True


def test_a_connection_is_used_again(connections: DriverConnections, opened: Opened) -> None:
    for _ in range(5):
        rows(connections)

    assert len(opened) == 1


def test_two_users_have_two_connections(connections: DriverConnections, opened: Opened) -> None:
    with connections.use() as one, connections.use() as two:
        assert one is not two

    assert len(opened) == 2


def test_what_is_not_committed_is_rolled_back(connections: DriverConnections) -> None:
    with connections.use() as connection:
        connection.execute("INSERT INTO t VALUES (1)")

    def fail() -> None:
        with connections.use() as connection:
            connection.execute("INSERT INTO t VALUES (2)")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()

    assert rows(connections) == []
    with connections.use() as connection:
        assert not connection.in_transaction


def test_only_some_connections_are_kept(connections: DriverConnections, opened: Opened) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_IDLE_CONNECTIONS + 3):
            stack.enter_context(connections.use())

    assert sum(map(is_open, opened)) == MAX_IDLE_CONNECTIONS


def test_all_connections_are_closed_at_the_end(
    connections: DriverConnections, opened: Opened
) -> None:
    with connections.use(), connections.use() as used:
        connections.close()
        assert is_open(used)

    assert not any(map(is_open, opened))


def test_a_connection_that_cannot_be_configured_is_closed(tmp_path: Path, opened: Opened) -> None:
    def refuse(connection: sqlite3.Connection) -> None:
        opened.append(connection)
        raise sqlite3.OperationalError("no")

    with pytest.raises(sqlite3.OperationalError), DriverConnections(tmp_path / "x", refuse).use():
        pass

    assert not any(map(is_open, opened))


def test_threads_share_connections(connections: DriverConnections, opened: Opened) -> None:
    def add(number: int) -> None:
        for _ in range(20):
            with connections.use() as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO t VALUES (?)", (number,))
                connection.commit()

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(rows(connections)) == 80
    assert len(opened) <= 4
