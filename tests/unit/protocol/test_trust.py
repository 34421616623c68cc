"""What old signatures are worth: only what a trusted committee's log covers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from committees import Members, make_members, secret
from dragon import errors
from dragon.protocol import merkle
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.status import Status
from dragon.protocol.handover import Handover
from dragon.protocol.lineage import Lineage
from dragon.protocol.trust import Anchor, Trust
from epochs import Network, checkpoint, hand_over

LEAVES = [bytes([number]) * 32 for number in range(40)]
TREE = merkle.Tree(LEAVES)


class RealNetwork(Network):
    """Its handovers state the roots of one tree."""

    def root(self, epoch: int) -> bytes:
        return TREE.root(10 * epoch)


def network() -> Network:
    made = RealNetwork([make_members(4, targets=1)])
    made.step(add=["operator_5"])
    made.step(rotate={"operator_2": secret("operator_2 again")})
    return made


NETWORK = network()
LINEAGE = NETWORK.lineage()
LINEAGE.verify()
TRUST = Trust(LINEAGE)
POSITION = 3
LEAF = LEAVES[POSITION]


def outage(epoch: int) -> Certificate:
    return NETWORK.epochs[epoch].status("target_1", Status.DOWN, 100 * epoch + 20)


OUTAGE = outage(0)


def anchored(mark: Certificate | Handover, size: int) -> Anchor:
    return Anchor(mark, POSITION, TREE.inclusion(POSITION, size))


def mark_of(members: Members, size: int, round_: int) -> Certificate:
    time = members.committee.rounds.start(round_)
    return checkpoint(members, size, TREE.root(size), time)


def refusal(
    signed: Certificate, anchor: Anchor | None = None, trust: Trust = TRUST, leaf: bytes = LEAF
) -> type[errors.DragonError]:
    with pytest.raises(errors.DragonError) as refused:
        trust.verify(signed, leaf_hash=leaf, anchor=anchor)
    return type(refused.value)


def test_what_the_newest_committee_signed_needs_no_anchor() -> None:
    assert TRUST.verify(outage(2)) == NETWORK.newest.committee


def test_what_an_older_committee_signed_is_superseded() -> None:
    for epoch in (0, 1):
        assert refusal(outage(epoch)) is errors.Superseded


def test_a_checkpoint_of_the_newest_committee_covers_old_events() -> None:
    anchor = anchored(mark_of(NETWORK.newest, 25, 250), 25)

    found = TRUST.verify(OUTAGE, leaf_hash=LEAF, anchor=anchor)

    assert found == NETWORK.epochs[0].committee


def test_a_forged_checkpoint_of_the_newest_committee_covers_nothing() -> None:
    """It names the newest committee and its signers, and one operator has signed it."""
    genuine = mark_of(NETWORK.newest, 25, 250)
    alone = NETWORK.newest.secrets["operator_3"].sign(genuine.claim.root(genuine.committee_id))
    forged = replace(genuine, signature=alone)
    few = NETWORK.newest.certify(genuine.claim, ["operator_3"])

    assert refusal(OUTAGE, anchored(forged, 25)) is errors.BadSignature
    assert refusal(OUTAGE, anchored(few, 25)) is errors.QuorumNotMet
    for mark in (forged, few):
        with pytest.raises(errors.CertificateError):
            TRUST.verify_mark(mark)


@pytest.mark.parametrize("epoch", [1, 2])
def test_receipt_anchored_at_a_handover_needs_no_second_renewal(epoch: int) -> None:
    """Each later lineage pins the handover, so the anchor holds for good."""
    anchor = anchored(NETWORK.handovers[epoch - 1], 10 * epoch)
    later = RealNetwork(list(NETWORK.epochs), list(NETWORK.handovers))
    later.step(drop=["operator_3"])

    for lineage in (LINEAGE, later.lineage()):
        lineage.verify()
        Trust(lineage).verify(OUTAGE, leaf_hash=LEAF, anchor=anchor)


def test_a_checkpoint_of_an_older_committee_covers_nothing() -> None:
    """A checkpoint by itself is worth no more than what it covers."""
    anchor = anchored(mark_of(NETWORK.epochs[1], 15, 150), 15)

    assert refusal(OUTAGE, anchor) is errors.Superseded


def test_leaked_genesis_keys_against_newest_lineage() -> None:
    """A quorum of epoch 0 signs an outage, a checkpoint and a handover that never were."""
    first, second = NETWORK.epochs[:2]
    invented = first.status("target_1", Status.DOWN, 30)
    leaf = merkle.leaf_hash(b"invented")
    tree = merkle.Tree([leaf])
    time = first.committee.rounds.start(60)
    marks: list[Certificate | Handover] = [
        checkpoint(first, 1, tree.root(), time),
        hand_over(first, second, size=1, root=tree.root(), timestamp=time),
        hand_over(first, second, size=10, root=tree.root(), timestamp=time),
    ]

    assert refusal(invented) is errors.Superseded
    for mark in marks:
        assert refusal(invented, Anchor(mark, 0, []), leaf=leaf) is errors.Superseded


def test_an_event_that_is_not_in_the_log_is_not_covered() -> None:
    anchor = anchored(NETWORK.handovers[0], 10)

    assert refusal(OUTAGE, anchor, leaf=bytes(32)) is errors.InvalidProof
    assert refusal(OUTAGE, replace(anchor, position=4)) is errors.InvalidProof


def test_an_anchor_does_not_replace_the_signatures() -> None:
    anchor = anchored(NETWORK.handovers[0], 10)
    forged = replace(OUTAGE, signature=NETWORK.epochs[0].secrets["operator_1"].sign(bytes(32)))

    assert refusal(forged, anchor) is errors.BadSignature


def test_trust_from_an_older_epoch() -> None:
    """The caller says that the keys of epoch 1 are in good hands."""
    trust = Trust(LINEAGE, trust_from=1)
    covering = anchored(mark_of(NETWORK.epochs[1], 15, 150), 15)

    trust.verify(outage(1))
    trust.verify(OUTAGE, leaf_hash=LEAF, anchor=covering)
    assert refusal(OUTAGE, trust=trust) is errors.Superseded


def test_a_committee_outside_the_lineage_is_wrong() -> None:
    foreign = make_members(4, targets=1, name="another").status("target_1", Status.DOWN, 20)

    assert refusal(foreign) is errors.WrongCommittee
    assert refusal(OUTAGE, trust=Trust.of(LINEAGE.newest)) is errors.WrongCommittee


def test_only_marks_anchor() -> None:
    anchor = anchored(outage(2), 10)

    assert refusal(OUTAGE, anchor) is errors.UnknownKind


def test_marks_that_count() -> None:
    good: list[Any] = [*NETWORK.handovers, NETWORK.checkpoint()]
    for mark in good:
        TRUST.verify_mark(mark)
    with pytest.raises(errors.Superseded):
        TRUST.verify_mark(mark_of(NETWORK.epochs[0], 5, 50))


def test_a_lineage_of_one_trusts_its_committee() -> None:
    founding = NETWORK.epochs[0].committee

    assert Trust(Lineage.of(founding)).verify(OUTAGE) == founding


def test_old_key_of_a_rotated_id() -> None:
    """Operator 2 has another key in epoch 2. Its old one signs for no committee any more."""
    stolen = Members(NETWORK.newest.committee, NETWORK.epochs[1].secrets)
    forged = stolen.status("target_1", Status.DOWN, 220)
    assert "operator_2" in forged.signers
    assert refusal(forged) is errors.BadSignature
    assert refusal(NETWORK.epochs[1].status("target_1", Status.DOWN, 220)) is errors.Superseded


def test_removed_operators_quorum_signs_nothing_that_counts() -> None:
    """All members of epoch 0, together, after epoch 2 has taken its seat."""
    first, time = NETWORK.epochs[0], NETWORK.newest.committee.rounds.start(260)
    forged = first.status("target_1", Status.DOWN, 260)
    certified = checkpoint(first, 1, LEAF, time)
    handed = hand_over(first, NETWORK.epochs[1], size=1, root=LEAF, timestamp=time)

    for signed in (forged, certified):
        assert refusal(signed) is errors.Superseded
    with pytest.raises(errors.Superseded):
        TRUST.verify(handed)
    for mark in (certified, handed):
        with pytest.raises(errors.Superseded):
            TRUST.verify_mark(mark)


def test_a_mark_covers_nothing_of_a_later_epoch() -> None:
    """Trusting all keys, a checkpoint of epoch 0 with an event of epoch 1 is still impossible."""
    trust = Trust(LINEAGE, trust_from=2)
    early = anchored(mark_of(NETWORK.epochs[0], 15, 150), 15)

    assert refusal(outage(1), early, trust) is errors.Superseded
    with pytest.raises(errors.Superseded):
        Trust(LINEAGE, trust_from=0).verify_mark(early.mark, covered=NETWORK.epochs[1].committee)


def test_a_handover_of_a_trusted_committee_is_a_mark_before_the_lineage_has_it() -> None:
    """Its quorum certified this log, as in a checkpoint."""
    known = Trust(
        replace(LINEAGE, committees=LINEAGE.committees[:2], handovers=LINEAGE.handovers[:1])
    )
    anchor = anchored(NETWORK.handovers[1], 20)

    assert known.verify(OUTAGE, leaf_hash=LEAF, anchor=anchor) == NETWORK.epochs[0].committee


def test_a_handover_is_verified_with_its_acceptance() -> None:
    handed = NETWORK.handovers[1]
    assert TRUST.verify(handed) == NETWORK.epochs[1].committee
    few = replace(handed.acceptance, signers=handed.acceptance.signers[:1])
    with pytest.raises(errors.NotAccepted):
        TRUST.verify(replace(handed, acceptance=few))
    with pytest.raises(errors.WrongCommittee):
        Trust.of(NETWORK.epochs[1].committee).verify(handed)
