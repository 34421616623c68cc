"""Decisions to sign handovers: never two that could both still be applied."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from committees import make_members
from dragon.errors import AttestationRefused, NotLater, NotNextEpoch
from dragon.protocol.claims.base import kind_of
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.marks import Mark
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.state import State
from dragon.storage.database import Database
from dragon_operator.journal import SCHEMA, Journal
from examples import examples

COMMITTEE = make_members().committee
ROUNDS = COMMITTEE.rounds
A, B, C = (bytes([number]) * 32 for number in (1, 2, 3))


@dataclass
class Holder:
    """Says which committee holds."""

    committee: object = COMMITTEE


@contextmanager
def opened(path: Path) -> Iterator[Journal]:
    database = Database(path, SCHEMA)
    try:
        yield Journal(database, Holder())  # type: ignore[arg-type]
    finally:
        database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "operator-journal.db"


def claim(named: bytes, round_: int, epoch: int = 1) -> HandoverClaim:
    return HandoverClaim(epoch, named, bytes(32), 7, ROUNDS.start(round_))


def signs(journal: Journal, asked: HandoverClaim, log_round: int, epoch: int = 0) -> bool:
    """Ask for a decision while `epoch` holds; whether it may be signed."""
    holding = replace(COMMITTEE, epoch=epoch)
    try:
        journal.decide_handover(asked, holding, ROUNDS.start(log_round))
    except AttestationRefused as refused:
        return refused.reason is not RefusalReason.EQUIVOCATION
    return True


def test_the_same_committee_is_signed_for_in_every_round(path: Path) -> None:
    with opened(path) as journal:
        assert all(signs(journal, claim(A, number), 0) for number in (10, 11, 12, 10))


def test_both_sides_of_a_handover_are_one_decision(path: Path) -> None:
    with opened(path) as journal:
        journal.decide_handover(claim(A, 10).acceptance, COMMITTEE, 0)

        assert not signs(journal, claim(B, 11), 0)


def test_another_committee_waits_for_the_newest_round_that_was_signed(path: Path) -> None:
    with opened(path) as journal:
        assert signs(journal, claim(A, 12), 0)
        assert signs(journal, claim(A, 10), 0)  # the newest stays

        assert not signs(journal, claim(B, 13), 11)
        assert signs(journal, claim(B, 13), 12)


def test_a_decision_outlives_the_process(path: Path) -> None:
    with opened(path) as journal:
        assert signs(journal, claim(A, 10), 0)
    with opened(path) as journal:
        assert not signs(journal, claim(B, 11), 9)


def test_a_refusal_changes_nothing(path: Path) -> None:
    with opened(path) as journal:
        assert signs(journal, claim(A, 10), 0)
        assert not signs(journal, claim(B, 20), 9)

        assert signs(journal, claim(C, 20), 10)


def test_the_decision_on_an_epoch_ends_with_it(path: Path) -> None:
    with opened(path) as journal:
        assert signs(journal, claim(A, 10), 0)

        assert signs(journal, claim(B, 11, epoch=2), 9, epoch=1)


def test_an_earlier_epoch_is_never_signed_for_again(path: Path) -> None:
    """The row of the epoch is gone; the log refuses the claim before the journal is asked."""
    state = State.of(replace(COMMITTEE, epoch=1))

    with pytest.raises(NotNextEpoch):
        kind_of(claim(B, 11)).check_applicable(claim(B, 11), state)


def test_a_handover_in_round_0_is_not_later_than_genesis(path: Path) -> None:
    """Log time is genesis without a mark, so the journal lets go of such a decision at once."""
    early, next_one = claim(A, 0), claim(A, 1)
    with opened(path) as journal:
        assert signs(journal, early, 0)
        assert signs(journal, claim(B, 0), 0)
    state = State.of(COMMITTEE)

    assert isinstance(kind_of(early).superseded(early, state), NotLater)
    assert kind_of(next_one).superseded(next_one, state) is None


def may_still_apply(signed: HandoverClaim, log_time: int) -> bool:
    """Whether a log whose last mark has this timestamp may still apply a handover."""
    mark = Mark(1, bytes(32), log_time, 1, ROUNDS)
    state = State.of(COMMITTEE)
    state = replace(state, marks=state.marks.appended(mark), size=2)
    return kind_of(signed).superseded(signed, state) is None


@given(st.randoms(use_true_random=False))
@settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_journal_releases_only_what_can_never_apply(
    tmp_path_factory: pytest.TempPathFactory, rng: random.Random
) -> None:
    """Two committees are signed for only if no log at our log time can apply the first any more.

    Every other log that has another log time has it from marks that ours has, or will have: marks
    ascend. So what ours cannot apply any more, no log can apply instead of the second.
    """
    path = tmp_path_factory.mktemp("journal") / "operator-journal.db"
    signed: list[HandoverClaim] = []
    log_round = 0
    with opened(path) as journal:
        for _ in range(40):
            log_round += rng.choice([0, 0, 0, 1, 12])
            asked = claim(rng.choice([A, B, C]), log_round + rng.randrange(-3, 15))
            if not signs(journal, asked, log_round):
                log_time = ROUNDS.start(log_round)
                pending = [
                    old
                    for old in signed
                    if old.next != asked.next and may_still_apply(old, log_time)
                ]
                assert pending, "it is refused only because of one that may still apply"
                continue
            for old in signed:
                both = old.next != asked.next and may_still_apply(old, ROUNDS.start(log_round))
                assert not both
            signed.append(asked)
