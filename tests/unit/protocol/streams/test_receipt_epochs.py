"""Receipts across handovers: what a committee signed counts only if a mark covers it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from committees import Members, make_members, secret
from dragon import errors
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.claims.window import InvalidReason, Verdict
from dragon.protocol.committee import Expert
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.handover import Handover
from dragon.protocol.lineage import Lineage
from dragon.protocol.streams.chunks import tree_of
from dragon.protocol.streams.finding import Finding
from dragon.protocol.streams.receipt import Receipt
from dragon.protocol.streams.receipt_verification import (
    Check,
    Outcome,
    is_complete,
    verify,
    verify_receipt,
)
from dragon.protocol.trust import Trust
from epoch_log import EpochLog, opened
from streams import Window, make_owner

FOUNDERS = make_members(4, targets=1, experts=2)
OWNER = make_owner(FOUNDERS)
FIRST = OWNER.window([b"21.5", b"21.7"])
SECOND = OWNER.window([b"21.9", b"22.0"], FIRST)


def voted(members: Members, window: Window, round_: int) -> Certificate:
    found, proof = Finding(InvalidReason.NONE), hashlib.sha256(b"a proof").digest()
    at = members.committee.rounds.start(round_)
    claim = found.claim(OWNER.descriptor, window.header, proof, at)
    return members.certify(claim, members.secrets)


def young(window: Window, event: Certificate, **more: Any) -> Receipt:
    path = tuple(tree_of(window.chunks).inclusion(1))
    first, signed = window.chunks[1], window.signature
    return Receipt(OWNER.descriptor, first, path, window.header, signed, event, **more)


def rotated(expert: str) -> tuple[Expert, ...]:
    key = secret(f"{expert} again")
    changed = Expert(expert, key.public_key(), key.prove_possession())
    return tuple(changed if each.id == expert else each for each in FOUNDERS.committee.experts)


@dataclass
class Story:
    """Two windows, one before and one behind a handover, and another handover later."""

    log: EpochLog
    first: Receipt  # nothing covers its window yet
    by_checkpoint: Receipt  # the same, covered by a checkpoint of epoch 0
    second: Receipt  # of epoch 1; its event is behind the log of the next handover

    def renewed(self, receipt: Receipt) -> Receipt:
        """The receipt as a stream service serves it now."""
        position = self.log.log.find(receipt.event)
        assert position is not None
        proven = self.log.log.anchored(position)
        assert proven is not None
        assert proven.anchor is not None
        return receipt.completed(proven, proven.anchor)

    def lineage(self, epoch: int) -> Lineage:
        lineage = self.log.lineage(epoch)
        lineage.verify()
        return lineage


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with opened(tmp_path_factory.mktemp("story") / "operator.db", FOUNDERS) as log:
        log.status(Status.UP, 1)
        event = voted(FOUNDERS, FIRST, 2)
        log.take(event)
        log.checkpoint(3)
        made = Story(log, young(FIRST, event), young(FIRST, event), young(FIRST, event))
        made.by_checkpoint = made.renewed(made.first)
        log.hand_over(20, add=["operator_5"], experts=rotated("expert_2"))
        log.checkpoint(21)
        late = voted(log.newest, SECOND, 39)
        log.hand_over(40, late, drop=["operator_1"])
        log.checkpoint(41)
        log.hand_over(60, add=["operator_6"])
        log.checkpoint(61)
        made.second = young(SECOND, late)
        yield made


def outcome(checks: list[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def superseded(checks: list[Check]) -> None:
    votes = outcome(checks, "votes")
    assert (votes.outcome, votes.refusal) == (Outcome.REFUSED, "receipt_superseded")
    assert not is_complete(checks)


def test_a_receipt_of_an_older_epoch_without_an_anchor_is_refused_at_the_votes(
    story: Story,
) -> None:
    checks = verify(story.lineage(1), story.first)

    superseded(checks)
    assert outcome(checks, "checkpoint").outcome is Outcome.ABSENT
    with pytest.raises(errors.ReceiptSuperseded, match="votes"):
        verify_receipt(story.first, story.lineage(1))


def test_without_an_anchor_a_receipt_of_the_newest_epoch_is_incomplete(story: Story) -> None:
    checks = verify(story.lineage(0), story.first)

    assert outcome(checks, "votes").outcome is Outcome.HOLDS
    assert outcome(checks, "checkpoint").outcome is Outcome.ABSENT
    assert not is_complete(checks)


def test_a_checkpoint_counts_until_its_committee_hands_over(story: Story) -> None:
    assert is_complete(verify(story.lineage(0), story.by_checkpoint))

    superseded(verify(story.lineage(1), story.by_checkpoint))

    assert is_complete(verify(Trust(story.lineage(1), trust_from=0), story.by_checkpoint))


def test_receipt_anchored_at_a_handover_needs_no_second_renewal(story: Story) -> None:
    """It holds under every later lineage, and with the committee file that it began with."""
    renewed = Receipt.decode(story.renewed(story.first).encode())

    assert renewed.place is not None
    assert isinstance(renewed.place.checkpoint, Handover)
    assert renewed.place.checkpoint == story.log.handovers[0]
    for epoch in (1, 2, 3):
        assert is_complete(verify(story.lineage(epoch), renewed))
    assert is_complete(verify(FOUNDERS.committee, renewed))


def test_an_event_behind_the_log_of_a_handover_is_anchored_at_the_next_one(story: Story) -> None:
    renewed = story.renewed(story.second)

    assert renewed.place is not None
    assert renewed.place.checkpoint == story.log.handovers[2]
    for epoch in (3,):
        assert is_complete(verify(story.lineage(epoch), renewed))


def test_another_handover_of_the_lineage_that_does_not_cover_the_event_is_refused(
    story: Story,
) -> None:
    renewed = story.renewed(story.second)
    assert renewed.place is not None
    early = replace(renewed.place, checkpoint=story.log.handovers[1])

    checks = verify(story.lineage(3), replace(renewed, place=early))

    for name in ("votes", "checkpoint"):
        refused = outcome(checks, name)
        assert refused.outcome is Outcome.REFUSED
        assert "inclusion" in refused.fields


def test_a_mark_of_an_earlier_epoch_than_the_event_covers_nothing(story: Story) -> None:
    """Whoever trusts all keys: the committee before cannot have certified what came behind it."""
    renewed = story.renewed(story.second)
    assert renewed.place is not None
    forged = story.log.certify_log(70, FOUNDERS)
    path = tuple(story.log.log.inclusion(renewed.place.position, forged.claim.size))  # type: ignore[attr-defined]
    place = replace(renewed.place, checkpoint=forged, inclusion=path)

    checks = verify(Trust(story.lineage(3), trust_from=0), replace(renewed, place=place))

    assert outcome(checks, "checkpoint").refusal == "receipt_superseded"


def test_a_handover_with_another_time_is_not_that_of_the_lineage(story: Story) -> None:
    """Its signatures are not verified again, so nothing that it says may differ."""
    renewed = story.renewed(story.first)
    value: Any = renewed.to_json()
    value["checkpoint"]["timestamp"] -= 5

    checks = verify(story.lineage(2), Receipt.from_json(value))

    assert outcome(checks, "votes").outcome is Outcome.REFUSED
    assert outcome(checks, "checkpoint").outcome is Outcome.REFUSED
    assert outcome(checks, "checkpoint").fields == ("checkpoint",)


def test_leaked_keys_of_an_older_epoch_make_no_receipt(story: Story) -> None:
    """The keys of epoch 0 vote on a window that never was, and certify a log with it."""
    forged = voted(FOUNDERS, SECOND, 4)
    receipt = story.renewed(story.first)
    assert receipt.place is not None
    place = replace(receipt.place, checkpoint=story.log.certify_log(70, FOUNDERS))
    for each in (None, receipt.place, place):
        checks = verify(story.lineage(3), young(SECOND, forged, place=each))
        assert outcome(checks, "votes").outcome is Outcome.REFUSED


# -- experts ---------------------------------------------------------------------------------------


def endorsed(expert: str, verdict: Verdict = Verdict.VALID) -> Endorsement:
    at = FOUNDERS.committee.rounds.start(5)
    return FOUNDERS.endorse(
        EndorsementClaim(OWNER.descriptor.id, 0, 0, verdict, bytes(32), expert, at)
    )


def test_endorsements_count_while_the_expert_has_the_same_key(story: Story) -> None:
    renewed = replace(
        story.renewed(story.first), endorsements=(endorsed("expert_1"), endorsed("expert_2"))
    )

    checks = verify(story.lineage(3), renewed)

    said = outcome(checks, "experts").detail
    assert is_complete(checks)
    assert "expert_1: valid, expert_2: valid (not counted:" in said
    trusting = verify(Trust(story.lineage(3), trust_from=0), renewed)
    assert "not counted" not in outcome(trusting, "experts").detail


def test_a_forged_endorsement_is_refused_in_any_epoch(story: Story) -> None:
    forged = replace(endorsed("expert_2"), signature=endorsed("expert_1").signature)
    renewed = replace(story.renewed(story.first), endorsements=(forged,))

    assert outcome(verify(story.lineage(3), renewed), "experts").outcome is Outcome.REFUSED


def test_a_receipt_of_an_unknown_epoch_is_refused_by_name(story: Story) -> None:
    checks = verify(FOUNDERS.committee, story.renewed(story.second))

    assert "wrong_committee" in outcome(checks, "votes").detail


def test_a_folder_of_old_receipts_needs_no_network(story: Story, tmp_path: Path) -> None:
    """A renewed receipt in a file is verified with a lineage in a file."""
    (tmp_path / "receipt.json").write_bytes(story.renewed(story.first).encode())
    (tmp_path / "lineage.json").write_bytes(story.lineage(3).encode())

    lineage = Lineage.load((tmp_path / "lineage.json").read_bytes())
    lineage.verify()
    receipt = Receipt.decode((tmp_path / "receipt.json").read_bytes())

    assert is_complete(verify_receipt(receipt, lineage))
