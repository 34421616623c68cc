"""The detection guarantee, on a simulated clock with real services.

An outage of at least 1.5 rounds plus one probe deadline is certified, as long as a quorum without
the node is up and reachable and the ledger works. There is one event per transition, and its time
is exact to one round.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from committees import make_members
from simulation import Outage, World

START = 4  # rounds until all operators are certified up
AFTER = 4  # rounds after the outage

RUNS = settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def story_of(
    *, round_seconds: int, operators: int, begin: float, length: float, manner: str
) -> tuple[World, Outage, list[tuple[str, int]]]:
    """Run an outage of operator_2, and return what the logs say about it.

    It begins `begin` rounds after the start and lasts `length` seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        members = make_members(operators, round_seconds=round_seconds)
        with World(Path(folder), members) as world:
            world.run(START)
            at = members.committee.rounds.genesis + (START + begin) * round_seconds
            outage = Outage(at, at + length, manner)
            world.outages["operator_2"] = [outage]
            world.run(1 + int(begin + length / round_seconds) + AFTER)
            told = {name: world.story(name, "operator_2") for name in world.operators}
            assert all(story == told["operator_1"] for story in told.values())
            return world, outage, told["operator_1"]


@RUNS
@given(
    round_seconds=st.sampled_from([2, 3, 5, 10]),
    operators=st.sampled_from([4, 4, 5]),
    begin=st.floats(0, 1),
    surplus=st.floats(0, 1.2),
    manner=st.sampled_from(["refuse", "hang"]),
)
@example(round_seconds=5, operators=4, begin=0.0, surplus=0.0, manner="hang")
@example(round_seconds=5, operators=4, begin=0.001, surplus=0.0, manner="hang")
@example(round_seconds=2, operators=4, begin=0.001, surplus=0.0, manner="hang")
@example(round_seconds=5, operators=4, begin=0.5, surplus=0.0, manner="refuse")
@example(round_seconds=5, operators=4, begin=0.999, surplus=0.0, manner="refuse")
def test_a_long_outage_and_its_end_are_certified_once_each(
    round_seconds: int, operators: int, begin: float, surplus: float, manner: str
) -> None:
    length = (1.5 + 0.2 + surplus) * round_seconds + 0.01

    world, outage, story = story_of(
        round_seconds=round_seconds,
        operators=operators,
        begin=begin,
        length=length,
        manner=manner,
    )

    assert [status for status, _ in story] == ["up", "down", "up"]
    rounds = world.committee.rounds
    down, up = (rounds.start(number) for _, number in story[1:])
    assert outage.begin - rounds.seconds < down <= outage.begin + rounds.seconds
    assert outage.end - rounds.seconds < up <= outage.end + rounds.seconds


@RUNS
@given(begin=st.floats(0, 1), length=st.floats(0.05, 8), manner=st.sampled_from(["refuse", "hang"]))
def test_a_short_outage_is_certified_with_its_end_or_not_at_all(
    begin: float, length: float, manner: str
) -> None:
    _, _, story = story_of(round_seconds=5, operators=4, begin=begin, length=length, manner=manner)

    assert [status for status, _ in story] in (["up"], ["up", "down", "up"])


def test_an_outage_between_two_probes_is_not_detected() -> None:
    _, _, story = story_of(round_seconds=5, operators=4, begin=0.2, length=3.0, manner="refuse")

    assert [status for status, _ in story] == ["up"]


@pytest.mark.parametrize("late", [1.0, 1.9])
def test_a_clock_offset_below_two_seconds_does_no_harm(late: float) -> None:
    with tempfile.TemporaryDirectory() as folder, World(Path(folder)) as world:
        world.offsets = {"operator_1": late, "operator_3": -late}
        world.run(3)
        world.stop("operator_2")

        world.run(1)

        assert world.statuses("operator_4")["operator_2"] == "down"


def test_an_operator_abstains_if_its_clock_is_more_than_two_seconds_off() -> None:
    with tempfile.TemporaryDirectory() as folder, World(Path(folder)) as world:
        world.offsets = {"operator_1": 3.0}
        world.run(4)
        world.stop("operator_2")

        world.run(1)

        attestation_round = (
            world.components("aggregator_0").monitor.recent[-1].attestation_rounds[-1]
        )
        assert attestation_round.outcome_of("operator_1") in ("clock", "off_round")
        reasons = world.get("operator_1", "/readyz").json()["reasons"]
        assert "clock: more than 2 s off according to the peers" in reasons
