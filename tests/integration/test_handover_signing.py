"""What an operator signs to hand over, and to accept: each refusal, in its order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from committees import Members, make_members, secret
from dragon.log.follower import CAUGHT_UP_SECONDS
from dragon.protocol.claims.handover import AcceptanceClaim, HandoverClaim
from dragon.protocol.committee import Committee
from dragon_operator.approvals import LAPSES_SECONDS, Approvals, approval_path
from dragon_operator.log_claim_checks import CONTRADICTED_ROUNDS
from epochs import new_operator, successor
from simulation import World

NEWCOMER = "operator_5"


@pytest.fixture
def following(world: World) -> Members:
    """Four become five: `operator_5` joins."""
    return successor(world.members, None, add=[NEWCOMER])


@dataclass
class Asked:
    """A handover that is asked for, with what shall be wrong with it."""

    world: World
    next: Committee
    changes: dict[str, Any] = field(default_factory=dict)

    def claim(self) -> HandoverClaim:
        head = self.world.components("operator_1").log.head()
        rounds = self.world.committee.rounds
        now = rounds.start(rounds.number(self.world.clock.now))
        made = HandoverClaim(self.next.epoch, self.next.id, head.root, head.size, now)
        return replace(made, **self.changes)

    def of(self, name: str, *, acceptance: bool = False) -> str:
        """Ask an operator for its signature. Return "signed", or the reason of the refusal."""
        claim: HandoverClaim | AcceptanceClaim = self.claim()
        if acceptance:
            claim = self.claim().acceptance
        answer = self.world.post(name, "/attestations", {"kind": claim.KIND, **claim.members()})
        return "signed" if answer.status_code == 200 else str(answer.json()["reason"])


@dataclass
class Rung:
    """One thing that is wrong: the reason that it is refused with, and how it is mended."""

    reason: str
    mend: Callable[[], object]


def test_signing_order_of_a_handover(world: World, following: Members) -> None:
    """Everything is wrong at once; whatever is mended, the next reason is given."""
    foreign = replace(world.committee.sequencer, nodes_sha256=(b"\x09" * 32,))
    unread = replace(following.committee, sequencer=foreign)
    unfit = replace(following.committee, name="another")
    asked = Asked(world, unfit)
    rounds, operator = world.committee.rounds, world.components("operator_1")
    for name in ("aggregator_0", "operator_4"):
        world.stop(name)  # the log says that operator_4 is up, and we see it down
    world.run(CONTRADICTED_ROUNDS + 2)
    mark = operator.log.state.mark
    assert mark is None, "the log has no mark, so a size of zero entries contains the last one"
    other = successor(world.members, None, add=["operator_9"]).committee
    operator.journal.decide_handover(
        Asked(world, other).claim(), world.committee, operator.log.state.log_time
    )
    asked.changes = {"timestamp": asked.claim().timestamp + 1, "log_root": bytes(32)}
    asked.changes["size"] = operator.log.state.size + 1
    world.stop("sequencer")
    world.clock.sleep(CAUGHT_UP_SECONDS + rounds.seconds)
    world.offsets["operator_1"] = 3.0
    world.confirm_clocks(again=True)

    def at(shift: int) -> Callable[[], object]:
        return lambda: asked.changes.update(
            timestamp=rounds.start(rounds.number(world.clock.now)) + shift
        )

    def set_clock() -> None:
        world.offsets.clear()
        world.confirm_clocks(again=True)

    def read_on() -> None:
        world.resume("sequencer")
        operator.follower.catch_up()

    def approve(committee: Committee) -> Callable[[], object]:
        def mend() -> None:
            asked.next = committee
            world.approve("operator_1", committee)

        return mend

    def see_it() -> None:
        world.resume("operator_4")
        operator.peers.probe(max_age=-1)

    ladder = [
        Rung("off_round", at(-20 * rounds.seconds)),  # no round starts there
        Rung("off_round", at(0)),  # its signing span is over
        Rung("clock", set_clock),
        Rung("behind", read_on),  # the ledger is not read to its end
        Rung("unapproved", approve(unfit)),
        Rung("unapproved", approve(unread)),  # may not follow
        Rung("behind", approve(following.committee)),  # the newest proof does not hold there
        Rung("behind", lambda: asked.changes.pop("size")),  # our log is shorter
        Rung("malformed", lambda: asked.changes.pop("log_root")),
        Rung("sees_down", see_it),
    ]
    for rung in ladder:
        assert asked.of("operator_1") == rung.reason
        rung.mend()
    assert asked.of("operator_1") == "equivocation"
    asked.next = other
    world.approve("operator_1", other)
    assert asked.of("operator_1") == "signed"


def test_unseated_comes_before_unapproved(world: World, following: Members) -> None:
    url = new_operator(NEWCOMER, secret(NEWCOMER)).url
    world.join(NEWCOMER, secret(NEWCOMER), url)
    asked = Asked(world, following.committee)

    assert asked.of(NEWCOMER) == "unseated"
    assert asked.of(NEWCOMER, acceptance=True) == "unapproved"
    world.approve(NEWCOMER, following.committee)
    world.confirm_clocks()
    assert asked.of(NEWCOMER) == "unseated"
    assert asked.of(NEWCOMER, acceptance=True) == "signed"


def test_time_clock_and_ledger_come_before_the_seat(world: World, following: Members) -> None:
    world.join(NEWCOMER, secret(NEWCOMER), new_operator(NEWCOMER, secret(NEWCOMER)).url)
    asked = Asked(world, following.committee)
    world.stop("sequencer")
    world.clock.sleep(CAUGHT_UP_SECONDS + 1)
    world.offsets[NEWCOMER] = 3.0
    world.confirm_clocks(again=True)

    asked.changes["timestamp"] = asked.claim().timestamp + 1
    assert asked.of(NEWCOMER) == "off_round"
    asked.changes.clear()
    assert asked.of(NEWCOMER) == "clock"
    world.offsets.clear()
    world.confirm_clocks(again=True)
    assert asked.of(NEWCOMER) == "behind"


def test_one_who_leaves_signs_the_handover_and_accepts_nothing(world: World) -> None:
    after = successor(world.members, None, add=[NEWCOMER], drop=["operator_4"]).committee
    world.approve("operator_4", after)
    asked = Asked(world, after)

    assert asked.of("operator_4") == "signed"
    assert asked.of("operator_4", acceptance=True) == "unseated"


def test_a_rotated_key_accepts_and_the_former_one_does_not(world: World) -> None:
    key = secret("operator_2 again")
    after = successor(world.members, None, rotate={"operator_2": key}).committee
    world.approve("operator_2", after)
    asked = Asked(world, after)
    assert asked.of("operator_2") == "signed"
    assert asked.of("operator_2", acceptance=True) == "unseated"

    world.newcomers["operator_2"] = key
    world.restart("operator_2")

    assert asked.of("operator_2") == "signed"
    assert asked.of("operator_2", acceptance=True) == "signed"


def test_own_eyes_are_for_those_with_a_seat(world: World, following: Members) -> None:
    """A newcomer has watched nobody for long enough."""
    world.join(NEWCOMER, secret(NEWCOMER), new_operator(NEWCOMER, secret(NEWCOMER)).url)
    for name in ("aggregator_0", "operator_4"):
        world.stop(name)
    world.run(CONTRADICTED_ROUNDS + 2)
    asked = Asked(world, following.committee)
    for name in ("operator_1", NEWCOMER):
        world.approve(name, following.committee)

    assert asked.of("operator_1") == "sees_down"
    assert asked.of("operator_1", acceptance=True) == "sees_down"
    assert asked.of(NEWCOMER, acceptance=True) == "signed"


def test_a_handover_contains_the_last_mark(world: World, following: Members) -> None:
    world.run(14)
    mark = world.components("operator_1").log.state.mark
    assert mark is not None
    world.approve("operator_1", following.committee)
    asked = Asked(world, following.committee, {"size": mark.position})

    assert asked.of("operator_1") == "no_change"
    asked.changes.clear()
    assert asked.of("operator_1") == "signed"


def test_a_round_before_the_seat_is_off(world: World, following: Members) -> None:
    world.join(NEWCOMER, secret(NEWCOMER), new_operator(NEWCOMER, secret(NEWCOMER)).url)
    for name in (*world.operators, NEWCOMER):
        world.approve(name, following.committee)
    log = world.components("operator_1").log
    for _ in range(3):
        if log.committee != following.committee:
            world.run(1)
    assert log.committee == following.committee
    third = replace(
        following.committee, epoch=2, previous=following.committee.id, sealed=log.state.sealed
    )
    world.take_seats(following)
    world.approve("operator_1", third)
    asked = Asked(world, third, {"timestamp": log.state.seat - world.committee.rounds.seconds})

    assert asked.of("operator_1") == "off_round"
    asked.changes["timestamp"] = log.state.seat
    assert asked.of("operator_1") == "no_change"  # not later than the handover


# Approvals


def test_approval_of_another_file_signs_nothing(world: World, following: Members) -> None:
    [*others, last] = following.committee.operators
    moved = replace(
        following.committee, operators=(*others, replace(last, url="http://elsewhere:1"))
    )
    world.approve("operator_1", moved)
    asked = Asked(world, following.committee)

    assert asked.of("operator_1") == "unapproved"
    assert asked.of("operator_1", acceptance=True) == "unapproved"
    asked.next = moved  # nothing was noted for the other file
    assert asked.of("operator_1") == "signed"


def test_the_epoch_is_that_of_the_approved_file(world: World, following: Members) -> None:
    """Nothing with another epoch could be applied; its row in the journal would stay for ever."""
    world.approve("operator_1", following.committee)
    asked = Asked(world, following.committee, {"epoch": 4095})
    for acceptance in (False, True):
        assert asked.of("operator_1", acceptance=acceptance) == "unapproved"


def test_who_signs_keeps_the_file_for_good(world: World, following: Members) -> None:
    """The certificate may reach the ledger when all owners have withdrawn their approval."""
    world.approve("operator_1", following.committee)
    assert Asked(world, following.committee).of("operator_1") == "signed"
    world.withdraw("operator_1")
    world.restart("operator_1")

    kept = world.get("operator_1", f"/objects/0x{following.committee.id.hex()}")

    assert kept.content == following.committee.encode()


def test_a_withdrawn_approval_signs_nothing_more(world: World, following: Members) -> None:
    world.approve("operator_1", following.committee)
    asked = Asked(world, following.committee)
    assert asked.of("operator_1") == "signed"

    world.withdraw("operator_1")

    assert asked.of("operator_1") == "unapproved"


def test_an_approval_that_is_withdrawn_meanwhile_signs_nothing(
    world: World, following: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request was admitted, and its evaluation waits for a thread."""
    seen = [following.committee] * 2  # while it is admitted
    monkeypatch.setattr(Approvals, "current", lambda _: seen.pop() if seen else None)

    assert Asked(world, following.committee).of("operator_1") == "unapproved"
    assert not seen
    assert world.components("operator_1").log.document(following.committee.id) is None


def test_an_approval_lapses_after_a_week(tmp_path: Path) -> None:
    with World(tmp_path, make_members(4), verify_at_end=False) as world:
        world.run(2)
        after = successor(world.members, None, add=[NEWCOMER]).committee
        world.approve("operator_1", after)
        world.clock.sleep(LAPSES_SECONDS - 1)
        assert world.components("operator_1").approvals.current() == after

        world.clock.sleep(2)

        assert world.components("operator_1").approvals.current() is None


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"approved_at": 1, "committee": {}}'])
def test_a_damaged_approval_signs_nothing(world: World, following: Members, content: str) -> None:
    world.approve("operator_1", following.committee)
    asked = Asked(world, following.committee)
    assert asked.of("operator_1") == "signed"

    approval_path(world.database_file("operator_1")).write_text(content)

    assert asked.of("operator_1") == "unapproved"
    assert "is no approval" in world.components("operator_1").approvals.fault


def test_a_lost_journal_signs_no_handover_before_a_mark(world: World, following: Members) -> None:
    """An operator that lost its journal may have signed for another committee."""
    world.run(14)
    world.crash("operator_1")
    for file in world.database_file("operator_1").parent.glob("operator_1*"):
        file.unlink()
    world.start("operator_1")
    world.confirm_clocks(again=True)
    world.approve("operator_1", following.committee)
    asked = Asked(world, following.committee)
    assert asked.of("operator_1") == "behind"

    world.clock.sleep(world.committee.rounds.max_age)
    world.settle()
    world.confirm_clocks(again=True)
    assert asked.of("operator_1") == "equivocation"
    world.run(2)

    assert asked.of("operator_1") == "signed"
