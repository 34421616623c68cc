"""Which looks and answers become records, and how few of them repetition leaves."""

from __future__ import annotations

import pytest

from committees import make_members
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.evidence.record import AnswerRecord, LookRecord, Record
from dragon_operator.evidence_runs import ANSWER_RUN_SECONDS, LOOK_RUN_SECONDS, SIGNED_KEPT, Runs

ROUNDS = make_members(4).committee.rounds
NODE = "target_1"
UP, DOWN = Status.UP, Status.DOWN


@pytest.fixture
def runs() -> Runs:
    return Runs()


def claim(round_: int, status: Status = DOWN) -> StatusClaim:
    return StatusClaim(NODE, status, ROUNDS.start(round_))


def see(runs: Runs, *seen: Status, reason: str = "answered", begin: int = 0) -> None:
    for at, status in enumerate(seen, start=begin):
        runs.add_look(NODE, status, reason, "", 1000 * at)


def told(records: list[Record]) -> list[tuple[str, int, int, int]]:
    """What the records say, with first and last second and count."""
    return [
        (
            str(each.status) if isinstance(each, LookRecord) else each.answer,
            each.first_ms // 1000,
            each.last_ms // 1000,
            each.count,
        )
        for each in records
    ]


def test_equal_looks_are_one_run_with_two_records(runs: Runs) -> None:
    see(runs, UP, UP, UP, DOWN)

    assert told(runs.take()) == [("up", 0, 0, 1), ("up", 0, 2, 3), ("down", 3, 3, 1)]


def test_a_look_that_is_alone_has_one_record(runs: Runs) -> None:
    see(runs, UP, DOWN, UP)

    assert told(runs.take()) == [("up", 0, 0, 1), ("down", 1, 1, 1), ("up", 2, 2, 1)]


def test_another_reason_is_another_run(runs: Runs) -> None:
    see(runs, DOWN, reason="timeout")
    see(runs, DOWN, reason="refused", begin=1)

    assert [each.reason for each in runs.take() if isinstance(each, LookRecord)] == [
        "timeout",
        "refused",
    ]


def test_a_change_in_the_log_records_what_was_seen_until_then(runs: Runs) -> None:
    see(runs, UP, UP, UP)
    runs.end_node(NODE)

    assert told(runs.take()) == [("up", 0, 0, 1), ("up", 0, 2, 3)]

    runs.end_node(NODE)
    assert runs.take() == []


def test_a_change_in_the_log_keeps_a_run_of_which_all_is_recorded(runs: Runs) -> None:
    see(runs, DOWN)
    runs.end_node(NODE)
    see(runs, DOWN, begin=1)

    assert told(runs.take()) == [("down", 0, 0, 1)]


def test_a_long_run_of_looks_is_recorded_and_begins_anew(runs: Runs) -> None:
    see(runs, UP, UP)
    runs.end_old(1000 * LOOK_RUN_SECONDS - 1, [NODE])
    assert told(runs.take()) == [("up", 0, 0, 1)]

    runs.end_old(1000 * LOOK_RUN_SECONDS, [NODE])
    assert told(runs.take()) == [("up", 0, 1, 2)]


def test_the_same_answer_for_a_round_is_recorded_once(runs: Runs) -> None:
    for _ in range(3):
        runs.add_answer(claim(7), "sees_up", "", 0)
        runs.add_answer(claim(7), "attested", "", 0)

    assert told(runs.take()) == [("sees_up", 0, 0, 1), ("attested", 0, 0, 1)]


def test_equal_refusals_of_later_rounds_are_one_run(runs: Runs) -> None:
    for round_ in (7, 8, 9, 8):
        runs.add_answer(claim(round_), "sees_up", "", 1000 * round_)
    assert told(runs.take()) == [("sees_up", 7, 7, 1)]

    runs.end_node(NODE)
    [whole] = runs.take()

    assert told([whole]) == [("sees_up", 7, 9, 3)]
    assert isinstance(whole, AnswerRecord)
    assert (whole.timestamp, whole.last_timestamp) == (ROUNDS.start(7), ROUNDS.start(9))


def test_every_signature_is_recorded(runs: Runs) -> None:
    for round_ in range(2 * SIGNED_KEPT):
        runs.add_answer(claim(round_), "attested", "", 1000 * round_)

    assert len(runs.take()) == 2 * SIGNED_KEPT


def test_a_stranger_leaves_two_records_an_hour_for_each_answer(runs: Runs) -> None:
    """It asks for both claims in every round of six hours."""
    listed = [NODE]
    for round_ in range(6 * ANSWER_RUN_SECONDS // ROUNDS.seconds):
        now_ms = 1000 * ROUNDS.seconds * round_
        runs.add_answer(claim(round_, DOWN), "sees_up", "", now_ms)
        runs.add_answer(claim(round_, UP), "blind", "", now_ms)
        runs.end_old(now_ms, listed)

    assert len(runs.take()) == 6 * 2 * 2 - 2  # the last runs have not ended


def test_nodes_that_are_not_listed_any_more_are_forgotten(runs: Runs) -> None:
    see(runs, UP, UP)
    runs.add_answer(claim(1), "sees_up", "", 0)
    runs.add_answer(claim(2), "sees_up", "", 0)
    runs.end_old(0, [])
    assert [each.count for each in runs.take()] == [1, 1, 2, 2]

    runs.end_all()
    assert runs.take() == []


def test_foreign_text_is_cut_and_has_an_encoding(runs: Runs) -> None:
    runs.add_look(NODE, DOWN, "x" * 100, "\ud800" * 1000, 0)
    [record] = runs.take()

    assert isinstance(record, LookRecord)
    assert len(record.reason) == 64
    assert record.detail == "?" * 256
    assert record.hash
