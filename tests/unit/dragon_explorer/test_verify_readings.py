"""The page `/verify`: receipts of streams with readings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from alerting import MEMBERS, PaperFleet, config
from dragon.protocol.claims.window import InvalidReason
from dragon.protocol.streams.chunks import tree_of
from dragon.protocol.streams.finding import Finding
from dragon.protocol.streams.receipt import Receipt
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.views.verification import Verification
from dragon_explorer.views.verify import verification
from reading_rules import make_readings
from streams import Owner, make_owner

COLD = make_owner(MEMBERS, readings=make_readings(form="plain", pointer=None))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[PaperFleet]:
    with PaperFleet(tmp_path, config(Condition.NODE_DOWN)) as made:
        yield made


def verified(fleet: PaperFleet, owner: Owner, data: bytes) -> Verification:
    """The page's verdict on a receipt that no checkpoint covers yet."""
    window, proof = owner.window([data]), hashlib.sha256(b"a proof").digest()
    at = fleet.committee.rounds.start(100)
    claim = Finding(InvalidReason.NONE).claim(owner.descriptor, window.header, proof, at)
    receipt = Receipt(
        *(owner.descriptor, window.chunks[0], tuple(tree_of(window.chunks).inclusion(0))),
        *(window.header, window.signature),
        MEMBERS.certify(claim, ("operator_1", "operator_2", "operator_3")),
        opening=window.openings[0],
    )
    return verification(receipt.encode(), fleet.sources)


def outcomes(found: Verification) -> dict[str, str]:
    return {line.name: line.outcome for line in found.lines}


def test_what_was_certified_of_committed_readings_is_told(fleet: PaperFleet) -> None:
    found = verified(fleet, COLD, b"4.5")

    assert found.verdict == "incomplete"
    assert outcomes(found)["readings"] == "holds"
    assert "Chunk 0 (at most 64 bytes)" in found.sentence
    assert "The only committed reading of the window is from -30 to 60 °C" in found.sentence
    assert "The data itself was not checked" in found.sentence


def test_a_window_without_the_claim_is_told_as_such(fleet: PaperFleet) -> None:
    found = verified(fleet, COLD, b"61")

    assert outcomes(found)["readings"] == "absent"
    assert "The window carries no claim about its readings." in found.sentence


def test_nothing_is_told_of_readings_where_there_are_none(fleet: PaperFleet) -> None:
    found = verified(fleet, make_owner(MEMBERS), b"61")

    assert "readings" not in outcomes(found)
    assert "readings" not in found.sentence
    assert "Chunk 0 (2 bytes)" in found.sentence
