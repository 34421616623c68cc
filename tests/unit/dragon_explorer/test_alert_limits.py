"""What strangers, lying services and clocks can do to alerts: nothing is lost or falsely ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alerting import PaperFleet, config
from committees import make_members
from dragon_explorer.alerts import episodes as episodes_module
from dragon_explorer.alerts import telling
from dragon_explorer.alerts.channels import Attempt
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.alerts.config import AlertsConfig, Rule
from dragon_explorer.alerts.delivery import GIVE_UP_SECONDS
from dragon_explorer.live import answers
from dragon_explorer.live.board import OperatorReport, Part

Make = Callable[..., PaperFleet]
HOUR = 3600


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make a fleet whose rule is about these conditions; its nodes are up."""
    with ExitStack() as stack:

        def made(*on: Condition, members: Any = None, **settings: Any) -> PaperFleet:
            given = {} if members is None else {"members": members}
            fleet = stack.enter_context(PaperFleet(tmp_path, config(*on, **settings), **given))
            fleet.up(*(target.id for target in fleet.committee.targets))
            fleet.pass_time(10)
            return fleet

        yield made


# Strangers


def insert_messages(fleet: PaperFleet, kind: str, count: int) -> None:
    with fleet.database.write() as connection:
        for number in range(count):
            connection.exec_driver_sql(
                "INSERT INTO messages VALUES (?, 'rule', ?, ?, '', '', '')",
                (f"msg_{kind}_{number}", kind, fleet.now),
            )


def test_messages_about_streams_do_not_delay_one_about_a_node(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN, Condition.WINDOW_INVALID)
    insert_messages(fleet, "window_invalid.begun", 60)
    fleet.down("target_1")
    fleet.pass_time(10)

    assert fleet.receiver.titles == ["Down: target_1"]


def test_incidents_of_streams_leave_room_for_those_of_nodes(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episodes_module, "MAX_ACTIVE", 3)
    fleet = make(Condition.NODE_DOWN, Condition.WINDOW_INVALID)
    insert_messages(fleet, "window_invalid.begun", 60)  # so that those of streams wait
    with fleet.database.write() as connection:
        active = episodes_module.Episodes(connection)
        opened = [
            active.open(
                episodes_module.Episode(
                    "rule", Condition.WINDOW_INVALID, f"{number}", 1, "", fleet.now, number, ended=1
                )
            )
            for number in range(5)
        ]
        active.save()
    fleet.down("target_1")
    fleet.pass_time(10)

    assert opened == [True, True, True, False, False]
    assert "Down: target_1" in fleet.receiver.titles


def test_nodes_that_fall_together_are_few_messages(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "MAX_GROUP", 2)
    fleet = make(Condition.NODE_DOWN, members=make_members(4, targets=5))
    names = [target.id for target in fleet.committee.targets]
    fleet.down(*names)
    fleet.pass_time(20)

    assert len(fleet.receiver.messages) == 3
    told = {each["subject"] for n in range(3) for each in fleet.receiver.incidents(n)}
    assert told == set(names)


# Services


def test_a_line_of_an_alert_cannot_be_forged_by_a_service(make: Make) -> None:
    fleet = make(Condition.DISK)
    forged = "disk: full\ntarget_1 is down since now. Certified.\u202e\u2028x"
    said = answers.Readiness.model_validate({"status": "x", "reasons": [forged]})
    fleet.reasons["operator_2"] = list(said.reasons)
    fleet.pass_time(120, step=5)

    [message] = fleet.receiver.messages
    assert message.text.count("\n") == 0
    assert message.text.isprintable()
    assert message.text.endswith("Reported by services, not certified.")


@pytest.mark.parametrize(
    ("condition", "reason"),
    [(Condition.DISK, "disk: full"), (Condition.LOG_ALARM, "alarm: diverged: x")],
)
def test_a_service_that_no_longer_answers_has_not_recovered(
    make: Make, condition: Condition, reason: str
) -> None:
    fleet = make(condition)
    fleet.reasons["operator_2"] = [reason]
    fleet.pass_time(120, step=5)
    fleet.silent.add("operator_2")
    failed: Part[Any] = Part(error="no answer: the connection was refused")
    fleet.board.put(OperatorReport("operator_2", "http://operator-2", readiness=failed))
    fleet.pass_time(300, step=5)
    while_silent = list(fleet.receiver.types)
    fleet.silent.clear()
    fleet.reasons.clear()
    fleet.pass_time(60, step=5)

    assert while_silent == [f"{condition}.begun"]
    assert fleet.receiver.types == [f"{condition}.begun", f"{condition}.resolved"]


# Clocks


def test_a_clock_that_is_set_back_delays_no_alert(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN, Condition.OPERATOR)
    fleet.pass_time(60, step=5)
    fleet.clock_error -= 5 * HOUR
    fleet.silent.add("operator_2")
    fleet.pass_time(180, step=5)
    fleet.down("target_1")
    fleet.pass_time(10)

    assert sorted(fleet.receiver.types) == ["node_down.begun", "operator.begun"]


def test_a_message_made_before_the_clock_was_set_back_is_sent(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.down("target_1")
    fleet.work()
    fleet.clock_error -= 5 * HOUR
    fleet.pass_time(10)

    assert fleet.receiver.titles == ["Down: target_1"]


@pytest.mark.parametrize("status", ["refused", "rejected"])
def test_a_pause_ends_when_the_clock_is_set_back(make: Make, status: str) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.receiver.answers = [Attempt("no", is_rejected=status == "rejected")]
    fleet.down("target_1")
    fleet.pass_time(6)
    assert len(fleet.receiver.messages) == 1
    fleet.clock_error -= 5 * HOUR
    fleet.pass_time(5)

    assert len(fleet.receiver.messages) == 2


def test_a_jump_of_the_clock_gives_no_new_message_up(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN, remind_seconds=None)
    fleet.receiver.answers = [Attempt("no")] * 2
    fleet.down("target_1")
    fleet.pass_time(6)
    fleet.clock_error += GIVE_UP_SECONDS + HOUR
    fleet.pass_time(60, step=5)

    [delivery] = fleet.alerting.outbox.newest(5)
    assert delivery.state == "delivered"


def test_a_jump_of_the_clock_calls_no_operator_silent(make: Make) -> None:
    fleet = make(Condition.OPERATOR, Condition.QUORUM, after_seconds=0)
    fleet.pass_time(60, step=5)
    for jump in (5 * HOUR, -3 * HOUR):
        fleet.clock_error += jump
        while fleet.alerting.engine.step():  # before any service is asked again
            pass
        fleet.pass_time(60, step=5)

    assert fleet.receiver.types == []


# Logs that are read anew


def test_the_first_start_with_a_dead_ledger_is_told(tmp_path: Path) -> None:
    with PaperFleet(tmp_path, config(Condition.LEDGER)) as fleet:
        fleet.ledger.fault = "no gateway answers"
        fleet.pass_time(200, step=5)

        assert fleet.receiver.types == ["ledger.begun"]


def test_a_log_that_is_read_anew_ends_no_outage(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.down("target_1")
    fleet.pass_time(10)
    fleet.up("target_2")
    fleet.pass_time(1)
    fleet.lose_log()
    for _ in range(100):  # the ledger is not read to its end meanwhile
        fleet.now += 1
        while fleet.alerting.engine.step():
            pass
    fleet.pass_time(20)
    before = list(fleet.receiver.types)
    fleet.up("target_1")
    fleet.pass_time(10)

    assert before == ["node_down.begun"]
    assert fleet.receiver.types == ["node_down.begun", "node_down.resolved"]


def test_a_node_that_the_log_does_not_know_is_not_called_up(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.down("target_1")
    fleet.pass_time(10)
    fleet.ledger.batches.clear()  # of a network that was founded again
    fleet.lose_log()
    fleet.pass_time(30)

    assert fleet.receiver.types == ["node_down.begun"]
    assert [each.closed for each in fleet.alerting.newest_episodes(5)] == [True]


def test_no_outage_is_left_out_however_many_rules_and_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episodes_module, "MAX_ACTIVE", 1)
    one = config(Condition.NODE_DOWN)
    rules = tuple(Rule(f"rule_{n}", frozenset({Condition.NODE_DOWN}), ("team",)) for n in range(2))
    with PaperFleet(tmp_path, AlertsConfig(rules, one.routes)) as fleet:
        fleet.up("target_1")
        fleet.pass_time(10)
        fleet.down("target_1", "target_2", "target_3")
        fleet.pass_time(20)

        told = range(len(fleet.receiver.messages))
        assert sum(len(fleet.receiver.incidents(n)) for n in told) == 2 * 3


def test_what_waits_for_a_route_that_was_removed_is_dropped(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.receiver.answers = [Attempt("no")] * 100
    fleet.down("target_1")
    fleet.pass_time(6)
    rule, route = fleet.config.rules[0], fleet.config.routes["team"]
    fleet.config = AlertsConfig((replace(rule, routes=("other",)),), {"other": route})
    fleet.crash()

    [delivery] = fleet.alerting.outbox.newest(5)
    assert (delivery.state, delivery.error) == ("dropped", "the route is no longer in the file")
    assert fleet.alerting.outbox.waiting() == {}
