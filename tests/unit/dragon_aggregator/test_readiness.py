"""An aggregator says what keeps it from its work: its clock, the ledger, or a silent log."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from committees import make_members
from dragon.net.operator_keys import listed_keys
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.claims.window import Verdict
from dragon.protocol.messages import Suspicion
from dragon_aggregator.suspicion_filter import SuspicionFilter
from simulation import World

AGGREGATOR = "aggregator_0"
UNCONFIRMED = "clock: not confirmed by the operators yet"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as made:
        yield made


def reasons(world: World, name: str = AGGREGATOR) -> list[str]:
    return [str(reason) for reason in world.get(name, "/readyz").json()["reasons"]]


def metric(world: World, name: str, service: str = AGGREGATOR) -> float:
    lines = world.get(service, "/metrics").text.splitlines()
    [value] = [line.split()[1] for line in lines if line.startswith(f"datadragon_{name} ")]
    return float(value)


# -- the clock -----------------------------------------------------------------------------------


def test_an_aggregator_proposes_nothing_before_operators_have_confirmed_its_clock(
    world: World,
) -> None:
    """It starts while no operator answers, with a clock that is an hour ahead."""
    world.run(2)
    for operator in world.operators[1:]:
        world.stop(operator)
    world.clock.sleep(3.0)
    world.restart(AGGREGATOR)
    world.settle()
    world.offsets[AGGREGATOR] = 3600.0
    world.components(AGGREGATOR).monitor.run_round(3 + 720)
    record = world.components(AGGREGATOR).monitor.recent[-1]

    assert record.note == "abstains: this clock is not confirmed by the operators yet"
    assert record.attestation_rounds == []
    assert UNCONFIRMED in reasons(world)


def test_the_clock_is_confirmed_before_the_first_round(world: World) -> None:
    """The first round may be an hour away."""
    components = world.components(AGGREGATOR)
    stop = threading.Event()
    stop.wait = lambda _: stop.set() or True  # type: ignore[method-assign,func-returns-value]

    components.monitor.run(stop)

    assert not components.monitor.recent
    assert components.clock.fault == ""


def test_a_clock_that_was_wrong_is_compared_again_before_the_next_round(world: World) -> None:
    """The next round may be an hour away."""
    world.offsets[AGGREGATOR] = 3.0
    monitor = world.components(AGGREGATOR).monitor
    monitor.run_round(1)
    wrong = "clock: more than 2 s off according to the operators"
    assert wrong in reasons(world)

    world.offsets.clear()
    world.clock.sleep(2.0)
    monitor.check_clock()

    assert wrong not in reasons(world)
    assert world.components(AGGREGATOR).clock.fault == ""


def test_one_operator_cannot_confirm_the_clock_alone(world: World) -> None:
    """One of four may be faulty."""
    for operator in world.operators[1:]:
        world.stop(operator)
    world.clock.sleep(3.0)
    world.restart(AGGREGATOR)
    world.run(2)
    assert UNCONFIRMED in reasons(world)

    world.resume(world.operators[1])
    world.run(1)
    assert UNCONFIRMED not in reasons(world)


def test_rounds_of_the_future_do_not_block_those_of_the_present(world: World) -> None:
    world.offsets[AGGREGATOR] = 3600.0
    for number in (721, 722, 723):
        world.components(AGGREGATOR).monitor.run_round(number)
        world.settle()
    assert world.components(AGGREGATOR).outbox.pending() == []
    assert "clock: more than 2 s off according to the operators" in reasons(world)

    world.offsets[AGGREGATOR] = 0.0
    world.run(3)

    assert set(world.statuses("operator_1").values()) == {"up"}
    assert world.checkpoints("operator_1")


def test_a_suspicion_is_admitted_after_the_clock_was_set_back() -> None:
    members = make_members()
    admitted = SuspicionFilter(members.committee, listed_keys(members.committee))

    def first(number: int) -> bool:
        timestamp = members.committee.rounds.start(number)
        return admitted.is_first(
            Suspicion("operator_2", Status.DOWN, timestamp, "operator_1"), number
        )

    assert [first(720), first(720), first(0), first(720)] == [True, False, True, True]


# -- the ledger ----------------------------------------------------------------------------------


def test_readyz_says_that_the_ledger_makes_nothing_final(world: World) -> None:
    """The gateways accept everything, and the network has no quorum."""
    world.run(3)
    world.network.set_faults(stalled=True)
    world.stop("operator_2")
    world.run(1)
    assert world.components(AGGREGATOR).outbox.pending()
    world.run(5)
    in_time = reasons(world)
    world.run(3)

    assert in_time == []
    assert reasons(world) == ["ledger: 1 event accepted, none finalized for 43 s"]
    assert metric(world, "ledger_unfinalized_seconds") == pytest.approx(43, abs=1)
    assert metric(world, "outbox_oldest_seconds") == pytest.approx(43, abs=1)

    world.network.set_faults(stalled=False)
    world.run(1)
    assert reasons(world) == []
    assert metric(world, "ledger_unfinalized_seconds") == 0
    assert metric(world, "outbox_oldest_seconds") == 0


# -- a silent log --------------------------------------------------------------------------------


def test_readyz_says_silent(world: World) -> None:
    """After `unknown_after` without a checkpoint, operators and aggregators say so."""
    world.run(3)
    [mark] = world.checkpoints("operator_1")
    unknown_after = world.committee.rounds.unknown_after
    world.clock.now = float(mark.timestamp + unknown_after)
    world.settle()
    world.clock.now = float(mark.timestamp + unknown_after)
    at_the_bound = [reasons(world, name) for name in ("operator_1", AGGREGATOR)]
    world.clock.now += 1

    for name in ("operator_1", AGGREGATOR):
        assert "silent: no checkpoint for 121 s" in reasons(world, name)
        assert metric(world, "log_time", name) == mark.timestamp
        assert metric(world, "checkpoint_age_seconds", name) == pytest.approx(121)
    assert not any(reason.startswith("silent") for said in at_the_bound for reason in said)


def test_an_empty_log_is_silent_since_genesis(world: World) -> None:
    world.clock.now += world.committee.rounds.unknown_after + 1

    assert "silent: no checkpoint for 121 s" in reasons(world, "operator_1")
    assert metric(world, "log_time", "operator_1") == world.committee.rounds.genesis


@pytest.mark.parametrize("rounds_before", [0, 2])
def test_a_fleet_that_starts_after_a_day_is_ready_within_three_rounds(
    world: World, rounds_before: int
) -> None:
    """With an empty log it needs a round more: the first checkpoint covers the first statuses."""
    world.run(rounds_before)
    world.clock.now += 86_400
    for name in world.with_a_log():
        world.restart(name)
    world.settle()
    assert any(reason.startswith("silent") for reason in reasons(world))

    world.run(3)

    assert [reason for name in world.with_a_log() for reason in reasons(world, name)] == []


# -- endorsements --------------------------------------------------------------------------------


def test_endorsement_from_the_future_is_early(tmp_path: Path) -> None:
    """The log would accept it: its bound is minutes. The door refuses it by its own clock."""
    members = make_members(experts=1)

    def endorsed(world: World, ahead: int) -> str:
        timestamp = int(world.clock.now) + ahead
        claim = EndorsementClaim(bytes(32), 0, 0, Verdict.VALID, bytes(32), "expert_1", timestamp)
        body = members.endorse(claim).to_json()
        answer = world.post(AGGREGATOR, "/endorsements", body)
        return str(answer.json()["type"]).rpartition(":")[2]

    with World(tmp_path, members) as world:
        rounds = members.committee.rounds
        answers = [endorsed(world, ahead) for ahead in (15, 16, 3600)]
        world.clock.now += 3600  # log time stands still, and the present is far ahead of it
        answers.append(endorsed(world, 0))
        answers.append(endorsed(world, rounds.unknown_after + rounds.max_age - 3600))
        assert world.components(AGGREGATOR).outbox.pending() == []

    assert answers == ["no-such-window", "early", "early", "early", "no-such-window"]
