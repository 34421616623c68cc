"""Alerts and announced maintenance: what is held back, and what is told after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from alerting import PaperFleet, config
from dragon_explorer.alerts.conditions import Condition

Make = Callable[..., PaperFleet]
BEGIN, END = 20, 120  # of the maintenance of target_1, in seconds after the announcement
LATE = 10  # two rounds


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make a fleet whose rule holds alerts back, and announce maintenance of target_1."""
    with ExitStack() as stack:

        def made(*on: Condition, hold: bool = True, **settings: Any) -> PaperFleet:
            settings = {"hold_during_maintenance": hold, **settings}
            fleet = stack.enter_context(PaperFleet(tmp_path, config(*on, **settings)))
            fleet.up("target_1", "target_2", "target_3")
            fleet.pass_time(10)
            fleet.announce("target_1", BEGIN, END)
            fleet.work()
            return fleet

        yield made


def test_an_alert_waits_for_the_end_of_announced_maintenance(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.pass_time(BEGIN)
    fleet.down("target_1")
    fleet.pass_time(END - BEGIN + LATE - 2)
    assert fleet.receiver.types == []
    client = fleet.app().test_client()
    [row] = client.get("/api/alerts").json["alerts"]
    assert (row["is_told"], row["is_held"]) == (False, True)
    assert "held back: announced maintenance" in client.get("/alerts").text
    fleet.pass_time(5)

    assert fleet.receiver.titles == ["Down: target_1"]
    [row] = client.get("/api/alerts").json["alerts"]
    assert (row["is_told"], row["is_held"]) == (True, False)
    assert "Its announced maintenance ended at" in fleet.receiver.messages[0].text
    fleet.pass_time(60)
    fleet.up("target_1")
    fleet.pass_time(10)

    assert fleet.receiver.types == ["node_down.begun", "node_down.resolved"]
    [incident] = fleet.receiver.incidents()
    assert incident["seconds_maintenance"] == END - BEGIN
    assert "1 minute 40 seconds of it was announced maintenance" in fleet.receiver.messages[1].text


def test_an_outage_in_announced_maintenance_is_never_told(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.pass_time(BEGIN)
    fleet.down("target_1")
    fleet.pass_time(60)
    fleet.up("target_1")
    fleet.pass_time(30)
    fleet.crash()
    fleet.pass_time(120)

    assert fleet.receiver.types == []


def test_a_node_that_is_up_when_its_maintenance_ends_causes_no_alert(make: Make) -> None:
    """The log learns it a round later."""
    fleet = make(Condition.NODE_DOWN)
    fleet.pass_time(BEGIN)
    fleet.down("target_1")
    fleet.pass_time(END - BEGIN - 1)
    fleet.up("target_1")
    fleet.now += 6  # the explorer reads the ledger after the end
    fleet.pass_time(60)

    assert fleet.receiver.types == []


def test_an_outage_that_outlasts_the_maintenance_while_the_explorer_is_stopped_is_told(
    make: Make,
) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.pass_time(BEGIN)
    fleet.down("target_1")
    fleet.now += END - BEGIN + 60
    fleet.up("target_1")
    fleet.crash()
    fleet.pass_time(10)

    assert fleet.receiver.titles == ["Up again: target_1"]


def test_the_end_of_an_alert_that_was_told_is_told_during_maintenance(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN, remind_seconds=60)
    fleet.down("target_1")
    fleet.pass_time(BEGIN + 90)  # with a reminder that is held back
    assert fleet.receiver.types == ["node_down.begun"]
    fleet.up("target_1")
    fleet.pass_time(5)

    assert fleet.receiver.types == ["node_down.begun", "node_down.resolved"]


def test_a_reminder_comes_after_the_maintenance(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN, remind_seconds=60)
    fleet.down("target_1")
    fleet.pass_time(END + LATE - 2)
    assert fleet.receiver.types == ["node_down.begun"]
    fleet.pass_time(4)

    assert fleet.receiver.types == ["node_down.begun", "node_down.reminder"]


def test_a_rule_that_holds_nothing_back_says_that_maintenance_is_announced(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN, hold=False)
    fleet.pass_time(BEGIN)
    fleet.down("target_1")
    fleet.pass_time(10)

    assert fleet.receiver.types == ["node_down.begun"]
    assert "Maintenance is announced until" in fleet.receiver.messages[0].text


def test_other_nodes_are_told_during_the_maintenance_of_one(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.pass_time(BEGIN)
    fleet.down("target_1", "target_2")
    fleet.pass_time(10)

    assert fleet.receiver.titles == ["Down: target_2"]


def test_two_windows_that_touch_are_one_time_to_wait(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.announce("target_1", END, END + 60)
    fleet.pass_time(BEGIN)
    fleet.down("target_1")
    fleet.pass_time(END - BEGIN + 50)
    fleet.up("target_1")
    fleet.pass_time(60)

    assert fleet.receiver.types == []


def test_flapping_in_announced_maintenance_is_not_told(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.pass_time(BEGIN)
    for _ in range(4):
        fleet.down("target_1")
        fleet.pass_time(10, step=5)
        fleet.up("target_1")
        fleet.pass_time(10, step=5)
    fleet.pass_time(2000, step=30)

    assert fleet.receiver.types == []


def test_flapping_that_goes_on_after_the_maintenance_is_told(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.pass_time(BEGIN)
    for _ in range(6):
        fleet.down("target_1")
        fleet.pass_time(15, step=5)
        fleet.up("target_1")
        fleet.pass_time(15, step=5)

    assert fleet.receiver.types == ["flapping.begun"]


def test_an_operator_in_announced_maintenance_is_told_after_it(make: Make) -> None:
    fleet = make(Condition.OPERATOR)
    fleet.announce("operator_2", 60, 300)
    fleet.pass_time(70, step=5)
    fleet.silent.add("operator_2")
    fleet.pass_time(230, step=5)
    assert fleet.receiver.types == []
    fleet.pass_time(30, step=5)

    assert fleet.receiver.titles == ["Operator in trouble: operator_2"]
