"""A fleet on a simulated clock changes its committee, without a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from committees import Members, make_members, secret
from dragon.protocol.claims.handover import HandoverClaim
from epochs import successor
from simulation import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, make_members(4))


def handovers(world: World, name: str) -> list[HandoverClaim]:
    found = [entry.event.claim for entry in world.components(name).log.entries()]
    return [claim for claim in found if isinstance(claim, HandoverClaim)]


def five(world: World) -> Members:
    following = successor(world.members, None, add=["operator_5"])
    [url] = [each.url for each in following.committee.operators if each.id == "operator_5"]
    world.join("operator_5", secret("operator_5"), url)
    return following


def test_four_become_five(world: World) -> None:
    with world:
        world.run(3)
        following = five(world)
        world.run(2)
        for name in ("operator_1", "operator_2", "operator_5"):
            world.approve(name, following.committee)
        world.run(3)
        assert handovers(world, "operator_1") == []  # two of the three that are needed
        approved = {"operator_1": following.committee.id}
        assert world.components("operator_1").approved() == approved

        world.approve("operator_3", following.committee)
        world.run(3)

        for name in world.with_a_log():
            log = world.components(name).log
            assert log.committee == following.committee, name
            assert len(handovers(world, name)) == 1
        assert world.components("operator_1").approved() == {"operator_1": None}  # it has its seat
        world.take_seats(following)
        world.run(16)
        assert world.statuses("operator_1") == dict.fromkeys(following.committee.keys, "up")
        newest = world.components("operator_5").log.state.checkpoint
        assert newest is not None
        entry = world.components("operator_1").log.entry(newest.position)
        assert entry.event.committee_id == following.committee.id
