"""Attacks on certificates and events: every log refuses each with its named reason."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from committees import make_members
from dragon.encoding import Json, to_hex
from dragon.protocol import bls, certificate
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.messages import StatusAnswer, Suspicion
from simulation import World


def this_round(world: World) -> int:
    return int(world.committee.rounds.number(world.clock.now))


def outage(world: World, *, signers: tuple[str, ...] | None = None) -> Certificate:
    """A genuine certificate of this round that operator_2 is down."""
    return world.members.status("operator_2", Status.DOWN, this_round(world), signers)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One fleet for all attacks that fail, since they must not change it."""
    with World(tmp_path_factory.mktemp("world")) as made:
        made.run(3)
        yield made


@dataclass
class Attacked:
    """The refusals of each log before the attack."""

    refused: dict[str, Counter[str]]


@pytest.fixture
def world(shared: World) -> World:
    shared.before = Attacked({name: refusals(shared, name) for name in shared.operators})  # type: ignore[attr-defined]
    return shared


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[World]:
    """A separate fleet for tests in which an event is applied."""
    with World(tmp_path) as made:
        made.run(3)
        yield made


def refusals(world: World, name: str) -> Counter[str]:
    return Counter(world.components(name).log.refusals())


def refused_as(world: World, reason: str) -> None:
    """Check that every log refused one event with that reason, and that none applied it."""
    before = getattr(world, "before", None)
    for name in world.operators:
        known = before.refused[name] if before else Counter()
        assert refusals(world, name) - known == {reason: 1}
        assert world.statuses(name)["operator_2"] == "up"


def test_a_genuine_certificate_is_applied_no_matter_who_submits_it(fresh: World) -> None:
    """The control for every attack below."""
    fresh.submit(outage(fresh))

    assert fresh.statuses("operator_1")["operator_2"] == "down"


def test_one_signer_is_not_a_quorum(world: World) -> None:
    alone = outage(world, signers=("operator_1",))

    world.submit(alone)

    refused_as(world, "quorum_not_met")


def test_one_signature_does_not_count_as_three(world: World) -> None:
    """The certificate lists three signers, but one operator made the signature."""
    alone = outage(world, signers=("operator_1",))
    three = outage(world, signers=("operator_1", "operator_3", "operator_4"))

    world.submit(dataclasses.replace(three, signature=alone.signature))

    refused_as(world, "bad_signature")


def test_one_key_is_not_the_sum_of_three(world: World) -> None:
    alone = outage(world, signers=("operator_1",))
    padded = dataclasses.replace(alone, signers=("operator_1", "operator_3", "operator_4"))

    world.submit(padded)

    refused_as(world, "wrong_aggregate_key")


def test_a_rogue_aggregate_key_is_refused(world: World) -> None:
    """The attacker holds the secret of the stated aggregate key, and signs alone for three."""
    mallory = bls.SecretKey.generate(b"mallory" * 6)
    claim = outage(world).claim
    forged = dataclasses.replace(
        outage(world),
        signature=mallory.sign(claim.root(world.committee.id)),
        public_key=mallory.public_key().raw,
    )

    world.submit(forged)

    refused_as(world, "wrong_aggregate_key")


def test_a_replayed_certificate_is_refused(fresh: World) -> None:
    first = fresh.journaled(outage(fresh))
    fresh.submit(first)
    fresh.run(2)  # operator_2 answers, and is certified up
    assert fresh.statuses("operator_1")["operator_2"] == "up"

    fresh.submit(first)

    refused_as(fresh, "applied_already")


def test_a_certificate_submitted_after_a_checkpoint_of_max_age_later_is_refused(
    fresh: World,
) -> None:
    withheld = outage(fresh)
    fresh.run(25)
    assert fresh.checkpoints("operator_1")[-1].timestamp > withheld.claim.timestamp + 60

    fresh.submit(withheld)

    refused_as(fresh, "stale")


def test_a_withheld_certificate_is_refused_after_a_later_event(
    fresh: World,
) -> None:
    """Withholding can delay a real transition only until the next checkpoint but one."""
    withheld = outage(fresh)
    fresh.run(2)
    fresh.submit(outage(fresh))
    assert fresh.statuses("operator_1")["operator_2"] == "down"

    fresh.submit(withheld)

    assert fresh.components("operator_1").log.refusals() == {"not_later": 1}


def test_a_certificate_of_another_committee_is_refused(world: World) -> None:
    """The same operators and keys under another name are another committee."""
    other = make_members(name="elsewhere")

    world.submit(other.status("operator_2", Status.DOWN, this_round(world)))

    refused_as(world, "wrong_committee")


def test_a_certificate_relabelled_for_this_committee_is_refused(world: World) -> None:
    other = make_members(name="elsewhere").status("operator_2", Status.DOWN, this_round(world))

    world.submit(dataclasses.replace(other, committee_id=world.committee.id))

    refused_as(world, "bad_signature")


def test_a_certificate_moved_to_another_round_is_refused(world: World) -> None:
    genuine = outage(world)
    later = genuine.claim.timestamp + world.committee.rounds.seconds
    moved = dataclasses.replace(genuine.claim, timestamp=later)

    world.submit(dataclasses.replace(genuine, claim=moved))

    refused_as(world, "bad_signature")


def test_a_certificate_between_two_rounds_is_refused(world: World) -> None:
    claim = StatusClaim("operator_2", Status.DOWN, outage(world).claim.timestamp + 1)

    world.submit(world.members.certify(claim, ("operator_1", "operator_3", "operator_4")))

    refused_as(world, "off_round")


def test_a_certificate_of_an_unknown_kind_is_refused(world: World) -> None:
    value = {**outage(world).to_json(), "kind": "suspicion"}

    world.submit(value)

    refused_as(world, "unknown_kind")


def test_signatures_on_suspicions_make_no_certificate(world: World) -> None:
    """The suspicions of three operators must not add up to a certificate."""
    claim, signers = outage(world).claim, ("operator_1", "operator_3", "operator_4")
    suspicions = {
        signer: world.members.secrets[signer].sign(_suspicion_root(world, claim, signer))
        for signer in signers
    }

    world.submit(certificate.assemble(claim, suspicions, world.committee))

    refused_as(world, "bad_signature")


def _suspicion_root(world: World, claim: StatusClaim, signer: str) -> bytes:
    suspicion = Suspicion(claim.node_id, claim.status, claim.timestamp, signer)
    return suspicion.root(world.committee.id)


def test_a_signer_listed_twice_is_refused(world: World) -> None:
    """Two signatures, one counted twice, in an otherwise correct sum."""
    claim = outage(world).claim
    one, two = (world.members.attest(claim, [name])[name] for name in ("operator_1", "operator_3"))
    keys = [world.committee.keys[name] for name in ("operator_1", "operator_1", "operator_3")]
    doubled = Certificate(
        claim,
        ("operator_1", "operator_1", "operator_3"),
        bls.aggregate_signatures([one, one, two]),
        bls.aggregate_keys(keys).raw,
        world.committee.id,
    )

    world.submit(doubled)

    refused_as(world, "duplicate_signer")


def test_the_subject_among_the_signers_of_its_own_down_is_refused(world: World) -> None:
    world.submit(outage(world, signers=("operator_1", "operator_2", "operator_3")))

    refused_as(world, "subject_signed")


def test_a_signed_status_answer_is_not_an_event(world: World) -> None:
    answer = world.get("operator_2", "/status?nonce=0x" + "ab" * 16).json()

    world.submit({"kind": "status-answer", **answer})

    refused_as(world, "unknown_kind")


def test_signatures_on_status_answers_make_no_certificate(fresh: World) -> None:
    """Operators sign `up` for themselves on request; those signatures must certify nothing."""
    fresh.submit(outage(fresh))
    following = fresh.committee.rounds.start(this_round(fresh) + 1)
    claim = StatusClaim("operator_2", Status.UP, following)
    answers = {
        signer: fresh.members.secrets[signer].sign(
            StatusAnswer(signer, Status.UP, claim.timestamp * 1000, bytes(16)).root(
                fresh.committee.id
            )
        )
        for signer in ("operator_1", "operator_3", "operator_4")
    }

    fresh.submit(certificate.assemble(claim, answers, fresh.committee))

    assert fresh.components("operator_1").log.refusals() == {"bad_signature": 1}
    assert fresh.statuses("operator_1")["operator_2"] == "down"


def test_a_forged_copy_sent_first_does_not_displace_the_true_event(fresh: World) -> None:
    true = outage(fresh)
    forged = dataclasses.replace(true, signature=outage(fresh, signers=("operator_1",)).signature)

    fresh.submit(forged)
    fresh.submit(true)

    assert fresh.components("operator_1").log.refusals() == {"bad_signature": 1}
    assert fresh.entries("operator_1")[-1].event == true


def test_a_forged_copy_ends_its_own_batch_only(fresh: World) -> None:
    """The sender of a forged event loses the rest of its batch. The true event has another one."""
    true = outage(fresh)
    forged = dataclasses.replace(true, signature=outage(fresh, signers=("operator_1",)).signature)

    fresh.submit(7, {"kind": "status"}, forged, true)
    assert refusals(fresh, "operator_1")["after_forged"] == 1
    fresh.submit(true)

    assert fresh.entries("operator_1")[-1].event == true


@pytest.mark.parametrize(
    ("member", "value", "reason"),
    [
        ("node_id", "operator_9", "unknown_node"),
        ("node_id", "Operator 2", "invalid_id"),
        ("status", "sideways", "unknown_value"),
        ("timestamp", True, "not_an_integer"),
        ("signers", [], "quorum_not_met"),
        ("signers", ["mallory", "operator_1", "operator_3"], "unknown_signer"),
        ("signers", ["operator_4", "operator_3", "operator_1"], "unsorted_signers"),
        ("aggregated_signature", "0xC0" + "00" * 95, "invalid_hex"),
        ("aggregated_signature", "0xc0" + "00" * 95, "invalid_signature"),
        ("aggregated_signature", "0x" + "ff" * 96, "invalid_signature"),
        ("aggregated_public_key", "0xc0" + "00" * 47, "wrong_aggregate_key"),
        ("committee", "0x00", "invalid_hex"),
        ("surplus", 1, "unknown_member"),
    ],
)
def test_an_event_with_one_invalid_member_is_refused_by_name(
    world: World, member: str, value: Json, reason: str
) -> None:
    world.submit({**outage(world).to_json(), member: value})

    refused_as(world, reason)


def test_a_batch_that_is_not_an_array_is_one_refusal(world: World) -> None:
    world.network.submit(world.committee.sequencer.app, '{"kind": "status"}')
    world.settle()

    refused_as(world, "wrong_type")


def test_a_suspicion_cannot_be_replayed_by_another_operator(fresh: World) -> None:
    signed = outage(fresh).claim
    suspicion = {**signed.members(), "operator": "operator_3"}
    signature = fresh.members.secrets["operator_1"].sign(
        _suspicion_root(fresh, signed, "operator_1")
    )

    answer = fresh.post(
        "aggregator_0", "/suspicions", {**suspicion, "signature": to_hex(signature)}
    )

    assert answer.json()["title"] == "bad_signature"
