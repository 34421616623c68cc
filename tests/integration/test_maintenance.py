"""Announced maintenance on a simulated ledger: every log has it, and certificates count it."""

from __future__ import annotations

import dataclasses
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from committees import make_members, secret
from dragon import errors
from dragon.log.audit import audit
from dragon.net.aggregator_client import AggregatorClient
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.maintenance import MAX_ANNOUNCED, MaintenanceClaim
from dragon.protocol.event import decode
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.maintenance import Maintenance
from dragon_aggregator.routes.single_signed import MAX_PENDING_SINGLE_SIGNED
from dragon_operator.main import start_late
from simulation import World

NOTICE = 30  # seconds, so that few rounds are needed
MEMBERS = make_members(targets=2, owners=1, maintenance_notice=NOTICE)
AGGREGATOR = "aggregator_0"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The files of a fleet whose operators are certified up, and the time then."""
    folder = tmp_path_factory.mktemp("maintenance")
    with World(folder, MEMBERS) as made:
        made.run(2, peers=False)
        return folder, made.clock.now


@pytest.fixture
def world(tmp_path: Path, files: tuple[Path, float]) -> Iterator[World]:
    folder, now = files
    with World(shutil.copytree(folder, tmp_path / "world"), MEMBERS, now=now) as made:
        yield made


def log_time(world: World) -> int:
    return int(world.components("operator_1").log.state.log_time)


def claimed(world: World, node_id: str = "target_1", **changes: Any) -> MaintenanceClaim:
    begin = log_time(world) + 600
    claim = MaintenanceClaim(node_id, begin, begin + 60, int(world.clock.now))
    return dataclasses.replace(claim, **changes)


def refused(world: World, announcement: Maintenance) -> str:
    answer = world.post(AGGREGATOR, "/maintenance", announcement.to_json())
    assert answer.status_code >= 400
    return str(answer.json()["title"])


def shown(world: World, service: str, node_id: str) -> list[dict[str, Any]]:
    return list(world.get(service, f"/nodes/{node_id}").json()["maintenance"])


def run_until(world: World, time: int) -> None:
    while world.clock.now < time:
        world.run(1)


# -- from the announcement to the certificate ------------------------------------------------------


def test_an_outage_in_announced_time_is_certified_as_maintenance(world: World) -> None:
    begin = log_time(world) + NOTICE + 30
    window = world.announce("operator_4", begin, 40).claim
    assert all(len(shown(world, name, "operator_4")) == 1 for name in world.with_a_log())
    run_until(world, begin + 20)
    world.stop("operator_4")
    world.run(12)  # the outage goes on after the window
    world.resume("operator_4")
    world.run(2)
    down, up = (
        move.timestamp for move in world.components("operator_1").log.state.nodes["operator_4"][1:]
    )
    log = world.components("operator_1").log
    while log.state.settling(up + 5) is None:
        world.run(1)

    certified = world.components(AGGREGATOR).downtime.certify("operator_4", begin - 5, up + 5)
    certified.verify(world.committee)
    claim = certified.claim

    assert isinstance(claim, DowntimeClaim)
    assert begin < down < window.end < up
    assert claim.seconds_down == up - down
    assert claim.seconds_maintenance == window.end - down
    assert claim.seconds_unknown == 0
    for wrong in (0, claim.seconds_maintenance - 1, claim.seconds_down):
        changed = dataclasses.replace(claim, seconds_maintenance=wrong)
        answer = world.post("operator_1", "/attestations", changed.to_json())
        assert (answer.status_code, answer.json()["reason"]) == (409, "malformed")
    _check_all_agree(world, claim)


def _check_all_agree(world: World, claim: DowntimeClaim) -> None:
    """Compare an operator that restarts and one that begins at a checkpoint with the others."""
    world.restart("operator_2")
    world.crash("operator_3")
    for suffix in ("", "-wal", "-shm"):
        Path(f"{world.database_file('operator_3')}{suffix}").unlink(missing_ok=True)
    start_late(world.start("operator_3", reads=False), world.committee, world.runtime("operator_3"))
    world.run(1)
    path = f"/nodes/{claim.node_id}/downtime?from={claim.begin}&to={claim.end}"
    listed = [world.get(name, "/maintenance").json() for name in world.with_a_log()]
    states = [world.components(name).log.state for name in world.with_a_log()]

    totals = [world.get(name, path).json() for name in world.operators]
    assert {each["seconds_maintenance"] for each in totals} == {claim.seconds_maintenance}
    assert listed == [listed[0]] * len(listed)
    assert states == [states[0]] * len(states)


def test_an_announcement_is_verified_offline(world: World) -> None:
    announcement = world.announce("target_1", log_time(world) + 600, 60)
    position = world.components("operator_1").log.find(announcement)

    proven = ProvenEntry.from_json(world.get("operator_1", f"/events/{position}").json())

    assert proven.verify(world.committee) == world.committee
    assert decode(proven.entry.event.to_json()) == announcement
    forged = dataclasses.replace(announcement, signature=bytes(96))
    entry = dataclasses.replace(proven.entry, event=forged)
    with pytest.raises(errors.InvalidSignature):
        dataclasses.replace(proven, entry=entry).verify(world.committee)


def test_an_announcement_directly_on_the_ledger_is_applied_or_refused(world: World) -> None:
    """The rules of the log need no aggregator."""
    late = world.members.announce(claimed(world, begin=log_time(world) + NOTICE - 1))
    forged = Maintenance.sign(claimed(world), secret("operator_1"), world.committee.id)

    world.submit(late, world.members.announce(claimed(world)), forged)

    for name in world.with_a_log():
        log = world.components(name).log
        assert len(log.announcements()) == 1
        assert log.refusals() == {"applied_already": 1, "too_late": 1}
    world.submit(dataclasses.replace(forged, claim=claimed(world, "operator_2")))
    assert world.components("operator_1").log.refusals()["bad_signature"] == 1


# -- the aggregator --------------------------------------------------------------------------------


def test_an_aggregator_refuses_what_the_log_would_refuse(world: World) -> None:
    def announced(node_id: str = "target_1", **changes: Any) -> Maintenance:
        return world.members.announce(claimed(world, node_id, **changes))

    good, now = announced(), int(world.clock.now)
    begin = good.claim.begin
    other = make_members(targets=2, owners=1, name="another")
    unowned = dataclasses.replace(good, claim=claimed(world, "target_2"))
    unknown = dataclasses.replace(good, claim=claimed(world, "target_9"))

    assert refused(world, other.announce(good.claim)) == "wrong_committee"
    assert refused(world, unknown) == "unknown_node"
    assert refused(world, unowned) == "no_owner"
    assert refused(world, announced(timestamp=now + 16)) == "early"
    assert refused(world, announced(timestamp=now - 120)) in ("stale", "before_seat")
    assert refused(world, announced(begin=begin - 600)) == "too_late"
    assert refused(world, announced(end=begin)) == "too_far"
    assert refused(world, dataclasses.replace(good, signature=bytes(96))) == "invalid_signature"
    forged = Maintenance.sign(good.claim, secret("operator_1"), world.committee.id)
    assert refused(world, forged) == "bad_signature"
    assert world.components(AGGREGATOR).outbox.pending() == []


def test_an_aggregator_keeps_few_announcements_of_a_node(world: World) -> None:
    for number in range(MAX_PENDING_SINGLE_SIGNED):
        claim = claimed(world, end=log_time(world) + 700 + number)
        answer = world.post(AGGREGATOR, "/maintenance", world.members.announce(claim).to_json())
        assert answer.status_code == 202
        assert refused(world, world.members.announce(claim)) == "applied_already"
    further = world.members.announce(claimed(world, end=log_time(world) + 699))

    assert refused(world, further) == "busy"
    world.settle()
    assert refused(world, further) == "enough_announced"
    assert len(shown(world, "operator_1", "target_1")) == MAX_ANNOUNCED


def test_announcements_leave_the_status_of_a_node_alone(world: World) -> None:
    """An aggregator knows a node's newest status from its outbox too."""
    world.stop("sequencer")
    claim = claimed(world, "operator_4")
    world.post(AGGREGATOR, "/maintenance", world.members.announce(claim).to_json())
    world.stop("operator_4")
    world.run(2)
    world.resume("sequencer")
    world.run(2)

    assert world.statuses("operator_1")["operator_4"] == "down"
    assert len(shown(world, "operator_1", "operator_4")) == 1


def test_an_announcement_survives_a_crash_of_the_aggregator(world: World) -> None:
    claim = claimed(world)
    world.post(AGGREGATOR, "/maintenance", world.members.announce(claim).to_json())
    world.restart(AGGREGATOR)
    world.settle()

    assert [each["from"] for each in shown(world, "operator_1", "target_1")] == [claim.begin]
    assert world.components(AGGREGATOR).outbox.pending() == []


def test_the_client_names_the_refusal(world: World) -> None:
    url = world.committee.aggregators[0].url
    client = AggregatorClient(url, world.runtime("client").http)
    announcement = world.members.announce(claimed(world))

    client.announce(announcement, deadline=5.0)

    with pytest.raises(errors.AppliedAlready):
        client.announce(announcement, deadline=5.0)
    late = claimed(world, begin=log_time(world) + NOTICE - 1)
    with pytest.raises(errors.TooLate):
        client.announce(world.members.announce(late), deadline=5.0)


# -- what services show ----------------------------------------------------------------------------


def test_every_log_shows_announced_windows_until_they_end(world: World) -> None:
    first = world.announce("target_1", log_time(world) + NOTICE, 15).claim
    second = world.announce("target_1", log_time(world) + NOTICE + 5, 600).claim
    world.announce("operator_2", log_time(world) + NOTICE, 60)
    genesis = world.committee.rounds.genesis

    for name in world.with_a_log():
        node = world.get(name, "/nodes/target_1").json()
        assert [each["from"] for each in node["maintenance"]] == [first.begin, second.begin]
        assert node["listed_since"] == genesis
        [listed] = [
            each
            for each in world.get(name, "/nodes").json()["nodes"]
            if each["node_id"] == "target_1"
        ]
        assert listed == node
    while log_time(world) < first.end:
        world.run(1)

    for name in world.with_a_log():
        assert [each["from"] for each in shown(world, name, "target_1")] == [second.begin]
        listed = world.get(name, "/maintenance?node_id=target_1&limit=1").json()
        assert listed["maintenance"] == [{"position": listed["next"], **first.members()}]
        rest = world.get(name, f"/maintenance?node_id=target_1&after={listed['next']}").json()
        assert [each["from"] for each in rest["maintenance"]] == [second.begin]
        assert rest["next"] is None
        everything = world.get(name, "/maintenance").json()["maintenance"]
        assert [each["node_id"] for each in everything] == ["target_1", "target_1", "operator_2"]
        metrics = world.get(name, "/metrics").text
        assert 'datadragon_maintenance_announced{node_id="target_1"} 1.0' in metrics
        assert 'datadragon_maintenance_announced{node_id="operator_1"} 0.0' in metrics


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nodes/target_9", 404),
        ("/nodes/A", 400),
        ("/nodes/target_1?x=1", 400),
        ("/maintenance?node_id=A", 400),
        ("/maintenance?limit=0", 400),
        ("/maintenance?node_id=nobody", 200),
    ],
)
def test_wrong_questions_are_refused(world: World, path: str, status: int) -> None:
    for name in ("operator_1", AGGREGATOR):
        assert world.get(name, path).status_code == status


def test_an_audit_finds_changes_to_the_table(world: World, tmp_path: Path) -> None:
    world.announce("target_1", log_time(world) + 600, 60)
    world.announce("target_1", log_time(world) + 700, 60)
    path = world.database_file("operator_1")

    for statement in (
        "UPDATE maintenance SET begin = begin + 1",
        'UPDATE maintenance SET "end" = "end" + 1',
        "UPDATE maintenance SET node_id = 'operator_1'",
        "UPDATE maintenance SET timestamp = 0",
        "DELETE FROM maintenance",
        "INSERT INTO maintenance VALUES (999, 'target_1', 1, 2, 0)",
    ):
        copy = tmp_path / "copy.db"
        with sqlite3.connect(path) as source, sqlite3.connect(copy) as target:
            source.backup(target)
            target.execute(statement)
        with pytest.raises(errors.LogDamaged):
            audit(copy, world.committee)
        copy.unlink()
