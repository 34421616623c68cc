"""Windows and endorsements on a simulated ledger: every log applies them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from committees import make_members
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.window import Verdict, WindowClaim
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams.chunks import tree_of
from dragon.protocol.streams.finding import judge
from dragon.protocol.streams.receipt import Proven, Receipt
from dragon.protocol.streams.receipt_verification import is_complete, refused, verify
from simulation import World
from streams import Owner, Window, make_owner

SIGNERS = ("operator_1", "operator_2", "operator_4")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path, make_members(experts=1)) as made:
        made.run(2, peers=False)
        yield made


def voted(world: World, owner: Owner, window: Window, proof: bytes) -> WindowClaim:
    """The claim that operators would sign in this round."""
    rounds = world.committee.rounds
    now = rounds.start(rounds.number(world.clock.now))
    found = judge(
        *(owner.descriptor, window.header, window.signature, window.chunks, proof),
        previous=None,
        now_ms=1000 * now,
        network_id=world.committee.network_id,
    )
    return found.claim(owner.descriptor, window.header, hashlib.sha256(proof).digest(), now)


def test_a_window_becomes_a_receipt_that_anyone_can_verify(world: World) -> None:
    owner = make_owner(world.members)
    window = owner.window([b"21.5", b"21.7"], began_ms=1000 * int(world.clock.now) - 500)
    proof = owner.prove(window)
    claim = voted(world, owner, window, proof)
    assert claim.verdict is Verdict.VALID
    certificate = world.members.certify(claim, SIGNERS)
    receipt = Receipt(
        owner.descriptor,
        window.chunks[1],
        tuple(tree_of(window.chunks).inclusion(1)),
        window.header,
        window.signature,
        certificate,
        opening=window.openings[1],
        proven=Proven(window.chunks, proof),
    )
    early = verify(world.committee, receipt, b"21.7")
    assert not refused(early)
    assert not is_complete(early)

    world.submit(certificate)
    world.run(13)  # until a checkpoint covers the window

    log = world.components("operator_3").log
    position = log.find(certificate)
    mark = log.state.checkpoint
    checkpoint = log.entry(mark.position).event
    answer = world.get("operator_3", f"/events/{position}?size={mark.size}").json()
    whole = receipt.completed(ProvenEntry.from_json(answer), checkpoint)
    assert is_complete(verify(world.committee, Receipt.decode(whole.encode()), b"21.7"))


def test_every_log_applies_the_same_windows_and_endorsements(world: World) -> None:
    owner = make_owner(world.members)
    window = owner.window([b"21.5"], began_ms=1000 * int(world.clock.now) - 500)
    claim = voted(world, owner, window, b"")
    assert claim.verdict is Verdict.INVALID
    right = voted(world, owner, window, owner.prove(window))
    now = int(world.clock.now)
    approval = EndorsementClaim(
        owner.descriptor.id, 0, 0, Verdict.VALID, bytes(32), "expert_1", now
    )
    endorsed = world.members.endorse(approval)
    stranger = dataclasses.replace(approval, expert="operator_1")
    forged = Endorsement(stranger, endorsed.signature, world.committee.id)
    events = [world.members.certify(each, SIGNERS) for each in (claim, right)]

    world.submit(*events, events[1], endorsed.to_json(), forged.to_json())

    for name in (*world.operators, *world.aggregators):
        stream = world.components(name).log.state.stream(owner.descriptor.id)
        assert (stream.last, stream.by("expert_1").claims) == (right, (approval,))
        assert world.components(name).log.refusals() == {"applied_already": 1, "unknown_signer": 1}
    answer = world.get("operator_1", "/events?limit=1000").json()["events"]
    kinds = [entry["event"]["kind"] for entry in answer]
    assert kinds[-3:] == ["window", "window", "endorsement"]


def test_an_operator_refuses_to_sign_a_window_that_it_has_not_checked(world: World) -> None:
    owner = make_owner(world.members)
    window = owner.window([b"21.5"], began_ms=1000 * int(world.clock.now) - 500)
    claim = voted(world, owner, window, owner.prove(window))

    answer = world.post("operator_1", "/attestations", claim.to_json())

    assert answer.status_code == 409
    assert answer.json()["reason"] == RefusalReason.BEHIND
