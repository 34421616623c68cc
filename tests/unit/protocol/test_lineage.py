"""Lineages: what holds, from both ends, and every reason to refuse one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from committees import make_members, secret
from dragon import errors
from dragon.encoding import canonical
from dragon.protocol.committee import Committee
from dragon.protocol.lineage import MAX_LINEAGE_BYTES, Lineage
from epochs import Network, checkpoint, hand_over, successor


def network(*, name: str = "test") -> Network:
    """Four become five, one rotates, one leaves."""
    made = Network([make_members(4, targets=1, name=name)])
    made.step(add=["operator_5"])
    made.step(rotate={"operator_2": secret("operator_2 again")})
    made.step(drop=["operator_1"])
    return made


NETWORK = network()
LINEAGE = NETWORK.lineage()


def refusal(lineage: Lineage) -> type[errors.DragonError]:
    with pytest.raises(errors.DragonError) as refused:
        lineage.verify()
    return type(refused.value)


def test_a_lineage_is_verified_and_restored() -> None:
    again = Lineage.load(LINEAGE.encode())

    again.verify()

    assert again == LINEAGE
    assert again.newest == NETWORK.newest.committee
    assert again.network_id == NETWORK.epochs[0].committee.id
    assert again.seen == NETWORK.newest.committee.rounds.start(350)


def test_lineage_backwards_by_hash_forwards_by_signature() -> None:
    """From the newest file backwards, hashes pin every committee and every sealed root."""
    forged = hand_over(
        *(NETWORK.epochs[0], NETWORK.epochs[1]),
        size=10,
        root=b"\xee" * 32,
        timestamp=LINEAGE.handovers[0].claim.timestamp,
    )
    unsigned = replace(
        LINEAGE.handovers[0],
        certificate=replace(LINEAGE.handovers[0].certificate, signature=bytes(96)),
    )

    for each in (forged, unsigned):
        spoilt = replace(LINEAGE, handovers=(each, *LINEAGE.handovers[1:]))
        assert refusal(spoilt) in (errors.BrokenSuccession, errors.InvalidSignature)
    replace(LINEAGE, handovers=(unsigned, *LINEAGE.handovers[1:])).check_chain()


def test_forged_root_in_an_older_handover() -> None:
    """Leaked keys of epochs 0 and 1 sign another root; the file of epoch 2 seals the true one."""
    forged = hand_over(
        *(NETWORK.epochs[0], NETWORK.epochs[1]),
        size=10,
        root=b"\xee" * 32,
        timestamp=LINEAGE.handovers[0].claim.timestamp,
    )

    assert (
        refusal(replace(LINEAGE, handovers=(forged, *LINEAGE.handovers[1:])))
        is errors.BrokenSuccession
    )


def test_forged_time_in_an_older_handover() -> None:
    """With the true root, it would date everything that the log contains by then too early."""
    claim = LINEAGE.handovers[0].claim
    forged = hand_over(
        *(NETWORK.epochs[0], NETWORK.epochs[1]),
        size=claim.size,
        root=claim.log_root,
        timestamp=claim.timestamp - NETWORK.epochs[0].committee.rounds.seconds,
    )

    assert (
        refusal(replace(LINEAGE, handovers=(forged, *LINEAGE.handovers[1:])))
        is errors.BrokenSuccession
    )


def test_a_skipped_epoch_breaks_the_succession() -> None:
    skipped = replace(
        LINEAGE,
        committees=(*LINEAGE.committees[:1], *LINEAGE.committees[2:]),
        handovers=LINEAGE.handovers[1:],
    )

    assert refusal(skipped) is errors.BrokenSuccession


def test_a_lineage_begins_with_epoch_0() -> None:
    tail = replace(LINEAGE, committees=LINEAGE.committees[1:], handovers=LINEAGE.handovers[1:])

    assert refusal(tail) is errors.BrokenSuccession


def test_each_committee_but_the_first_needs_its_handover() -> None:
    for handovers in (LINEAGE.handovers[:2], (*LINEAGE.handovers, LINEAGE.handovers[-1])):
        assert refusal(replace(LINEAGE, handovers=handovers)) is errors.LineageError


def test_a_handover_that_was_not_accepted_does_not_count() -> None:
    last = LINEAGE.handovers[-1]
    few = replace(last.acceptance, signers=last.acceptance.signers[:2])
    spoilt = (*LINEAGE.handovers[:-1], replace(last, acceptance=few))

    assert refusal(replace(LINEAGE, handovers=spoilt)) is errors.NotAccepted


def test_expired_handover_leads_nowhere() -> None:
    """A handover that was certified and never applied: nobody signs for its committee."""
    assert refusal(replace(LINEAGE, checkpoint=None)) is errors.LineageUnproven
    older = checkpoint(NETWORK.epochs[2], 25, b"\xcc" * 32, LINEAGE.newest.rounds.start(250))
    assert refusal(replace(LINEAGE, checkpoint=older)) is errors.WrongCommittee


@pytest.mark.parametrize(("size", "round_"), [(30, 350), (35, 300)])
def test_the_checkpoint_is_later_than_the_last_handover(size: int, round_: int) -> None:
    time = LINEAGE.newest.rounds.start(round_)
    early = checkpoint(NETWORK.newest, size, b"\xcc" * 32, time)

    assert refusal(replace(LINEAGE, checkpoint=early)) is errors.LineageUnproven


def test_a_handover_is_no_checkpoint_of_a_lineage() -> None:
    certified = LINEAGE.handovers[-1].certificate

    assert refusal(replace(LINEAGE, checkpoint=certified)) is errors.LineageUnproven


def test_one_committee_is_a_lineage() -> None:
    founding = NETWORK.epochs[0].committee
    for raw in (canonical(founding.to_json()), Lineage.of(founding).encode()):
        lineage = Lineage.load(raw)
        lineage.verify()
        assert (lineage.newest, lineage.seen) == (founding, None)


def test_a_committee_of_a_later_epoch_alone_is_the_end_of_a_lineage() -> None:
    lineage = Lineage.load(canonical(LINEAGE.newest.to_json()))

    lineage.verify()

    assert lineage.network_id == LINEAGE.network_id
    with pytest.raises(errors.WrongCommittee):
        lineage.named(LINEAGE.committees[0].id)


def test_the_lineage_of_another_network_is_refused() -> None:
    with pytest.raises(errors.WrongCommittee):
        network(name="another").lineage().check_network(LINEAGE.network_id)
    LINEAGE.check_network(NETWORK.epochs[0].committee.id)
    Lineage.of(LINEAGE.committees[0]).check_network(LINEAGE.network_id)
    alone = Lineage((LINEAGE.newest,), (), LINEAGE.checkpoint)
    alone.verify()
    with pytest.raises(errors.LineageError, match="begins with epoch 3"):
        alone.check_network(LINEAGE.network_id)


def test_handover_of_another_network() -> None:
    """The same people found two networks: what they signed for one does not hold in the other."""
    other = Network(
        [make_members(4, targets=1, genesis=NETWORK.epochs[0].committee.rounds.genesis + 5)]
    )
    other.step(add=["operator_5"])
    assert other.epochs[0].committee.keys == NETWORK.epochs[0].committee.keys
    foreign = replace(LINEAGE, handovers=(other.handovers[0], *LINEAGE.handovers[1:]))
    grafted = replace(LINEAGE, committees=(other.epochs[0].committee, *LINEAGE.committees[1:]))

    assert refusal(foreign) is errors.BrokenSuccession
    assert refusal(grafted) is errors.BrokenSuccession
    with pytest.raises(errors.WrongCommittee):
        other.handovers[0].verify(LINEAGE.committees[0])
    with pytest.raises(errors.WrongCommittee):
        LINEAGE.replaced_by(other.lineage())


# -- what replaces what is known -------------------------------------------------------------------


def shorter(epochs: int) -> Lineage:
    return Lineage(LINEAGE.committees[:epochs], LINEAGE.handovers[: epochs - 1])


def test_only_a_continuation_replaces_what_is_known() -> None:
    for epochs in (1, 2, 3):
        assert shorter(epochs).replaced_by(LINEAGE) is LINEAGE
        assert LINEAGE.replaced_by(shorter(epochs)) is LINEAGE


def test_the_end_of_a_lineage_with_a_handover_is_none() -> None:
    """Nothing pins the first of its committees."""
    for committees, handovers in (
        (LINEAGE.committees[2:], LINEAGE.handovers[2:]),
        (LINEAGE.committees[3:], LINEAGE.handovers[2:]),
    ):
        end = Lineage(committees, handovers, LINEAGE.checkpoint)
        assert refusal(end) is errors.BrokenSuccession


@pytest.mark.parametrize("change", [{"size": 20}, {"size": 19}, {"round_": 200}], ids=str)
def test_handovers_follow_each_other_in_size_and_time(change: dict[str, int]) -> None:
    """The last one is pinned by no file yet, and both its committees have signed it."""
    size, at = change.get("size", 30), LINEAGE.newest.rounds.start(change.get("round_", 300))
    early = hand_over(*NETWORK.epochs[-2:], size=size, root=b"\x03" * 32, timestamp=at)
    handovers = (*LINEAGE.handovers[:-1], early)

    assert refusal(replace(LINEAGE, handovers=handovers)) is errors.BrokenSuccession


def test_a_committee_that_no_handover_leads_to_replaces_nothing() -> None:
    """Whoever makes a file can let it name any network, epoch and committee before it."""
    made = successor(NETWORK.newest, NETWORK.handovers[-1], drop=["operator_2"])
    later = replace(made.committee, epoch=9, previous=b"\x09" * 32)
    for following in (made.committee, later):
        alone = Lineage.of(following)
        for kept in (LINEAGE, Lineage.of(LINEAGE.newest), shorter(1)):
            with pytest.raises(errors.LineageError, match="no handovers lead from epoch"):
                kept.replaced_by(alone)


def test_rollback_to_earlier_epoch() -> None:
    before = NETWORK.lineage()
    newer = replace(
        before,
        checkpoint=checkpoint(NETWORK.newest, 40, b"\xcd" * 32, before.newest.rounds.start(400)),
    )

    assert newer.replaced_by(before) is newer
    assert before.replaced_by(newer) is newer


def test_fork_is_kept_as_evidence() -> None:
    """Two certified ways on from epoch 1: neither replaces the other."""
    fork = Network(NETWORK.epochs[:2], NETWORK.handovers[:1])
    fork.step(drop=["operator_3"])
    other = fork.lineage()
    other.verify()

    for one, two in ((LINEAGE, other), (other, LINEAGE)):
        with pytest.raises(errors.LineageForked) as refused:
            one.replaced_by(two)
        assert refused.value.facts["epoch"] == 2
        assert refused.value.facts["signed_both"] == [f"operator_{i}" for i in range(1, 6)]


def test_a_committee_file_alone_shows_a_fork_too() -> None:
    """It names the committee before it by its hash."""
    fork = Network(NETWORK.epochs[:2], NETWORK.handovers[:1])
    fork.step(drop=["operator_3"])
    for kept in (LINEAGE.committees[2], LINEAGE.committees[3]):
        with pytest.raises(errors.LineageForked) as refused:
            Lineage.of(kept).replaced_by(fork.lineage())
        assert refused.value.facts["epoch"] == 2


def test_two_logs_at_one_handover_are_a_fork() -> None:
    """Both committees signed two roots of one size: only the last handover is not pinned yet."""
    last = LINEAGE.handovers[-1].claim
    forged = hand_over(
        *NETWORK.epochs[-2:], size=last.size, root=b"\xee" * 32, timestamp=last.timestamp
    )
    other = replace(LINEAGE, handovers=(*LINEAGE.handovers[:-1], forged))
    other.verify()

    with pytest.raises(errors.LineageForked) as refused:
        LINEAGE.replaced_by(other)
    assert refused.value.facts["epoch"] == 3


def test_the_same_handover_of_another_round_is_no_fork() -> None:
    """A handover is signed again each round until one is applied; all state the same log."""
    last = LINEAGE.handovers[-1].claim
    again = hand_over(
        *NETWORK.epochs[-2:], size=last.size, root=last.log_root, timestamp=last.timestamp + 5
    )
    other = replace(LINEAGE, handovers=(*LINEAGE.handovers[:-1], again))

    assert LINEAGE.replaced_by(other) is LINEAGE


# -- form ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "refusal_"),
    [
        ({"committees": []}, errors.UnknownValue),
        ({"committees": {}}, errors.WrongType),
        ({"handovers": None}, errors.WrongType),
        ({"checkpoint": []}, errors.WrongType),
        ({"more": 1}, errors.UnknownMember),
    ],
)
def test_an_invalid_file_is_refused(
    change: dict[str, Any], refusal_: type[errors.DragonError]
) -> None:
    with pytest.raises(refusal_):
        Lineage.load(canonical({**LINEAGE.to_json(), **change}))


def test_every_committee_of_a_loaded_lineage_is_checked() -> None:
    value = json.loads(LINEAGE.encode())
    value["committees"][1]["operators"][0]["proof_of_possession"] = "0x" + "00" * 96

    with pytest.raises(errors.UnprovenKey):
        Lineage.load(canonical(value))


def test_a_huge_file_is_not_read() -> None:
    with pytest.raises(errors.TooLarge):
        Lineage.load(b" " * (MAX_LINEAGE_BYTES + 1))


def test_a_committee_is_found_by_its_id() -> None:
    for committee in LINEAGE.committees:
        found: Committee = LINEAGE.named(committee.id)
        assert found is committee
    assert successor(NETWORK.newest, NETWORK.handovers[-1]).committee.id not in [
        each.id for each in LINEAGE.committees
    ]
