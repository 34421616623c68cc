"""A log that is damaged while its operator runs: requests, readiness, metrics, other operators."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dragon.errors import LogDamaged
from simulation import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        world.run(3)
        yield world


def change(world: World, statement: str) -> None:
    with closing(sqlite3.connect(world.database_file("operator_1"))) as file, file:
        file.execute(statement)


def test_damage_is_reported_and_stops_only_this_operators_log(world: World) -> None:
    change(world, "UPDATE entries SET event = event || ' ' WHERE position = 1")

    assert world.get("operator_1", "/events/0").status_code == 200
    answer = world.get("operator_1", "/events")

    assert (answer.status_code, answer.json()["title"]) == (503, "log_damaged")
    assert answer.json()["position"] == 1
    reasons = world.get("operator_1", "/readyz").json()["reasons"]
    assert reasons[0].startswith("alarm: log_damaged: entry 1 was altered on disk")
    assert "datadragon_alarm 1.0" in world.get("operator_1", "/metrics").text
    size = world.components("operator_1").log.head().size
    world.run(14)  # with a checkpoint
    assert world.components("operator_1").log.head().size == size
    assert world.components("operator_2").log.head().size > size
    world.crash("operator_1")
    with pytest.raises(LogDamaged, match="entry 1"):
        world.start("operator_1")
    change(world, "UPDATE entries SET event = rtrim(event) WHERE position = 1")
    world.start("operator_1")
    world.run(3)
    assert world.components("operator_1").log.alarm() is None
    assert world.entries("operator_1") == world.entries("operator_2")


def test_readiness_and_metrics_answer_when_a_table_is_gone(world: World) -> None:
    change(world, "ALTER TABLE refusals RENAME TO gone")

    assert world.get("operator_1", "/refused").json()["title"] == "log_damaged"
    text = world.get("operator_1", "/metrics").text
    assert "datadragon_log_size" in text
    assert "alarm: log_damaged" in world.get("operator_1", "/readyz").text
    change(world, "ALTER TABLE gone RENAME TO refusals")
