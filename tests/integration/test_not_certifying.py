"""A service says so when nothing is certified, although every service answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from committees import make_members
from dragon.protocol.claims.status import Status
from simulation import World

AGGREGATOR = "aggregator_0"
LATE_ROUNDS = 18  # without a checkpoint or a round


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as made:
        made.run(3)
        yield made


def not_certifying(world: World, name: str) -> str:
    listed = world.get(name, "/readyz").json()["reasons"]
    return next((reason for reason in listed if reason.startswith("not_certifying")), "")


def certification(world: World, name: str) -> dict[str, Any]:
    return dict(world.get(name, "/readyz").json()["certification"])


def metric(world: World, name: str, sample: str) -> float | None:
    lines = world.get(name, "/metrics").text.splitlines()
    found = [line.split()[-1] for line in lines if line.startswith(f"datadragon_{sample} ")]
    return float(found[0]) if found else None


def test_operators_say_that_no_aggregator_works(world: World) -> None:
    world.stop(AGGREGATOR)
    [checkpoint] = world.checkpoints("operator_1")
    world.run(LATE_ROUNDS - 3)
    in_time = not_certifying(world, "operator_1")
    world.run(6)

    reason = not_certifying(world, "operator_1")

    assert in_time == ""
    assert checkpoint.timestamp == world.committee.rounds.genesis + 10
    assert reason == (
        "not_certifying: no checkpoint has been certified since 2024-11-25 08:06:50 UTC "
        "(108 s ago; one is due every 60 s); no aggregator has requested a signature since "
        "2024-11-25 08:06:50 UTC (108 s ago)"
    )
    assert certification(world, "operator_1") == {
        "checkpoint_age_seconds": 108,
        "round_age_seconds": 108,
        "late_after_seconds": 90,
    }
    assert metric(world, "operator_1", 'not_ready{reason="not_certifying"}') == 1
    assert metric(world, "operator_1", "ready") == 0
    assert metric(world, "operator_1", "checkpoint_age_seconds") == pytest.approx(108, abs=1)
    assert metric(world, "operator_1", "checkpoint_interval_seconds") == 60
    assert metric(world, "operator_1", "round_age_seconds") == pytest.approx(108, abs=1)

    world.resume(AGGREGATOR)
    world.run(3)
    assert [not_certifying(world, name) for name in world.with_a_log()] == [""] * 5


def test_an_aggregator_says_that_its_claims_reach_no_quorum(world: World) -> None:
    for name in ("operator_3", "operator_4"):
        world.stop(name)
    world.run(LATE_ROUNDS - 2)
    in_time = not_certifying(world, AGGREGATOR)
    world.run(4)

    reason = not_certifying(world, AGGREGATOR)

    assert in_time == ""
    assert "no checkpoint has been certified since 2024-11-25 08:06:50 UTC" in reason
    assert "no claim has reached its quorum since 2024-11-25 08:06:50 UTC" in reason
    assert metric(world, AGGREGATOR, "round_age_seconds") == pytest.approx(103, abs=3)
    # The operators that answer are still asked, and only miss the checkpoint.
    assert "no aggregator" not in not_certifying(world, "operator_1")
    assert "no checkpoint has been certified" in not_certifying(world, "operator_1")


def test_an_operator_that_the_aggregator_does_not_reach_says_so(world: World) -> None:
    """The others certify without it, so its log has fresh checkpoints."""
    world.cuts.add((AGGREGATOR, "operator_4"))
    world.run(LATE_ROUNDS + 3)

    assert not_certifying(world, "operator_4").startswith(
        "not_certifying: no aggregator has requested a signature since"
    )
    assert not_certifying(world, "operator_1") == not_certifying(world, AGGREGATOR) == ""


def test_a_disputed_node_is_no_alarm(world: World) -> None:
    """The aggregator fails with a claim in every round, and certifies checkpoints meanwhile."""
    world.cuts.add((AGGREGATOR, "operator_4"))

    world.run(LATE_ROUNDS + 6)

    assert not_certifying(world, AGGREGATOR) == ""


def test_a_quiet_fleet_is_certifying(world: World) -> None:
    for _ in range(26):
        world.run()
        assert [not_certifying(world, name) for name in world.with_a_log()] == [""] * 5


@pytest.mark.parametrize("rounds_before", [0, 2])
def test_a_start_after_a_day_raises_no_alarm(tmp_path: Path, rounds_before: int) -> None:
    with World(tmp_path, make_members(operators=4)) as world:
        world.run(rounds_before)
        world.clock.now += 86_400
        for name in world.with_a_log():
            world.restart(name)
        world.settle()
        for _ in range(8):
            world.run()
            assert [not_certifying(world, name) for name in world.with_a_log()] == [""] * 5


def test_a_fresh_fleet_without_an_aggregator_says_that_nothing_was_ever_certified(
    tmp_path: Path,
) -> None:
    with World(tmp_path) as world:
        world.stop(AGGREGATOR)
        world.run(LATE_ROUNDS + 3)

        reason = not_certifying(world, "operator_1")

    assert "no checkpoint has been certified since genesis at 2024-11-25 08:06:40 UTC" in reason
    assert "no aggregator has requested a signature since the start of this service at 20" in reason


def test_an_unreachable_ledger_is_another_reason_and_ends_without_an_alarm(world: World) -> None:
    world.stop("sequencer")
    world.run(LATE_ROUNDS + 3)
    during = [not_certifying(world, name) for name in world.with_a_log()]
    world.resume("sequencer")

    assert during == [""] * 5
    for _ in range(8):
        world.run()
        assert [not_certifying(world, name) for name in world.with_a_log()] == [""] * 5


def test_a_network_that_finalizes_nothing_ends_within_three_rounds(world: World) -> None:
    """The gateways answer, so only the age of the checkpoint shows it, and it is an alarm."""
    world.network.set_faults(stalled=True)
    world.run(2 * LATE_ROUNDS)
    during = not_certifying(world, "operator_1")
    world.network.set_faults(stalled=False)
    world.run(3)

    assert "no checkpoint has been certified" in during
    assert [not_certifying(world, name) for name in world.with_a_log()] == [""] * 5


def test_strangers_cannot_pass_for_an_aggregator(world: World) -> None:
    """Claims that no aggregator makes are not taken for a round."""
    world.stop(AGGREGATOR)
    rounds = world.committee.rounds
    for _ in range(LATE_ROUNDS + 3):
        world.run()
        now = rounds.start(rounds.number(world.clock.now))
        for claim in (
            {"kind": "status", "node_id": "operator_2", "status": "up", "timestamp": now},
            {"kind": "status", "node_id": "operator_1", "status": "down", "timestamp": now},
            {"kind": "checkpoint", "size": 4, "root": "0x" + "00" * 32, "timestamp": now},
            {"kind": "status", "node_id": "operator_2", "status": str(Status.DOWN), "timestamp": 1},
        ):
            world.post("operator_1", "/attestations", claim)

    assert "no aggregator has requested a signature" in not_certifying(world, "operator_1")
