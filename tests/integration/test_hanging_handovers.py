"""Handovers that hang, or that nobody can accept, stop nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from committees import Members, make_members, secret
from dragon.protocol.claims.handover import HandoverClaim
from epochs import successor
from simulation import World

AGGREGATOR, NEW = "aggregator_0", "operator_5"
URL = "http://operator-5:5000"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path, make_members(4)) as world:
        world.run(3)
        yield world


def propose(world: World, **changes: Any) -> Members:
    following = successor(world.members, None, **changes)
    for name in following.secrets:
        if name in world.services:
            world.approve(name, following.committee)
    return following


def log(world: World) -> Any:
    return world.components(AGGREGATOR).log


def checkpoint_rounds(world: World) -> list[int]:
    rounds = world.committee.rounds
    return [rounds.number(mark.timestamp) for mark in log(world).state.marks if mark.is_checkpoint]


def test_hanging_handover_leaves_checkpoints_alone(world: World) -> None:
    """It is gathered in each round, and its newcomer hangs: time goes on being vouched for."""
    world.join(NEW, secret(NEW), URL)
    propose(world, add=[NEW])
    world.stop(NEW, "hang")

    world.run(50)

    assert log(world).committee.epoch == 0
    certified = checkpoint_rounds(world)
    steps = [later - earlier for earlier, later in pairwise(certified)]
    assert len(steps) >= 3
    assert set(steps) <= {12, 13}
    assert world.get("operator_1", "/readyz").json()["reasons"] == []


def test_a_handover_that_is_lost_on_its_way_leaves_checkpoints_alone(world: World) -> None:
    """It is certified, and its gateways lose it: a checkpoint loses at most one round in twelve."""
    client: Any = world.services[AGGREGATOR].client
    send = client.send

    def losing(events: Any) -> None:
        if kept := [each for each in events if each["kind"] != "handover"]:
            send(kept)

    client.send = losing
    following = propose(world)
    world.run(40)
    certified = checkpoint_rounds(world)
    assert {later - earlier for earlier, later in pairwise(certified)} <= {12, 13}
    waiting = [each.event.claim for each in world.components(AGGREGATOR).outbox.pending()]
    assert sum(isinstance(claim, HandoverClaim) for claim in waiting) <= 1

    client.send = send
    world.run(3)
    assert log(world).committee == following.committee
    world.take_seats(following)


def test_a_rotation_takes_at_most_three_rounds_after_the_last_approval(world: World) -> None:
    world.newcomers["operator_2"] = secret("operator_2 again")
    world.restart("operator_2")
    world.run(3)
    following = successor(world.members, None, rotate={"operator_2": secret("operator_2 again")})
    for name in ("operator_1", "operator_2"):
        world.approve(name, following.committee)
    world.run(2)
    assert log(world).committee.epoch == 0

    world.approve("operator_3", following.committee)
    world.run(3)

    assert log(world).committee == following.committee
    world.take_seats(following)


def test_dead_newcomer_blocks(world: World) -> None:
    """A newcomer that shows no working key is never seated, and the next file does without it."""
    propose(world, add=[NEW])  # nobody has started it
    world.run(4)
    assert log(world).committee.epoch == 0

    following = propose(world)
    world.run(16)  # what was signed for the first file can never apply any more

    assert log(world).committee == following.committee
    world.take_seats(following)


def test_unreachable_next_quorum_blocks(world: World) -> None:
    """A next committee without a living quorum is never entered."""
    names = [NEW, "operator_6", "operator_7", "operator_8"]
    world.join(NEW, secret(NEW), URL)
    propose(world, add=names)  # eight operators need six: five live

    world.run(14)

    assert log(world).committee.epoch == 0
    assert not any(isinstance(e.event.claim, HandoverClaim) for e in log(world).entries())


def test_a_log_waits_for_the_file_of_the_next_committee(world: World) -> None:
    """The owner of operator_4 has not approved it, and nobody gives it the file for a while."""
    for name in ("operator_1", "operator_2", "operator_3", AGGREGATOR):
        world.cuts.add(("operator_4", name))
    following = successor(world.members, None)
    for name in ("operator_1", "operator_2", "operator_3"):
        world.approve(name, following.committee)
    world.run(3)
    waiting = world.components("operator_4")
    assert log(world).committee == following.committee
    assert waiting.log.committee.epoch == 0
    assert waiting.follower.missing_document == following.committee.id
    reasons = world.get("operator_4", "/readyz").json()["reasons"]
    assert any(str(each).startswith("committee: no service has given") for each in reasons)
    assert "datadragon_document_missing 1.0" in world.get("operator_4", "/metrics").text
    asked = len(world.sent)
    waiting.follower.step()
    assert len(world.sent) - asked <= 2  # a page of the ledger, and nobody answers
    begun = world.clock.now
    waiting.follower.step()
    assert world.clock.now - begun <= 3

    world.cuts.clear()
    world.settle()

    assert waiting.log.committee == following.committee
    assert waiting.follower.missing_document is None
    assert "datadragon_document_missing 0.0" in world.get("operator_4", "/metrics").text
    world.take_seats(following)
