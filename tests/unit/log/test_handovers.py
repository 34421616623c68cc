"""A log applies a handover, and from the entry after it only the next committee counts."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from committees import Members, make_members, secret
from dragon import errors
from dragon.encoding import canonical
from dragon.log.audit import audit
from dragon.log.downtime import totals
from dragon.log.follower import Follower
from dragon.log.ledger import FinalityRule, Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import MAX_OFFERED, Log
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.event import Event
from dragon.protocol.handover import Handover
from dragon.protocol.lineage import sealed_by
from dragon.protocol.log_entry import LogEntry
from dragon.protocol.rounds import Rounds
from dragon.protocol.transition import transition
from dragon.storage.database import Database
from epochs import hand_over, successor

OLD = make_members(4, targets=2)
NEW = successor(
    OLD,
    None,
    add=["operator_5"],
    drop=["operator_1"],
    rotate={"operator_2": secret("operator_2 again")},
    targets=OLD.committee.targets[:1],
)
ROUNDS = OLD.committee.rounds
UP, DOWN = Status.UP, Status.DOWN


def at(round_: int) -> int:
    return ROUNDS.start(round_)


@dataclasses.dataclass
class Chain:
    """A log, and a ledger that is written to it batch by batch."""

    log: Log
    path: Path
    index: int = 0

    def take(self, *events: Event) -> list[LogEntry]:
        """Apply one batch of these events."""
        batch = self.batch(*events)
        entries = self.log.take(batch)
        self.index = batch.index
        return entries

    def batch(self, *events: Event) -> ProvenBatch:
        body = canonical([event.to_json() for event in events]).decode()
        index = self.index + 1
        return ProvenBatch(index, body, 0, "{}", Position(index, f"{index:032x}"))

    def checkpoint(self, members: Members, round_: int) -> Certificate:
        head = self.log.head()
        claim = CheckpointClaim(head.size, head.root, members.committee.rounds.start(round_))
        return members.certify(claim, members.secrets)

    def handover(
        self, round_: int, members: Members = OLD, following: Members = NEW, **changes: Any
    ) -> Handover:
        head = self.log.head()
        stated = {"size": head.size, "root": head.root, "timestamp": at(round_)}
        return hand_over(members, following, **{**stated, **changes})

    def refusals(self) -> dict[str, int]:
        return self.log.refusals()


@contextmanager
def opened(path: Path) -> Iterator[Chain]:
    database = Database(path, LOG_SCHEMA)
    try:
        yield Chain(Log(database, OLD.committee), path)
    finally:
        database.close()


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    """A log with the first events of the old committee, and the next one's file at hand."""
    with opened(tmp_path / "operator.db") as chain:
        chain.take(OLD.status("target_1", UP, 1), OLD.status("target_2", DOWN, 1))
        chain.take(chain.checkpoint(OLD, 2))
        chain.log.offer(NEW.committee)
        yield chain


def test_the_next_committee_takes_its_seat(chain: Chain) -> None:
    [entry] = chain.take(chain.handover(5))

    state = chain.log.state
    assert chain.log.committee == NEW.committee
    assert (state.seat, state.sealed.size) == (at(5), entry.position)
    assert state.log_time == at(5)


def test_events_behind_a_handover_in_one_batch_are_the_next_committees(chain: Chain) -> None:
    changed = OLD.status("target_1", DOWN, 6)
    added = chain.take(
        chain.handover(5),
        changed,
        NEW.status("target_1", DOWN, 6),
    )

    assert [entry.event.committee_id for entry in added] == [OLD.committee.id, NEW.committee.id]
    assert chain.refusals() == {"superseded": 1}


def test_events_before_a_handover_are_the_old_committees(chain: Chain) -> None:
    chain.take(NEW.status("target_1", DOWN, 3), chain.handover(5))

    assert chain.refusals() == {"wrong_committee": 1}
    assert chain.log.committee == NEW.committee


def test_removed_operators_quorum_signs_nothing_that_counts(chain: Chain) -> None:
    chain.take(chain.handover(5))

    chain.take(OLD.status("target_1", DOWN, 6), chain.checkpoint(OLD, 30))
    chain.take(chain.handover(7, following=successor(OLD, None)))

    assert chain.refusals() == {"superseded": 3}


def test_replayed_handover(chain: Chain) -> None:
    handover = chain.handover(5)
    chain.take(handover, handover)
    chain.take(handover)

    assert chain.refusals() == {"superseded": 2}


def test_withheld_handover_is_stale(chain: Chain) -> None:
    withheld = chain.handover(5)
    chain.take(chain.checkpoint(OLD, 30))

    chain.take(withheld)

    assert chain.refusals() == {"stale": 1}
    assert chain.log.committee == OLD.committee


def test_an_event_before_the_seat_is_refused(chain: Chain) -> None:
    chain.take(chain.handover(5))

    chain.take(NEW.status("target_1", DOWN, 4))
    chain.take(NEW.status("target_1", DOWN, 5))

    assert chain.refusals() == {"before_seat": 1}


def test_application_order_of_handover(chain: Chain) -> None:
    """Each handover violates one rule, and as many later ones as possible."""
    unknown = successor(OLD, None, add=["operator_7"])
    unfit = successor(OLD, None, epoch=1, name="another")
    chain.log.offer(unfit.committee)
    forged = {"signers": ["operator_1"], "following": unknown}
    others = make_members(4, targets=2, name="another")
    later = successor(NEW, chain.handover(5), epoch=2)
    few = ["operator_2", "operator_5"]
    expected = {
        "wrong_committee": chain.handover(1, others, later, signers=["operator_1"]),
        "not_next_epoch": chain.handover(1, following=later, signers=["operator_1"]),
        "not_later": chain.handover(2, **forged),
        "quorum_not_met": chain.handover(5, **forged),
        "unfit_successor": chain.handover(5, following=unfit, accepted_by=few[:1]),
        "not_accepted": chain.handover(5, accepted_by=few, root=bytes(32)),
    }

    for handover in expected.values():
        chain.take(handover)

    assert chain.refusals() == dict.fromkeys(expected, 1)
    with pytest.raises(errors.DocumentMissing):
        chain.take(chain.handover(5, following=unknown, root=bytes(32)))
    with pytest.raises(errors.Diverged):
        chain.take(chain.handover(5, root=bytes(32)))


def test_document_missing_waits_and_a_forged_handover_does_not(chain: Chain) -> None:
    other = successor(OLD, None, add=["operator_6"])
    genuine = chain.handover(6, following=other)
    forged = dataclasses.replace(
        genuine,
        certificate=dataclasses.replace(
            genuine.certificate, signature=OLD.secrets["operator_1"].sign(bytes(32))
        ),
    )

    chain.take(forged)
    assert chain.refusals() == {"bad_signature": 1}
    before = chain.log.position
    for _ in range(2):
        with pytest.raises(errors.DocumentMissing) as waiting:
            chain.take(OLD.status("target_1", DOWN, 5), genuine)
    assert waiting.value.facts["committee"] == "0x" + other.committee.id.hex()
    assert chain.log.position == before
    chain.log.offer(other.committee)
    assert len(chain.take(OLD.status("target_1", DOWN, 5), genuine)) == 2


def test_garbage_next_needs_an_old_quorum(chain: Chain) -> None:
    """A hash whose file nobody has: fewer signers than a quorum make no log wait."""
    nowhere = successor(OLD, None, add=["operator_9"])
    before = chain.log.state.size

    for signers in (["operator_1"], ["operator_1", "operator_2"]):
        chain.take(chain.handover(5, following=nowhere, signers=signers))
    lent = chain.handover(5, following=nowhere, signers=["operator_1", "operator_2"])
    claimed = dataclasses.replace(
        lent.certificate, signers=("operator_1", "operator_2", "operator_3")
    )
    chain.take(dataclasses.replace(lent, certificate=claimed))

    assert chain.refusals() == {"quorum_not_met": 2, "wrong_aggregate_key": 1}
    assert chain.log.state.size == before
    quorum = ["operator_1", "operator_2", "operator_3"]
    with pytest.raises(errors.DocumentMissing):
        chain.take(chain.handover(5, following=nowhere, signers=quorum))


@pytest.mark.parametrize(
    ("following", "reason"),
    [
        (successor(NEW, None, add=["operator_1"]), "recycled_id"),
        (successor(NEW, None, rotate={"operator_2": secret("operator_2")}), "recycled_key"),
        (successor(NEW, None, rotate={"operator_3": secret("operator_1")}), "recycled_key"),
    ],
    ids=["a removed id", "a key that was rotated away", "the key of a removed operator"],
)
def test_recycled_id_and_key(chain: Chain, following: Members, reason: str) -> None:
    """Whoever has left does not come back, even if a quorum of both committees signs it."""
    [seated] = chain.take(chain.handover(5))
    assert isinstance(seated.event, Handover)
    sealed = sealed_by(seated.event)
    again = Members(dataclasses.replace(following.committee, sealed=sealed), following.secrets)
    chain.log.offer(again.committee)

    with pytest.raises(errors.UnfitSuccessor) as refused:
        check_now(chain, chain.handover(9, NEW, again))
    assert refused.value.facts["reason"] == reason
    chain.take(chain.handover(9, NEW, again))

    assert chain.refusals() == {"unfit_successor": 1}
    assert chain.log.committee == NEW.committee


def check_now(chain: Chain, event: Event) -> None:
    """Apply an event to the state of a log, and forget the result."""
    transition(
        chain.log.state,
        event,
        root_at=lambda size: chain.log.head(size).root,
        documents=chain.log.document,
    )


def test_forged_events_before_a_handover_do_not_decide_whether_the_log_waits(chain: Chain) -> None:
    """Verified together or one by one, all logs see the same."""
    other = successor(OLD, None, add=["operator_6"])
    forged = dataclasses.replace(
        OLD.status("target_1", DOWN, 4), signature=OLD.secrets["operator_1"].sign(bytes(32))
    )

    chain.take(forged, chain.handover(6, following=other))

    assert chain.refusals() == {"bad_signature": 1, "after_forged": 1}


def test_removed_node_is_unknown_not_down(chain: Chain) -> None:
    chain.take(chain.handover(5))
    for number in (17, 29, 41):
        chain.take(chain.checkpoint(NEW, number))

    state = chain.log.state
    assert state.status("target_2") is None
    found = totals(state, state.size, "target_2", (at(2), at(29)))
    assert (found.seconds_down, found.seconds_unknown) == (15, 120)
    kept = totals(state, state.size, "target_1", (at(2), at(29)))
    assert (kept.seconds_down, kept.seconds_unknown) == (0, 0)


def test_a_node_that_joins_is_unknown_before_its_first_event(chain: Chain) -> None:
    chain.take(chain.handover(5), NEW.status("operator_5", UP, 10))
    chain.take(chain.checkpoint(NEW, 17))

    state = chain.log.state
    found = totals(state, state.size, "operator_5", (at(2), at(17)))
    assert (found.seconds_down, found.seconds_unknown) == (0, 40)


def test_totals_across_round_lengths(chain: Chain) -> None:
    """A stretch between marks is unknown if it is too long for the committee of that stretch.

    With rounds of 5 s, 120 s are too long; with rounds of 20 s, 480 s.
    """
    slow = successor(OLD, None, rounds=Rounds(ROUNDS.genesis, 20))
    chain.log.offer(slow.committee)
    [seated] = chain.take(chain.handover(8, following=slow))
    chain.take(slow.status("target_1", DOWN, 6))
    chain.take(chain.checkpoint(slow, 22))
    chain.take(chain.checkpoint(slow, 42))  # 400 s later
    fast = successor(slow, seated.event, rounds=ROUNDS)  # type: ignore[arg-type]
    chain.log.offer(fast.committee)
    chain.take(chain.handover(180, slow, fast))
    chain.take(chain.checkpoint(fast, 206))  # 130 s later
    chain.take(chain.checkpoint(fast, 218), fast.status("target_1", UP, 215))
    state, genesis = chain.log.state, ROUNDS.genesis

    def found(begin: int, end: int) -> tuple[int, int]:
        """Seconds down and unknown of an interval, from genesis."""
        both = totals(state, state.size, "target_1", (genesis + begin, genesis + end))
        return both.seconds_down, both.seconds_unknown

    assert chain.refusals() == {}
    assert found(10, 440) == (440 - 120, 0)
    assert found(440, 900) == (460, 0)
    assert found(900, 1030) == (0, 130)
    assert found(1030, 1090) == (45, 0)
    assert found(10, 1090) == (320 + 460 + 45, 130)


def test_settled_by_the_max_age_of_the_committee_that_signed_the_mark(chain: Chain) -> None:
    slow = successor(OLD, None, rounds=Rounds(ROUNDS.genesis, 20))  # max_age 240 s, before 60 s
    chain.log.offer(slow.committee)
    chain.take(chain.handover(8, following=slow))
    chain.take(chain.checkpoint(slow, 14))
    chain.take(chain.checkpoint(slow, 26))
    state = chain.log.state

    genesis = ROUNDS.genesis
    assert state.settling(genesis + 40 - 60 + 1) == state.marks[2]
    assert state.settling(genesis + 40 - 60) == state.marks[1]  # the handover settles it
    assert state.settling(genesis + 26 * 20 - 240) == state.marks[3]
    assert state.settling(genesis + 26 * 20 - 240 + 1) is None


def test_the_first_checkpoint_of_a_new_committee_is_due_at_once(chain: Chain) -> None:
    chain.take(chain.handover(5))

    chain.take(chain.checkpoint(NEW, 5))  # not later than the handover
    assert chain.refusals() == {"not_later": 1}
    chain.take(chain.checkpoint(NEW, 6))
    first = chain.log.state.checkpoint
    chain.take(chain.checkpoint(NEW, 17))
    refused = chain.refusals()
    chain.take(chain.checkpoint(NEW, 18))

    assert first is not None
    assert first.timestamp == ROUNDS.start(6)
    assert refused == {"not_later": 2}
    assert chain.log.state.checkpoint == chain.log.state.mark
    assert chain.log.state.log_time == ROUNDS.start(18)


def test_a_log_is_restored_with_its_committees(chain: Chain) -> None:
    chain.take(chain.handover(5), NEW.status("target_1", DOWN, 6))
    before = chain.log.state

    with opened(chain.path) as again:
        assert again.log.state == before
        assert again.log.committee == NEW.committee


def test_a_log_opens_with_any_committee_of_its_network(chain: Chain) -> None:
    chain.take(chain.handover(5))
    for committee in (OLD.committee, NEW.committee):
        database = Database(chain.path, LOG_SCHEMA)
        with closing(database):
            assert Log(database, committee).committee == NEW.committee
    database = Database(chain.path, LOG_SCHEMA)
    with closing(database), pytest.raises(errors.LogDamaged):
        Log(database, make_members(name="another").committee)


def test_a_new_file_needs_the_first_committee(tmp_path: Path) -> None:
    database = Database(tmp_path / "new.db", LOG_SCHEMA)
    with closing(database), pytest.raises(errors.DocumentMissing):
        Log(database, NEW.committee)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM committees WHERE epoch = 1",
        "DELETE FROM committees WHERE epoch = 0",
        "UPDATE committees SET document = replace(document, 'test', 'best')",
        "UPDATE committees SET position = NULL",
        "UPDATE committees SET id = 'x' WHERE epoch = 1",
    ],
)
def test_a_damaged_table_of_committees_is_noticed(chain: Chain, damage: str) -> None:
    chain.take(chain.handover(5))
    with closing(sqlite3.connect(chain.path)) as database:
        database.execute(damage)
        database.commit()

    with pytest.raises(errors.LogDamaged), opened(chain.path):
        pass


def test_a_log_that_passed_handovers_is_verified_with_its_newest_committee(chain: Chain) -> None:
    chain.take(chain.handover(5), NEW.status("target_1", DOWN, 6))
    chain.take(chain.checkpoint(NEW, 17))
    third = successor(NEW, chain.log.entry(3).event, drop=["operator_3"], add=["operator_6"])  # type: ignore[arg-type]
    chain.log.offer(third.committee)
    chain.take(chain.handover(20, NEW, third), third.status("target_1", UP, 21))

    for committee in (OLD.committee, NEW.committee, third.committee):
        found = audit(chain.path, committee)
        assert found.state == chain.log.state
        assert audit(chain.path, committee, batched=False).root == found.root
    fork = successor(NEW, chain.log.entry(3).event, drop=["operator_4"])  # type: ignore[arg-type]
    with pytest.raises(errors.WrongCommittee):
        audit(chain.path, fork.committee)
    with pytest.raises(errors.WrongCommittee):
        audit(chain.path, make_members(name="another").committee)


def test_the_file_of_a_handover_that_nobody_accepted_is_kept(chain: Chain) -> None:
    """Anybody may put the old committee's certificate on the ledger, with a made-up acceptance.

    Logs that have the file refuse it. A log that reads the ledger later needs the file for that.
    """
    hanging = successor(OLD, None, add=["operator_6"])
    made = chain.handover(5, following=hanging)
    unaccepted = dataclasses.replace(
        made, acceptance=dataclasses.replace(made.acceptance, signature=made.signature)
    )
    chain.log.offer(hanging.committee)
    chain.take(unaccepted)
    assert chain.refusals() == {"not_accepted": 1}

    with opened(chain.path) as again:  # what was offered is forgotten
        kept = again.log.committee_file(hanging.committee.id)
        assert kept == hanging.committee.encode()
        assert again.log.document(hanging.committee.id) == hanging.committee
        again.index = chain.index
        again.take(unaccepted)
        assert again.refusals() == {"not_accepted": 2}


def test_a_committee_file_is_kept_before_a_handover_to_it_is_signed(chain: Chain) -> None:
    for _ in range(2):
        chain.log.keep(NEW.committee)

    with opened(chain.path) as again:
        assert again.log.document(NEW.committee.id) == NEW.committee
        with closing(sqlite3.connect(chain.path)) as database:
            database.execute("UPDATE committee_files SET document = replace(document, '4', '5')")
            database.commit()
        assert again.log.document(NEW.committee.id) is None


def test_a_log_that_got_the_file_from_elsewhere_waits_no_more(chain: Chain) -> None:
    """The owner approves the committee, or an aggregator finds it, while the follower asks."""
    following = successor(OLD, None, add=["operator_6"])
    batch = chain.batch(chain.handover(5, following=following))

    class Ledger:
        def poll(self, after: Position, *_: object) -> list[ProvenBatch]:
            return [batch] if batch.index > after.index else []

    follower = Follower(chain.log, Ledger(), monotonic=lambda: 0.0)
    follower.step()
    assert follower.missing_document == following.committee.id
    chain.log.offer(following.committee)

    assert len(follower.step()) == 1

    assert follower.missing_document is None


def test_few_offered_files_are_kept(chain: Chain) -> None:
    first = successor(OLD, None, add=["operator_9"]).committee
    chain.log.offer(first)
    for number in range(MAX_OFFERED):
        chain.log.offer(dataclasses.replace(first, aggregators=(), name=f"n{number}"))

    assert chain.log.document(first.id) is None


LISTS = dataclasses.replace(OLD.committee.sequencer, nodes_sha256=(b"\x07" * 32,))
OTHER_LISTS = successor(OLD, None, sequencer=LISTS)


def test_what_was_read_behind_a_handover_that_changes_the_lists_is_not_applied(
    chain: Chain,
) -> None:
    """It was proven under the lists of the committee before: its nodes may have signed anything."""
    chain.log.offer(OTHER_LISTS.committee)
    first = chain.batch(chain.handover(5, following=OTHER_LISTS))
    second = dataclasses.replace(
        chain.batch(OTHER_LISTS.status("target_1", DOWN, 6)),
        index=first.index + 1,
        position=Position(first.index + 1, "f" * 32),
    )
    [named] = OLD.committee.sequencer.nodes_sha256
    assert chain.log.finality_rule.former == frozenset()

    added = chain.log.take(first, second)

    assert [entry.event.claim.KIND for entry in added] == ["handover"]
    assert chain.log.position == first.position
    assert chain.log.finality_rule.former == {named}
    assert len(chain.log.take(second)) == 1


def test_a_log_reads_the_page_behind_such_a_handover_again(chain: Chain) -> None:
    chain.log.offer(OTHER_LISTS.committee)
    handover = chain.batch(chain.handover(5, following=OTHER_LISTS))
    index = handover.index + 1
    claims = {frozenset(): DOWN, frozenset(OLD.committee.sequencer.nodes_sha256): UP}

    class Ledger:
        """A ledger whose former nodes have signed another continuation than the present ones."""

        def poll(
            self, after: Position, kept: object = None, rule: FinalityRule | None = None
        ) -> list[ProvenBatch]:
            assert rule is not None
            event = OTHER_LISTS.status("target_2", claims[rule.former], 6)
            body = canonical([event.to_json()]).decode()
            behind = ProvenBatch(index, body, 0, "{}", Position(index, f"{index:032x}"))
            return [each for each in (handover, behind) if each.index > after.index]

    follower = Follower(chain.log, Ledger(), monotonic=lambda: 0.0)
    follower.catch_up()

    assert chain.log.state.status("target_2") is UP


def test_the_rule_for_proofs_is_the_same_after_a_restart(chain: Chain) -> None:
    chain.log.offer(OTHER_LISTS.committee)
    chain.take(chain.handover(5, following=OTHER_LISTS))

    with opened(chain.path) as reopened:
        assert reopened.log.finality_rule == chain.log.finality_rule
        assert reopened.log.committee_before == OLD.committee
