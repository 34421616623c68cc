"""Alerts on a simulated fleet: what is told, when, how often, and what proves it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alerting import Alerts, config
from committees import make_members
from dragon.encoding import parse
from dragon.protocol import event
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.committee import Committee
from dragon_explorer.alerts.channels import Attempt
from dragon_explorer.alerts.conditions import Condition
from explorer_fleet import EXPLORER, ExplorerWorld

TARGETS = ("target_1", "target_2")


def answer(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ExplorerWorld]:
    members = make_members(targets=len(TARGETS))
    with ExplorerWorld(tmp_path, members, verify_at_end=False) as made:
        for target in TARGETS:
            host = f"{target.replace('_', '-')}:80"
            made.names[host] = target
            made.wires.mount(host, answer)
        made.run(2)
        yield made


def alerts(world: ExplorerWorld, *on: Condition, **settings: Any) -> Alerts:
    made = Alerts(world, config(*on, **settings))
    made.step(1)
    return made


def fall(world: ExplorerWorld, *nodes: str, rounds: int = 2) -> None:
    for node in nodes:
        world.stop(node)
    world.run(rounds)


def rise(world: ExplorerWorld, *nodes: str, rounds: int = 2) -> None:
    for node in nodes:
        world.resume(node)
    world.run(rounds)


def test_nodes_that_fall_in_one_round_are_one_message(world: ExplorerWorld) -> None:
    made = alerts(world, Condition.NODE_DOWN)

    fall(world, *TARGETS)
    made.step(10)

    assert made.receiver.titles == ["Down: target_1, target_2"]
    assert [each["subject"] for each in made.receiver.incidents()] == list(TARGETS)
    made.close()


def test_a_receiver_verifies_the_body_with_the_committee_file_alone(world: ExplorerWorld) -> None:
    made = alerts(world, Condition.NODE_DOWN)
    fall(world, "target_1")
    made.step(10)
    rise(world, "target_1")
    made.step(10)
    committee = Committee.load(json.dumps(world.committee.to_json()).encode())

    body: Any = parse(made.receiver.messages[-1].body.encode())
    [incident] = body["data"]["incidents"]
    down, up = event.decode(incident["event"]), event.decode(incident["end_event"])
    down.verify(committee)
    up.verify(committee)

    assert down.claim == StatusClaim("target_1", Status.DOWN, incident["begun"])
    assert up.claim == StatusClaim("target_1", Status.UP, incident["ended"])
    assert incident["seconds"] == incident["ended"] - incident["begun"]
    assert body["data"]["committee_id"] == "0x" + committee.id.hex()
    made.close()


def test_the_end_is_told_with_the_duration(world: ExplorerWorld) -> None:
    made = alerts(world, Condition.NODE_DOWN)
    fall(world, "target_1")
    made.step(10)
    rise(world, "target_1")
    made.step(10)

    assert made.receiver.types == ["node_down.begun", "node_down.resolved"]
    assert made.receiver.titles[-1] == "Up again: target_1"
    assert "It was down for" in made.receiver.messages[-1].text
    made.close()


def test_an_end_is_not_told_to_a_rule_without_it(world: ExplorerWorld) -> None:
    made = alerts(world, Condition.NODE_DOWN, resolved=False)
    fall(world, "target_1")
    made.step(10)
    rise(world, "target_1")
    made.step(10)

    assert made.receiver.types == ["node_down.begun"]
    made.close()


def test_only_selected_nodes_are_told(world: ExplorerWorld) -> None:
    made = alerts(world, Condition.NODE_DOWN, nodes=("operator_*",))

    fall(world, "target_1")
    made.step(10)

    assert made.receiver.messages == []
    made.close()


def test_a_node_that_is_down_at_the_first_start_is_told(world: ExplorerWorld) -> None:
    fall(world, "target_1")

    made = alerts(world, Condition.NODE_DOWN)
    made.step(10)

    assert made.receiver.titles == ["Down: target_1"]
    made.close()


def test_old_outages_are_no_news_at_the_first_start(world: ExplorerWorld) -> None:
    fall(world, "target_1")
    rise(world, "target_1")

    made = alerts(world, Condition.NODE_DOWN)
    made.step(10)

    assert made.receiver.messages == []
    made.close()


def test_what_happened_during_a_stop_of_the_alerts_is_told_once(world: ExplorerWorld) -> None:
    made = alerts(world, Condition.NODE_DOWN)
    made.close()
    fall(world, "target_1")
    rise(world, "target_1")
    fall(world, "target_2")

    made.restart()
    made.step(10)
    made.close()
    made.restart()
    made.step(10)

    assert sorted(made.receiver.titles) == ["Down: target_2", "Up again: target_1"]
    made.close()


def test_a_crash_before_the_note_repeats_the_message_with_its_id(world: ExplorerWorld) -> None:
    made = alerts(world, Condition.NODE_DOWN)
    fall(world, "target_1")
    world.clock.now += 10
    made.alerting.engine.step()
    world.clock.now += 10
    made.alerting.engine.step()
    delivery = made.alerting.outbox.due("team", world.clock.now)
    assert delivery is not None
    made.receiver.send(delivery.message)  # accepted, and then the process dies
    made.close()

    made.restart()
    made.step(10)

    first, second = made.receiver.messages
    assert (first.id, first.body) == (second.id, second.body)
    made.close()


def test_a_failed_transaction_loses_no_event_and_repeats_none(
    world: ExplorerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = alerts(world, Condition.NODE_DOWN)
    fall(world, "target_1")
    made.alerting.engine.step()
    world.clock.now += 10

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(made.alerting.outbox, "add", fail)
        with pytest.raises(Exception, match="No space|full"):
            made.alerting.engine.step()
    made.step(10)

    assert made.receiver.titles == ["Down: target_1"]
    made.close()


def test_reminders_come_with_growing_pauses(world: ExplorerWorld) -> None:
    made = alerts(world, Condition.NODE_DOWN, remind_seconds=3600)
    fall(world, "target_1")
    made.step(10)
    begun = world.clock.now
    times = []
    while world.clock.now < begun + 16 * 3600:
        world.clock.now += 300
        before = len(made.receiver.messages)
        made.step()
        times += [round((world.clock.now - begun) / 3600)] * (len(made.receiver.messages) - before)

    assert times == [1, 3, 7, 15]
    assert set(made.receiver.titles[1:]) == {"Still down: target_1"}
    assert len({message.id for message in made.receiver.messages}) == 5
    made.close()


def test_flapping_is_one_message_until_the_node_is_stable(world: ExplorerWorld) -> None:
    made = alerts(world, Condition.NODE_DOWN)
    for _ in range(6):
        fall(world, "target_1")
        made.step(7)
        rise(world, "target_1")
        made.step(7)
    told = list(made.receiver.types)
    made.step(1790)
    assert made.receiver.types == told
    made.step(20)

    assert told.count("flapping.begun") == 1
    assert told[-1] == "flapping.begun"
    assert told.count("node_down.begun") == 3
    assert made.receiver.types == [*told, "flapping.resolved"]
    assert "stable again: up" in made.receiver.messages[-1].text
    made.close()


def test_a_node_that_is_down_when_flapping_ends_is_told(world: ExplorerWorld) -> None:
    made = alerts(world, Condition.NODE_DOWN)
    for _ in range(3):
        fall(world, "target_1")
        rise(world, "target_1")
        made.step(7)
    fall(world, "target_1")
    made.step(1830)

    assert made.receiver.types[-2:] == ["flapping.resolved", "node_down.begun"] or (
        made.receiver.types[-2:] == ["node_down.begun", "flapping.resolved"]
    )
    made.close()


def test_a_silent_operator_is_told_and_resolved(world: ExplorerWorld) -> None:
    made = alerts(world, Condition.OPERATOR)
    world.stop("operator_2")
    for _ in range(30):
        world.run(1)
        made.step()
    world.resume("operator_2")
    for _ in range(30):
        world.run(1)
        made.step()

    assert made.receiver.types == ["operator.begun", "operator.resolved"]
    assert made.receiver.titles[0] == "Operator in trouble: operator_2"
    [incident] = made.receiver.incidents()
    assert not incident["certified"]
    assert incident["event"] is None
    made.close()


def test_a_missing_checkpoint_and_a_lost_margin_are_told(world: ExplorerWorld) -> None:
    made = alerts(world, Condition.CHECKPOINT, Condition.QUORUM)
    for name in ("operator_2", "operator_3"):
        world.stop(name)
    for _ in range(80):
        world.run(1)
        made.step()

    assert sorted(set(made.receiver.types)) == ["checkpoint.begun", "quorum.begun"]
    assert len(made.receiver.types) == 2
    made.close()


def test_a_condition_that_comes_and_goes_is_told_less_and_less(world: ExplorerWorld) -> None:
    made = alerts(world, Condition.OPERATOR, after_seconds=0)
    for _ in range(20):
        world.stop("operator_2")
        for _ in range(8):
            world.run(1)
            made.step()
        world.resume("operator_2")
        for _ in range(20):
            world.run(1)
            made.step()

    assert len(made.receiver.types) <= 8
    made.close()


def test_a_dead_receiver_gets_everything_when_it_returns(world: ExplorerWorld) -> None:
    made = alerts(world, Condition.NODE_DOWN)
    made.receiver.answers = [Attempt("no answer: the connection was refused")] * 3
    fall(world, "target_1")
    made.step(10)
    rise(world, "target_1")
    made.step(120)

    delivered = made.receiver.titles[3:]
    assert delivered == ["Down: target_1", "Up again: target_1"]
    made.close()


def test_no_secret_is_on_the_page_or_in_metrics(world: ExplorerWorld) -> None:
    made = alerts(world, Condition.NODE_DOWN)
    made.receiver.answers = [Attempt("answered 503")]
    fall(world, "target_1")
    made.step(10)
    client = made.app().test_client()

    for path in ("/alerts", "/api/alerts", "/metrics"):
        response = client.get(path)
        assert response.status_code == 200
        assert "secret-path" not in response.text
    page = json.loads(client.get("/api/alerts").data)
    assert page["routes"][0]["target"] == "https://hooks.example.org"
    assert page["deliveries"][0]["title"].endswith("Down: target_1")
    assert 'datadragon_alert_incidents{condition="node_down"} 1.0' in client.get("/metrics").text
    assert "secret-path" not in repr(made.alerting.config)
    made.close()


def test_without_an_alerts_file_the_page_says_so(world: ExplorerWorld) -> None:
    client = world.app().test_client()

    assert json.loads(client.get("/api/alerts").data)["is_enabled"] is False
    assert client.get("/alerts").status_code == 200
    assert EXPLORER in world.databases
