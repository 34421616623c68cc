"""Alerts: what is told, when, how often, and what proves it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from alerting import MEMBERS, SECRET_PATH, PaperFleet, config
from dragon.encoding import parse
from dragon.protocol import event
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.committee import Committee
from dragon_explorer.alerts.channels import Attempt
from dragon_explorer.alerts.conditions import Condition

Make = Callable[..., PaperFleet]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make a fleet whose rule is about these conditions; its nodes are up."""
    with ExitStack() as stack:

        def made(*on: Condition, **settings: Any) -> PaperFleet:
            fleet = stack.enter_context(PaperFleet(tmp_path, config(*on, **settings)))
            fleet.up("target_1", "target_2", "target_3")
            fleet.pass_time(10)
            return fleet

        yield made


def test_nodes_that_fall_in_one_round_are_one_message(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.down("target_1")
    fleet.work()
    fleet.down("target_2")  # in another batch
    fleet.pass_time(10)
    fleet.down("target_3")
    fleet.pass_time(10)

    assert fleet.receiver.titles == ["Down: target_1, target_2", "Down: target_3"]
    assert [each["subject"] for each in fleet.receiver.incidents(0)] == ["target_1", "target_2"]


def test_a_receiver_verifies_the_body_with_the_committee_file_alone(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.down("target_1")
    fleet.pass_time(20)
    fleet.up("target_1")
    fleet.pass_time(10)
    committee = Committee.load(json.dumps(fleet.committee.to_json()).encode())

    body: Any = parse(fleet.receiver.messages[-1].body.encode())
    [incident] = body["data"]["incidents"]
    down, up = event.decode(incident["event"]), event.decode(incident["end_event"])
    down.verify(committee)
    up.verify(committee)

    assert down.claim == StatusClaim("target_1", Status.DOWN, incident["begun"])
    assert up.claim == StatusClaim("target_1", Status.UP, incident["ended"])
    assert incident["seconds"] == incident["ended"] - incident["begun"] == 20
    assert body["data"]["committee_id"] == "0x" + committee.id.hex()


def test_the_end_is_told_with_the_duration(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.down("target_1")
    fleet.pass_time(130)
    fleet.up("target_1")
    fleet.pass_time(10)

    assert fleet.receiver.types == ["node_down.begun", "node_down.resolved"]
    assert fleet.receiver.titles[-1] == "Up again: target_1"
    assert "It was down for 2 minutes 10 seconds" in fleet.receiver.messages[-1].text


def test_an_end_is_not_told_to_a_rule_without_it(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN, resolved=False)
    fleet.down("target_1")
    fleet.pass_time(10)
    fleet.up("target_1")
    fleet.pass_time(10)

    assert fleet.receiver.types == ["node_down.begun"]


def test_only_selected_nodes_are_told(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN, nodes=("target_2", "operator_*"))
    fleet.down("target_1", "target_2")
    fleet.pass_time(10)

    assert fleet.receiver.titles == ["Down: target_2"]


def test_the_first_start_tells_who_is_down_and_no_old_outage(tmp_path: Path) -> None:
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN)) as fleet:
        fleet.up("target_1", "target_2")
        fleet.now += 5
        fleet.down("target_1", "target_2")
        fleet.now += 5
        fleet.up("target_1")
        fleet.pass_time(10)

        assert fleet.receiver.titles == ["Down: target_2"]


def test_what_happened_while_the_explorer_was_stopped_is_told_once(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.down("target_1")
    fleet.now += 5
    fleet.up("target_1")
    fleet.down("target_2")
    fleet.now += 3600

    fleet.crash()
    fleet.pass_time(10)
    fleet.crash()
    fleet.pass_time(10)

    assert sorted(fleet.receiver.titles) == ["Down: target_2", "Up again: target_1"]


def test_a_crash_before_the_note_repeats_the_message_with_its_id(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.down("target_1")
    fleet.follower.catch_up()
    fleet.alerting.engine.step()
    fleet.now += 10
    fleet.follower.catch_up()
    fleet.alerting.engine.step()
    delivery = fleet.alerting.outbox.due("team", fleet.now)
    assert delivery is not None
    fleet.receiver.send(delivery.message)  # accepted, and then the process dies

    fleet.crash()
    fleet.pass_time(10)

    first, second = fleet.receiver.messages
    assert (first.id, first.body) == (second.id, second.body)


def test_a_failed_transaction_loses_no_event_and_repeats_none(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.down("target_1")
    fleet.work()
    fleet.now += 10

    def fail(*_: Any) -> None:
        raise RuntimeError("the process dies here")

    with monkeypatch.context() as patched:
        patched.setattr(fleet.alerting.outbox, "add", fail)
        with pytest.raises(RuntimeError):
            fleet.work()
    fleet.pass_time(10)

    assert fleet.receiver.titles == ["Down: target_1"]


def test_the_same_news_has_the_same_id_after_the_loss_of_the_file(
    tmp_path: Path, make: Make
) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.down("target_1")
    fleet.pass_time(10)
    fleet.database.close()
    for file in tmp_path.glob("explorer-alerts.db*"):
        file.unlink()
    fleet.start()
    fleet.pass_time(10)

    first, second = fleet.receiver.messages
    assert first.id == second.id


def test_reminders_come_with_growing_pauses(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN, remind_seconds=3600)
    fleet.down("target_1")
    fleet.pass_time(10)
    begun, times = fleet.now, []
    while fleet.now < begun + 60 * 3600:
        before = len(fleet.receiver.messages)
        fleet.pass_time(1800, step=1800)
        count = len(fleet.receiver.messages) - before
        times += [round((fleet.now - begun) / 3600)] * count

    assert times == [1, 3, 7, 15, 31, 55]
    assert set(fleet.receiver.titles[1:]) == {"Still down: target_1"}
    assert len({message.id for message in fleet.receiver.messages}) == 7


def test_no_reminders_if_the_rule_has_none(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN, remind_seconds=None)
    fleet.down("target_1")
    fleet.pass_time(10)
    fleet.pass_time(90_000, step=3000)

    assert fleet.receiver.types == ["node_down.begun"]


def flap(fleet: PaperFleet, times: int) -> None:
    for _ in range(times):
        fleet.down("target_1")
        fleet.pass_time(10, step=5)
        fleet.up("target_1")
        fleet.pass_time(10, step=5)


def test_flapping_is_one_message_until_the_node_is_stable(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    flap(fleet, 12)
    told = list(fleet.receiver.types)
    fleet.pass_time(1780, step=30)
    assert fleet.receiver.types == told
    fleet.pass_time(40)

    assert told == [*["node_down.begun", "node_down.resolved"] * 2, "flapping.begun"]
    assert fleet.receiver.types == [*told, "flapping.resolved"]
    assert "stable again: up" in fleet.receiver.messages[-1].text


def test_a_node_that_is_down_when_flapping_ends_is_told(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    flap(fleet, 4)
    fleet.down("target_1")
    fleet.pass_time(1780, step=30)
    before = len(fleet.receiver.types)
    fleet.pass_time(40)

    assert sorted(fleet.receiver.types[before:]) == ["flapping.resolved", "node_down.begun"]


def test_a_silent_operator_and_its_return_are_told(make: Make) -> None:
    fleet = make(Condition.OPERATOR)
    fleet.pass_time(60, step=5)
    fleet.silent.add("operator_2")
    fleet.pass_time(120, step=5)
    fleet.silent.clear()
    fleet.pass_time(120, step=5)

    assert fleet.receiver.types == ["operator.begun", "operator.resolved"]
    assert fleet.receiver.titles[0] == "Operator in trouble: operator_2"
    [incident] = fleet.receiver.incidents()
    assert (incident["certified"], incident["event"]) == (False, None)


def test_a_restart_neither_repeats_nor_ends_a_live_incident(make: Make) -> None:
    fleet = make(Condition.OPERATOR)
    fleet.pass_time(60, step=5)
    fleet.silent.add("operator_2")
    fleet.pass_time(120, step=5)
    fleet.crash()
    fleet.pass_time(300, step=5)

    assert fleet.receiver.types == ["operator.begun"]


def test_several_operators_are_one_message(make: Make) -> None:
    fleet = make(Condition.OPERATOR)
    fleet.pass_time(60, step=5)
    fleet.silent |= {"operator_2", "operator_3"}
    fleet.pass_time(120, step=5)

    assert fleet.receiver.titles == ["Operator in trouble: operator_2, operator_3"]


def test_a_condition_that_comes_and_goes_is_told_less_and_less(make: Make) -> None:
    fleet = make(Condition.OPERATOR, after_seconds=0)
    fleet.pass_time(60, step=5)
    for _ in range(10):
        fleet.silent.add("operator_2")
        fleet.pass_time(40, step=5)
        fleet.silent.clear()
        fleet.pass_time(100, step=5)

    assert len(fleet.receiver.types) <= 7  # of 20


def test_a_flood_of_incidents_comes_together(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN, Condition.OPERATOR, after_seconds=0, resolved=False)
    fleet.pass_time(60, step=5)
    with fleet.database.write() as connection:
        for number in range(60):
            connection.exec_driver_sql(
                "INSERT INTO messages VALUES (?, 'rule', 'test', ?, '', '', '')",
                (f"msg_{number}", fleet.now),
            )
    fleet.down("target_1")
    fleet.pass_time(10)
    fleet.down("target_2")
    fleet.pass_time(500, step=5)
    assert fleet.receiver.types == []
    fleet.pass_time(200, step=5)

    assert fleet.receiver.titles == ["Down: target_1, target_2"]


def test_a_dead_receiver_gets_everything_in_order_when_it_returns(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.receiver.answers = [Attempt("no answer: the connection was refused")] * 3
    fleet.down("target_1")
    fleet.pass_time(10)
    fleet.up("target_1")
    fleet.pass_time(120, step=5)

    assert fleet.receiver.titles[3:] == ["Down: target_1", "Up again: target_1"]


def test_a_rule_that_was_removed_tells_nothing_more(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN, remind_seconds=60)
    fleet.down("target_1")
    fleet.pass_time(10)
    fleet.config = config(Condition.QUORUM)
    fleet.crash()
    fleet.pass_time(600, step=10)

    assert fleet.receiver.types == ["node_down.begun"]


def test_no_secret_is_on_a_page_or_in_metrics(make: Make) -> None:
    fleet = make(Condition.NODE_DOWN)
    fleet.receiver.answers = [Attempt("answered 503")]
    fleet.down("target_1")
    fleet.pass_time(10)
    client = fleet.app().test_client()

    for path in ("/alerts", "/alerts?fragment", "/api/alerts", "/metrics"):
        response = client.get(path)
        assert response.status_code == 200
        assert SECRET_PATH not in response.text
    page = json.loads(client.get("/api/alerts").data)
    assert page["routes"][0]["target"] == "https://hooks.example.org"
    assert page["deliveries"][0]["title"].endswith("Down: target_1")
    assert page["alerts"][0]["subject"] == "target_1"
    assert 'datadragon_alert_incidents{condition="node_down"} 1.0' in client.get("/metrics").text
    assert SECRET_PATH not in repr(fleet.config)
    assert SECRET_PATH.encode() not in fleet.database.path.read_bytes()
    assert MEMBERS.committee.name in client.get("/alerts").text
