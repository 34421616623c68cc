"""Certified checkpoints: a quorum confirms the root of the log, and that it was running."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest

from committees import Members
from dragon import errors
from dragon.encoding import canonical
from dragon.log.audit import audit
from dragon.protocol import merkle
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status
from dragon_operator.reporter import MAX_CONCURRENT_REPORTS
from simulation import Outage, World

OTHERS = ("operator_1", "operator_3", "operator_4")

pytestmark = pytest.mark.unbroken


def certify(members: Members, claim: CheckpointClaim, signers: tuple[str, ...]) -> Certificate:
    return members.certify(claim, signers)


def next_due(world: World, **changes: object) -> CheckpointClaim:
    """The next claim on the log of operator_1, at its earliest time."""
    last, rounds = world.checkpoints("operator_1")[-1], world.committee.rounds
    checkpoint = world.components("operator_1").log.head()
    claim = CheckpointClaim(
        checkpoint.size, checkpoint.root, last.timestamp + rounds.checkpoint_every
    )
    world.clock.now = float(claim.timestamp + 1)
    return dataclasses.replace(claim, **changes)  # type: ignore[arg-type]


def test_a_checkpoint_is_certified_every_twelve_rounds(world: World) -> None:
    world.run(36)

    numbers = [world.committee.rounds.number(m.timestamp) for m in world.checkpoints("operator_3")]
    assert len(numbers) >= 3
    assert {later - earlier for earlier, later in pairwise(numbers)} == {12}


def test_a_checkpoint_is_the_root_of_every_log_at_its_size(world: World) -> None:
    world.run(13)

    for checkpoint in world.checkpoints("operator_1"):
        for name in world.operators:
            assert world.components(name).log.head(checkpoint.size).root == checkpoint.log_root


def test_checkpoints_go_on_while_a_node_is_down(world: World) -> None:
    world.stop("operator_2")

    world.run(26)

    assert len(world.checkpoints("operator_1")) >= 3


def test_without_a_quorum_there_are_no_checkpoints(world: World) -> None:
    world.stop("operator_2")
    world.stop("operator_3")
    before = len(world.checkpoints("operator_1"))

    world.run(26)

    assert len(world.checkpoints("operator_1")) == before


def test_a_certified_checkpoint_of_another_log_stops_this_one(world: World) -> None:
    """Either the quorum lies or this log is wrong. Nothing more is applied."""
    claim = next_due(world, log_root=bytes(32))

    world.submit(certify(world.members, claim, OTHERS))

    alarm = world.components("operator_1").log.alarm()
    assert alarm is not None
    assert alarm.reason == "diverged"
    assert "at 5 entries" in alarm.detail
    assert "the logs agree up to entry 3" in alarm.detail
    assert world.get("operator_1", "/readyz").status_code == 503
    assert world.components("operator_1").log.state.size == 5


def test_events_before_a_diverging_checkpoint_in_the_same_page_are_applied(world: World) -> None:
    claim = next_due(world, log_root=bytes(32))
    number = world.committee.rounds.number(world.clock.now)
    down = world.members.status("operator_2", Status.DOWN, number)
    app = world.committee.sequencer.app
    world.network.submit(app, canonical([down.to_json()]).decode())
    diverging = certify(world.members, claim, OTHERS)
    world.network.submit(app, canonical([diverging.to_json()]).decode())
    world.network.submit(app, "[]")
    world.settle()

    assert world.statuses("operator_1")["operator_2"] == "down"
    assert world.components("operator_1").log.alarm() is not None
    assert world.components("operator_1").log.state.size == 6


def test_a_checkpoint_beyond_the_log_stops_it(world: World) -> None:
    world.submit(certify(world.members, next_due(world, size=99), OTHERS))

    alarm = world.components("operator_1").log.alarm()
    assert alarm is not None
    assert "this log had 5" in alarm.detail


def test_a_forged_checkpoint_stops_nothing(world: World) -> None:
    claim = next_due(world, log_root=bytes(32))
    forged = dataclasses.replace(
        certify(world.members, claim, OTHERS),
        signature=certify(world.members, claim, ("operator_1",)).signature,
    )

    world.submit(forged)

    assert world.components("operator_1").log.alarm() is None
    assert world.components("operator_1").log.refusals() == {"bad_signature": 1}


@pytest.mark.parametrize("earlier", [1, 11])
def test_a_checkpoint_that_is_not_due_is_refused_without_alarm(world: World, earlier: int) -> None:
    claim = next_due(world)
    too_soon = claim.timestamp - earlier * world.committee.rounds.seconds
    world.submit(certify(world.members, dataclasses.replace(claim, timestamp=too_soon), OTHERS))

    assert world.components("operator_1").log.alarm() is None
    assert world.components("operator_1").log.refusals() == {"not_later": 1}


def test_an_operator_does_not_sign_another_logs_checkpoint(world: World) -> None:
    claim = next_due(world, log_root=merkle.leaf_hash(b"another"))

    answer = world.post("operator_1", "/attestations", claim.to_json())

    assert (answer.status_code, answer.json()["reason"]) == (409, "malformed")


def test_an_operator_does_not_sign_a_checkpoint_beyond_its_log(world: World) -> None:
    answer = world.post("operator_1", "/attestations", next_due(world, size=99).to_json())

    assert (answer.status_code, answer.json()["reason"]) == (409, "behind")


def test_an_operator_does_not_sign_a_checkpoint_that_is_not_due(world: World) -> None:
    claim = next_due(world)
    rounds = world.committee.rounds
    world.clock.now -= rounds.seconds
    early = dataclasses.replace(claim, timestamp=claim.timestamp - rounds.seconds)

    answer = world.post("operator_1", "/attestations", early.to_json())

    assert (answer.status_code, answer.json()["reason"]) == (409, "no_change")


def test_two_roots_at_one_size_are_never_signed_across_a_restart(world: World) -> None:
    claim = next_due(world)
    assert world.post("operator_1", "/attestations", claim.to_json()).status_code == 200
    world.restart("operator_1")
    world.settle()
    parts = world.components("operator_1")

    def root_at(size: int) -> bytes:
        return bytes(parts.log.head(size).root)

    def forged_at(_: int) -> bytes:
        return bytes(32)

    other = dataclasses.replace(claim, log_root=bytes(32))
    for root, reason in ((root_at, "equivocation"), (forged_at, "behind")):
        with pytest.raises(errors.AttestationRefused) as refused:
            parts.journal.decide_log_claim(other, parts.log.state.size, root)
        assert refused.value.reason == reason


def test_an_operator_does_not_certify_a_log_that_its_probes_contradict(world: World) -> None:
    """Operator_2 is down, but the log does not say so, because the aggregator is down too."""
    world.stop("aggregator_0")
    world.stop("operator_2")
    world.run(8)
    claim = next_due(world)

    answer = world.post("operator_1", "/attestations", claim.to_json())

    assert (answer.status_code, answer.json()["reason"]) == (409, "sees_down")


def test_a_peer_that_the_aggregator_alone_cannot_reach_stops_no_checkpoints(world: World) -> None:
    """The operators report that it is up again; else they would refuse every checkpoint.

    Strangers who keep them busy with reports do not prevent it.
    """
    for name in world.operators:
        for _ in range(MAX_CONCURRENT_REPORTS):
            assert world.components(name).reporter._slots.acquire(blocking=False)
    world.stop("operator_2")
    world.run(2)
    assert world.statuses("operator_1")["operator_2"] == "down"
    before = len(world.checkpoints("operator_1"))

    world.cuts.add(("aggregator_0", "operator_2"))
    world.resume("operator_2")
    world.run(26)

    assert world.statuses("operator_1")["operator_2"] == "up"
    assert len(world.checkpoints("operator_1")) >= before + 2


def test_a_peer_that_answers_in_the_middle_of_rounds_only_stops_no_checkpoints(
    world: World,
) -> None:
    """The aggregator probes it at the start of rounds, the operators monitor it in the middle."""
    rounds, before = world.committee.rounds, len(world.checkpoints("operator_1"))
    first = rounds.number(world.clock.now) + 1
    starts = [rounds.start(number) for number in range(first, first + 40)]
    world.outages["operator_2"] = [Outage(start - 0.1, start + 2.0) for start in starts]

    world.run(38)

    assert len(world.story("operator_1", "operator_2")) > 4
    assert len(world.checkpoints("operator_1")) >= before + 2


def test_a_new_status_in_the_log_contradicts_no_probe_at_once(world: World) -> None:
    """All probes have found operator_2 up, and another quorum has just seen it down."""
    components, rounds = world.components("operator_1"), world.committee.rounds
    world.run(8)
    world.stop("aggregator_0")
    world.submit(world.members.status("operator_2", Status.DOWN, rounds.number(world.clock.now)))

    assert components.peers.contradictions(components.log.state, 6) == {}
    world.run(5)
    assert components.peers.contradictions(components.log.state, 6) == {}
    world.run(2)
    assert components.peers.contradictions(components.log.state, 6) == {"operator_2": Status.UP}


def test_a_log_with_checkpoints_audits_the_same_batched_and_singly(world: World) -> None:
    world.run(14)
    path = world.database_file("operator_1")

    assert audit(path, world.committee, batched=True) == audit(path, world.committee, batched=False)
