"""`kill -9` around every step of a handover: nothing is signed twice, lost or half applied.

Every test ends with an audit: each log is verified from its first entry, and all are compared.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Connection

from committees import Members, secret
from dragon.errors import AttestationRefused
from dragon.log import committee_table, cursor
from dragon.log.follower import Follower
from dragon.log.store import Log
from dragon.protocol import bls, handover
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon_aggregator.outbox import Outbox
from dragon_operator import journal_gaps
from dragon_operator.journal import Journal
from dragon_operator.status_checks import StatusChecks
from epochs import new_operator, successor
from simulation import World

NEWCOMER = "operator_5"
ALL = ("operator_1", "operator_2", "operator_3", "operator_4", NEWCOMER)


class Killed(BaseException):
    """Stands for `kill -9` at some line: our code never catches it."""


@pytest.fixture
def five(world: World) -> Members:
    """The next committee, that all owners have approved; its newcomer follows."""
    following = successor(world.members, None, add=[NEWCOMER])
    world.join(NEWCOMER, secret(NEWCOMER), new_operator(NEWCOMER, secret(NEWCOMER)).url)
    world.run(2)  # the last mark is not of this round
    for name in ALL:
        world.approve(name, following.committee)
    return following


def die(*_: object, **__: object) -> None:
    raise Killed


def after(genuine: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that dies when the genuine one has done its work."""

    def works_and_dies(*given: Any, **named: Any) -> None:
        genuine(*given, **named)
        raise Killed

    return works_and_dies


def claim_now(world: World, following: Members) -> HandoverClaim:
    head = world.components("operator_1").log.head()
    rounds = world.committee.rounds
    now = rounds.start(rounds.number(world.clock.now))
    epoch = following.committee.epoch
    return HandoverClaim(epoch, following.committee.id, head.root, head.size, now)


def sign(world: World, name: str, claim: Any) -> bytes:
    signature: bytes = world.components(name).attester.attest(claim).signature
    return signature


def refusal(world: World, name: str, claim: Any) -> str:
    with pytest.raises(AttestationRefused) as refused:
        sign(world, name, claim)
    return str(refused.value.reason)


def hands_over(world: World, following: Members) -> None:
    """Run on until every log has the next committee, with one handover each; and then use it."""
    world.run(3)
    for name in world.with_a_log():
        log = world.components(name).log
        assert log.committee == following.committee, name
        kinds = [entry.event.claim.KIND for entry in log.entries()]
        assert kinds.count("handover") == 1
    world.take_seats(following)
    world.stop("operator_3")
    world.run(3)
    assert world.statuses("operator_1")["operator_3"] == "down"
    newest = world.components(NEWCOMER).log.entries()[-1].event
    assert newest.committee_id == following.committee.id
    world.resume("operator_3")
    world.run(2)


# The journal


@pytest.mark.parametrize("side", ["handover", "acceptance"])
def test_killed_between_the_journal_and_the_signature(
    world: World, five: Members, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    """The same committee is signed for afterwards, and no other one."""
    claim = claim_now(world, five)
    asked = claim if side == "handover" else claim.acceptance
    monkeypatch.setattr(Journal, "decide_handover", after(Journal.decide_handover))
    with pytest.raises(Killed):
        sign(world, "operator_1", asked)
    monkeypatch.undo()
    world.restart("operator_1")

    other = successor(world.members, None, add=["operator_9"])
    world.approve("operator_1", other.committee)
    assert refusal(world, "operator_1", claim_now(world, other)) == "equivocation"
    assert refusal(world, "operator_1", claim_now(world, other).acceptance) == "equivocation"
    world.approve("operator_1", five.committee)
    assert sign(world, "operator_1", claim_now(world, five))
    hands_over(world, five)


def test_killed_before_the_journal_has_it_signs_for_another_committee(
    world: World, five: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was signed, so nothing binds."""
    monkeypatch.setattr(Journal, "decide_handover", die)
    with pytest.raises(Killed):
        sign(world, "operator_1", claim_now(world, five))
    monkeypatch.undo()
    world.restart("operator_1")

    other = successor(world.members, None, add=["operator_9"])
    world.approve("operator_1", other.committee)
    assert sign(world, "operator_1", claim_now(world, other))


def test_a_decision_on_a_handover_is_on_disk_before_the_signature_exists(
    world: World, five: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, genuine = claim_now(world, five), bls.SecretKey.sign
    known: list[int] = []

    def looks_first(self: bls.SecretKey, message: bytes) -> bytes:
        if message == claim.root(world.committee.id):
            path = world.database_file("operator_1").with_name("operator_1-journal.db")
            with closing(sqlite3.connect(path)) as journal:
                rows = journal.execute("SELECT timestamp FROM journal_handover").fetchall()
            known.extend(timestamp for (timestamp,) in rows)
        return genuine(self, message)

    monkeypatch.setattr(bls.SecretKey, "sign", looks_first)
    sign(world, "operator_1", claim)

    assert known == [claim.timestamp]


# The aggregator


@pytest.mark.parametrize("dies", ["before it is kept", "when it is kept", "when it is sent"])
def test_an_aggregator_killed_with_a_handover(
    world: World, five: Members, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    target = "mark_sent" if dies == "when it is sent" else "add"
    genuine = getattr(Outbox, target)
    monkeypatch.setattr(Outbox, target, die if dies.startswith("before") else after(genuine))
    with pytest.raises(Killed):
        world.run(1)
    monkeypatch.undo()

    world.restart("aggregator_0")

    hands_over(world, five)


# The log


def in_the_log_of(name: str, world: World, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that dies once, at the first handover in the log of one service."""
    genuine = committee_table.append

    def append(changing: sqlite3.Cursor, seated: Any, position: int) -> None:
        genuine(changing, seated, position)
        _, _, file = changing.execute("PRAGMA database_list").fetchone()
        if file == str(world.database_file(name)):
            function()

    return append


def test_killed_in_the_transaction_of_a_handover_applies_it_later(
    world: World, five: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the entry nor the committee is in the file."""
    monkeypatch.setattr(committee_table, "append", in_the_log_of("operator_2", world, die))
    with pytest.raises(Killed):
        world.run(1)
    monkeypatch.undo()

    world.restart("operator_2")

    hands_over(world, five)


@pytest.mark.parametrize("step", [(Log, "_write"), (Follower, "_publish")], ids=str)
def test_killed_between_the_commit_of_a_handover_and_what_is_behind_it(
    world: World, five: Members, monkeypatch: pytest.MonkeyPatch, step: tuple[type, str]
) -> None:
    """The file has the handover, and nothing else knows of it."""
    owner, name = step
    seen: list[str] = []

    def dies_behind_a_handover(self: Any, *given: Any) -> Any:
        result = genuine(self, *given)
        committee = getattr(self, "committee", None) or self._log.committee
        if committee.epoch == 1 and not seen:
            seen.append(name)
            raise Killed
        return result

    genuine = getattr(owner, name)
    monkeypatch.setattr(owner, name, dies_behind_a_handover)
    with pytest.raises(Killed):
        world.run(1)
    monkeypatch.undo()

    for each in world.with_a_log():
        world.restart(each)

    hands_over(world, five)


def test_killed_before_a_handover_is_compared_with_the_journal(
    world: World, five: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies_at_a_handover(_: Connection, claim: Any) -> bool:
        if isinstance(claim, HandoverClaim):
            raise Killed
        return True

    monkeypatch.setattr(journal_gaps, "_is_known", dies_at_a_handover)
    with pytest.raises(Killed):
        world.run(1)
    monkeypatch.undo()

    for each in world.with_a_log():
        world.restart(each)

    assert [world.components(name).gaps.noticed_at for name in ALL] == [0] * 5
    hands_over(world, five)


def test_killed_when_the_file_has_a_handover_and_the_cursor_is_behind(
    world: World, five: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor is written in the same transaction, so both are there or neither."""
    genuine = cursor.advance_cursor

    def dies(changing: sqlite3.Cursor, position: Any) -> None:
        [has] = changing.execute("SELECT COUNT(*) FROM committees").fetchone()
        if has == 2:
            raise Killed
        genuine(changing, position)

    monkeypatch.setattr(cursor, "advance_cursor", dies)
    with pytest.raises(Killed):
        world.run(1)
    monkeypatch.undo()

    for each in world.with_a_log():
        world.restart(each)

    hands_over(world, five)


# The seat


def test_every_service_is_killed_when_the_seats_are_taken(world: World, five: Members) -> None:
    world.run(1)
    while world.components("operator_1").log.committee.epoch == 0:
        world.run(1)

    for name in list(world.services):
        world.restart(name)

    hands_over(world, five)


def test_no_key_signs_for_a_committee_that_its_log_leaves_meanwhile(
    world: World, five: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handover is applied between the checks of a claim and its signature."""
    world.stop("operator_4")
    rounds = world.committee.rounds
    down = StatusClaim("operator_4", Status.DOWN, rounds.start(rounds.number(world.clock.now)))
    claim = claim_now(world, five)
    certified = world.members.certify(claim, world.operators)
    root = claim.acceptance.root(five.committee.id)
    accepted = {name: key.sign(root) for name, key in five.secrets.items()}
    genuine = StatusChecks.refusal_by_probe

    def hands_over_first(self: StatusChecks, asked: StatusClaim) -> Any:
        result = genuine(self, asked)
        log = world.components("operator_1").log
        log.offer(five.committee)
        made = handover.assemble(certified, accepted, five.committee)
        world.submit(world.journaled(made))
        assert log.committee == five.committee
        return result

    monkeypatch.setattr(StatusChecks, "refusal_by_probe", hands_over_first)

    assert refusal(world, "operator_1", down) == "behind"
    monkeypatch.undo()
    signature = sign(world, "operator_1", down)  # the same decision, for the next committee
    key = world.members.secrets["operator_1"]
    assert signature == key.sign(down.root(five.committee.id))


# The approval


def test_a_half_written_approval_signs_nothing(world: World, five: Members) -> None:
    path = world.database_file("operator_1").with_name("operator_1-approved.json")
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    assert refusal(world, "operator_1", claim_now(world, five)) == "unapproved"
    world.restart("operator_1")
    assert refusal(world, "operator_1", claim_now(world, five)) == "unapproved"

    path.write_text(whole)

    hands_over(world, five)


def test_an_approval_outlives_the_process(world: World, five: Members) -> None:
    world.restart("operator_1")

    assert sign(world, "operator_1", claim_now(world, five))
