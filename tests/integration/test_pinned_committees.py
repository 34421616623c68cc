"""A service starts with any committee file of the network, and its log knows the rest."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from committees import Members, make_members, secret
from dragon import errors
from dragon.encoding import parse
from dragon.node.settings import Environment
from dragon.protocol.committee import Committee
from dragon.protocol.lineage import Lineage
from dragon_operator.main import start_late
from epochs import newest_handover, successor
from simulation import World

NEW, URL = "operator_9", "http://operator-9:5000"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, make_members(4))


def hand_over(world: World, **changes: Any) -> Members:
    """Let all owners approve the next committee, and wait until it holds."""
    following = successor(
        world.members, newest_handover(world.components("operator_1").log), **changes
    )
    for name in following.secrets:
        world.approve(name, following.committee)
    world.run(3)
    assert world.components("operator_1").log.committee == following.committee
    world.take_seats(following)
    world.run(2)
    return following


def another_next(world: World) -> Committee:
    """A committee that could follow, and does not."""
    rules = {**world.committee.quorum_rules, "downtime": 3}
    return successor(world.members, None, quorum_rules=rules).committee


def three_epochs(world: World) -> list[Committee]:
    """Hand over three times. Returns the committees."""
    world.run(3)
    return [world.committee, *(hand_over(world).committee for _ in range(3))]


def join(world: World, *pinned: Committee, name: str = NEW, reads: bool = True) -> Any:
    """Start an operator that no committee lists, with the committees that its owner has."""
    world.pins[name] = pinned
    world.newcomers[name] = secret(name)
    world.names[f"{name.replace('_', '-')}:5000"] = name
    components = world.start(name, reads=False)
    assert components.log.state.size == 0
    if reads:
        components.follower.catch_up()
    return components


def leaves(world: World, name: str) -> Sequence[Any]:
    with closing(sqlite3.connect(world.database_file(name))) as database:
        return database.execute("SELECT position, leaf_hash FROM entries").fetchall()


def test_late_joiner_from_a_checkpoint_equals_one_from_batch_1(world: World) -> None:
    with world:
        committees = three_epochs(world)
        first = join(world, committees[0], name="operator_7")

        late = join(world, committees[3], name="operator_8", reads=False)
        start_late(late, committees[3], world.runtime("operator_8"))
        assert late.log.position.index > 1
        late.follower.catch_up()

        assert leaves(world, "operator_8") == leaves(world, "operator_7")
        assert late.log.state == first.log.state
        assert late.log.committee == committees[3]
        assert late.log.committee_before == committees[2]
        assert late.log.finality_rule == first.log.finality_rule


def test_a_checkpoint_needs_the_newest_committee_file(world: World) -> None:
    """Whoever has an old file could be shown a lineage by keys that leaked later."""
    with world:
        committees = three_epochs(world)
        late = join(world, committees[1], reads=False)

        with pytest.raises(errors.Unreachable, match="give its newest file"):
            start_late(late, committees[1], world.runtime(NEW))
        assert late.log.state.size == 0
        late.follower.catch_up()
        assert late.log.committee == committees[3]


def test_any_committee_file_of_the_network_will_do(world: World) -> None:
    with world:
        committees = three_epochs(world)
        for number, pinned in enumerate((committees[:1], committees[2:3], committees)):
            log = join(world, *pinned, name=f"operator_{7 + number}").log
            assert (log.committee, log.alarm()) == (committees[3], None)


def test_a_late_joiner_needs_a_service_that_has_the_earlier_files(world: World) -> None:
    with world:
        committees = three_epochs(world)
        for name in (*world.operators, *world.aggregators):
            world.stop(name)

        with pytest.raises(errors.Unreachable, match="give a lineage"):
            join(world, committees[2])
        world.newcomers.pop(NEW)

        assert join(world, *committees, name="operator_8").log.committee == committees[3]


def test_a_handover_to_another_committee_than_the_pinned_one_is_an_alarm(world: World) -> None:
    with world:
        world.run(3)
        log = join(world, world.committee, another_next(world)).log
        hand_over(world)

        log_alarm = log.alarm()
        assert log_alarm is not None
        assert log_alarm.reason == "diverged"
        assert log.committee.epoch == 0
        reasons = world.get(NEW, "/readyz").json()["reasons"]
        assert any(str(each).startswith("alarm: diverged") for each in reasons)
        world.newcomers.pop(NEW)  # its log is not what the committee vouches for


def test_a_pin_that_contradicts_an_old_log_is_an_alarm_until_it_is_replaced(world: World) -> None:
    with world:
        world.run(3)
        other = another_next(world)
        founding = world.committee
        following = hand_over(world).committee

        world.pins["operator_1"] = [founding, other]
        world.restart("operator_1")
        alarm = world.components("operator_1").log.alarm()
        assert alarm is not None
        assert alarm.reason == "diverged"

        world.pins["operator_1"] = [following]
        world.restart("operator_1")
        assert world.components("operator_1").log.alarm() is None


def test_a_file_ahead_of_the_log_is_a_reason_not_to_be_ready(world: World) -> None:
    with world:
        world.run(3)
        ahead = successor(world.members, None).committee
        join(world, world.committee, ahead)

        reasons = world.get(NEW, "/readyz").json()["reasons"]
        assert any("epoch 1 does not hold yet" in str(each) for each in reasons)


def test_a_lineage_is_a_committee_file(world: World, tmp_path: Path) -> None:
    with world:
        three_epochs(world)
        page = world.get("operator_1", "/lineage").json()
        lineage = {
            "committees": [each["committee"] for each in page["committees"]],
            "handovers": [each["handover"] for each in page["committees"][1:]],
            "checkpoint": page["checkpoint"],
        }
        path = tmp_path / "lineage.json"
        path.write_text(json.dumps(lineage))
        values = Environment({"DRAGON_COMMITTEE": str(path)})

        assert values.lineage() == Lineage.from_json(parse(path.read_text()))
        assert values.committee() == world.committee
        lineage["handovers"] = lineage["handovers"][:2]
        path.write_text(json.dumps(lineage))
        with pytest.raises(errors.SettingsError, match="is refused"):
            values.lineage()
