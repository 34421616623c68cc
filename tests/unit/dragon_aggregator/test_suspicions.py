"""`GET /rounds` says which suspicions a round had, by whom, when, and what came of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from committees import make_members
from dragon.encoding import to_hex
from dragon.node import schemas
from dragon.protocol.bls import SecretKey
from dragon.protocol.claims.status import Status
from dragon.protocol.messages import Suspicion
from dragon_aggregator.received_suspicions import (
    MAX_SUSPICIONS_OF_OPERATOR,
    Outcome,
    ReceivedSuspicions,
)
from simulation import World

AGGREGATOR = "aggregator_0"
TARGETS = 20


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Four operators, certified up, in a round in which nothing has changed."""
    with World(tmp_path) as made:
        made.run(2)
        begin_round(made)
        yield made


def begin_round(world: World) -> None:
    """Let the aggregator run its part of the next round, and go on shortly after it."""
    rounds = world.committee.rounds
    number = rounds.number(world.clock.now) + 1
    world.clock.now = float(rounds.start(number))
    world.components(AGGREGATOR).monitor.run_round(number)
    world.clock.now = rounds.start(number) + 1.5


def newest_round(world: World) -> dict[str, Any]:
    body = world.get(AGGREGATOR, "/rounds?limit=1").json()
    schemas.Rounds.model_validate(body)
    found: dict[str, Any] = body["rounds"][0]
    return found


def votes(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The questions of a round about a node's status."""
    return [each for each in record["gatherings"] if each["claim"]["kind"] == "status"]


def send(
    world: World,
    operator: str,
    node_id: str,
    status: Status = Status.DOWN,
    secret: SecretKey | None = None,
) -> Any:
    """Send a suspicion in an operator's name, whether or not it sees the change."""
    rounds = world.committee.rounds
    start = rounds.start(rounds.number(world.clock.now))
    suspicion = Suspicion(node_id, status, start, operator)
    signer = secret or world.members.secrets[operator]
    signature = to_hex(signer.sign(suspicion.root(world.committee.id)))
    return world.post(AGGREGATOR, "/suspicions", {**suspicion.members(), "signature": signature})


def test_a_suspicion_is_listed_with_the_vote_that_it_started(world: World) -> None:
    world.stop("operator_2")

    world.post("operator_1", "/reports", {"node_id": "operator_2", "status": "down"})

    record = newest_round(world)
    [suspicion] = record["suspicions"]
    after_ms = suspicion.pop("after_ms")
    assert 1500 <= after_ms < 5000
    assert suspicion == {
        "operator": "operator_1",
        "node_id": "operator_2",
        "status": "down",
        "outcome": "certified",
        "detail": "",
    }
    [gathering] = votes(record)
    assert gathering["claim"]["node_id"] == "operator_2"
    assert record["suspicions_omitted"] == 0


def test_what_brings_no_news_is_listed_as_no_change(world: World) -> None:
    world.stop("operator_2")

    answers = [send(world, name, "operator_2").json() for name in ("operator_1", "operator_3")]
    again = send(world, "operator_1", "operator_2").json()

    assert [each["gathering"] for each in (*answers, again)] == [True, False, False]
    found = newest_round(world)["suspicions"]
    assert [(each["operator"], each["outcome"]) for each in found] == [
        ("operator_1", "certified"),
        ("operator_3", "no_change"),
    ]


def test_a_suspicion_that_no_quorum_confirms_is_listed_as_not_certified(world: World) -> None:
    send(world, "operator_1", "operator_2")

    record = newest_round(world)
    assert [each["outcome"] for each in record["suspicions"]] == ["not_certified"]
    assert {each["answer"] for each in votes(record)[0]["answers"]} == {"sees_up"}


def test_an_aggregator_that_abstains_says_why_it_asked_nobody(world: World) -> None:
    world.offsets[AGGREGATOR] = 3.0
    begin_round(world)

    send(world, "operator_1", "operator_2")

    [suspicion] = newest_round(world)["suspicions"]
    assert suspicion["outcome"] == "abstained"
    assert "this clock is more than 2 s off" in suspicion["detail"]


def test_a_suspicion_after_the_end_of_a_late_round_is_not_lost(world: World) -> None:
    """The aggregator has not begun the next round yet: the record of the last one has it."""
    world.clock.now += world.committee.rounds.seconds

    send(world, "operator_1", "operator_2")

    [suspicion] = newest_round(world)["suspicions"]
    assert suspicion["after_ms"] > 1000 * world.committee.rounds.seconds
    assert len(votes(newest_round(world))) == 1


def test_what_an_operator_has_not_signed_is_not_listed(world: World) -> None:
    answer = send(world, "operator_1", "operator_2", secret=SecretKey.generate(b"mallory" * 6))

    assert answer.status_code == 422
    assert newest_round(world)["suspicions"] == []


def test_an_operator_cannot_fill_the_record_nor_displace_the_others(tmp_path: Path) -> None:
    with World(tmp_path, make_members(targets=TARGETS), verify_at_end=False) as world:
        world.run(1)
        for number in range(TARGETS):
            send(world, "operator_1", f"target_{number + 1}", Status.UP)
        send(world, "operator_3", "target_1", Status.UP)

        record = newest_round(world)

    found = [each["operator"] for each in record["suspicions"]]
    assert found.count("operator_1") == MAX_SUSPICIONS_OF_OPERATOR
    assert found.count("operator_3") == 1
    assert record["suspicions_omitted"] == TARGETS - MAX_SUSPICIONS_OF_OPERATOR
    assert len(votes(record)) <= len(found) + len(world.operators)


def test_the_newest_reason_counts_until_the_operators_are_asked() -> None:
    received, kept = ReceivedSuspicions().add(Suspicion("a", Status.UP, 0, "b"), 1.0)

    received.decline(Outcome.BUSY)
    received.decline(Outcome.ABSTAINED, "why")

    assert kept
    assert (received.outcome, received.detail) == (Outcome.ABSTAINED, "why")
    received.outcome = Outcome.CERTIFIED
    received.decline(Outcome.NO_CHANGE)
    assert received.outcome is Outcome.CERTIFIED
