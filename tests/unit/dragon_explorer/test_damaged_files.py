"""Damaged files of the explorer: certified pages survive, and the damage is not passed over."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from alerting import PaperFleet, config
from dragon.errors import LogDamaged
from dragon.storage.database import Database
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.history.schema import SCHEMA
from dragon_explorer.replaceable import ASIDE, open_replaceable

PAGES = (
    "/",
    "/public",
    "/nodes/target_1",
    "/committee",
    "/incidents",
    "/log",
    "/badge/target_1.svg",
)


def scribble(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[4096:] = bytes((number * 37 + 11) & 255 for number in range(4096, len(raw)))
    file.write_bytes(raw)


def truncate(file: Path) -> None:
    os.truncate(file, 3000)


def empty(file: Path) -> None:
    file.write_bytes(b"")


DAMAGES = [scribble, truncate, empty]


@contextmanager
def damaged(
    tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> Iterator[tuple[PaperFleet, Any]]:
    """A fleet of which one file is damaged while the explorer runs, and a client."""
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN)) as fleet:
        fleet.up("target_1", "target_2")
        fleet.pass_time(5)
        fleet.checkpoint()
        fleet.pass_time(2)
        for database in (*fleet.databases, fleet.database):
            with database.read() as connection:
                connection.exec_driver_sql("SELECT 1")
            database.close()  # so that the file has everything; it is opened again when needed
        damage(tmp_path / name)
        for file in tmp_path.glob(f"{name}-*"):
            file.unlink()
        yield fleet, fleet.app().test_client()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_history_leaves_all_pages_and_is_a_reason(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    with damaged(tmp_path, "explorer-history.db", damage) as (_, client):
        assert [client.get(path).status_code for path in PAGES] == [200] * len(PAGES)
        assert client.get("/api/nodes/target_1").json["node"]["status"] == "up"
        ready = client.get("/readyz")

        assert ready.status_code == 503
        assert any(each.startswith("damaged: ") for each in ready.json["reasons"])


@pytest.mark.parametrize("damage", DAMAGES)
def test_alerts_that_cannot_be_made_are_a_reason(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    class Once:
        """Is set after one look."""

        looks = 0

        def is_set(self) -> bool:
            self.looks += 1
            return self.looks > 1

    with damaged(tmp_path, "explorer-alerts.db", damage) as (fleet, client):
        fleet.alerting.engine._wake.wait = lambda _: True  # type: ignore[method-assign, assignment]
        fleet.alerting.engine.run(Once())  # type: ignore[arg-type]
        reasons = client.get("/readyz").json["reasons"]

        assert any(each.startswith("damaged: no alerts are made: ") for each in reasons)
        assert [client.get(path).status_code for path in PAGES] == [200] * len(PAGES)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_log_shows_nothing_as_up(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    with damaged(tmp_path, "explorer.db", damage) as (_, client):
        client.get("/log")  # where the damage is met
        for path in PAGES:
            answer = client.get(path)
            assert answer.status_code in {200, 503}
            assert "</svg>up</span>" not in answer.text
        assert client.get("/badge/target_1.json").json["color"] == "lightgrey"
        assert client.get("/readyz").status_code == 503


@pytest.mark.parametrize("damage", [scribble, truncate])
def test_a_damaged_file_is_set_aside_at_the_start(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    file = tmp_path / "explorer-history.db"
    open_replaceable(file, SCHEMA).close()
    damage(file)
    with pytest.raises(LogDamaged), Database(file, SCHEMA).read() as connection:
        connection.exec_driver_sql("SELECT * FROM blocks")

    opened = open_replaceable(file, SCHEMA)
    with opened.read() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM blocks").scalar() == 0
    opened.close()
    assert Path(f"{file}{ASIDE}").exists()
