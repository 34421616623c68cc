"""The ledger's network replaces its nodes, and a handover names the new node list."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from committees import Members, make_members
from dragon.protocol.claims.handover import HandoverClaim
from dragon_sequencer.nodes import NodeList
from epochs import newest_handover, successor
from simulation import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, make_members(4))


def naming(world: World, *lists: NodeList) -> Members:
    """A next committee that names these node lists."""
    sequencer = world.committee.sequencer
    hashes = tuple(sorted(each.sha256 for each in lists))
    return successor(
        world.members,
        newest_handover(world.components("operator_1").log),
        sequencer=replace(sequencer, nodes_sha256=hashes),
    )


def epochs(world: World) -> set[int]:
    return {world.components(name).log.committee.epoch for name in world.with_a_log()}


def refusals(world: World, name: str, following: Members) -> str:
    """Why an operator does not sign a handover to this committee now."""
    log, rounds = world.components(name).log, world.committee.rounds
    head, timestamp = log.head(), rounds.start(rounds.number(world.clock.now))
    committee = following.committee
    claim = HandoverClaim(committee.epoch, committee.id, head.root, head.size, timestamp)
    answer = world.post(name, "/attestations", claim.to_json()).json()
    return str(answer.get("reason", "signed"))


def approve_all(world: World, following: Members) -> None:
    for name in following.secrets:
        world.approve(name, following.committee)


def test_node_list_in_two_steps_and_never_dropped_early(world: World) -> None:
    with world:
        old = world.nodes
        new, signer = world.new_node(8)
        world.run(3)
        both = naming(world, old, new)
        approve_all(world, both)
        world.run(3)
        assert epochs(world) == {1}
        world.take_seats(both)

        only_new = naming(world, new)  # dropped early: the old node still signs
        approve_all(world, only_new)
        world.run(3)
        assert epochs(world) == {1}
        assert refusals(world, "operator_1", only_new) == "behind"

        world.network.replace_signers(signer)
        world.run(14)  # with the next checkpoint the newest proof is the new node's
        assert epochs(world) == {2}
        world.take_seats(only_new)
        world.run(14)

        checkpoint = world.components("aggregator_0").log.state.checkpoint
        assert checkpoint is not None
        assert checkpoint.timestamp > world.components("aggregator_0").log.state.seat


def test_proofs_under_a_dropped_list_count_no_more(world: World) -> None:
    with world:
        old_signer = world.network.signers
        old = world.nodes
        new, signer = world.new_node(8)
        world.run(3)
        for lists in ((old, new), (new,)):
            following = naming(world, *lists)
            world.network.replace_signers(signer)
            approve_all(world, following)
            world.run(14)
            world.take_seats(following)
        assert epochs(world) == {2}
        size = world.components("operator_1").log.state.size

        world.network.replace_signers(*old_signer)
        world.run(14)

        assert world.components("operator_1").log.state.size == size
        reasons = world.get("operator_1", "/readyz").json()["reasons"]
        assert any(str(each).startswith("ledger: no gateway gave a valid") for each in reasons)


def test_a_network_that_has_changed_unannounced_is_read_with_a_further_list(world: World) -> None:
    with world:
        world.run(3)
        new, signer = world.new_node(8)  # each owner adds it to `SEQUENCER_NODES_FILE`

        world.network.replace_signers(signer)
        world.run(14)
        following = naming(world, new)
        approve_all(world, following)
        world.run(3)

        assert epochs(world) == {1}
