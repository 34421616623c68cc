"""How many looks in a row are needed, and which of them count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from committees import make_members
from dragon.probing.probe_result import NO_EVIDENCE, ProbeResult
from dragon.probing.streaks import Streaks, needed
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee

UP, DOWN = Status.UP, Status.DOWN
TARGET = "target_1"


def committee(suspect_after: int = 3, recover_after: int = 2) -> Committee:
    made = make_members(targets=1, genesis=1000).committee
    [target] = made.targets
    target = replace(
        target,
        url="https://site.example",
        suspect_after=suspect_after,
        recover_after=recover_after,
    )
    return replace(made, targets=(target,))


COMMITTEE = committee()


def result(at: float, reason: str = "answered", node_id: str = TARGET) -> ProbeResult:
    status = UP if reason == "answered" else DOWN
    return ProbeResult(node_id, status, reason, at, at, 7, None)


def streaks(*results: ProbeResult) -> Streaks:
    made = Streaks()
    for each in results:
        made.add(COMMITTEE, each)
    return made


def test_the_committee_file_says_how_many_looks_are_needed() -> None:
    assert needed(COMMITTEE, TARGET, DOWN) == 3
    assert needed(COMMITTEE, TARGET, UP) == 2
    assert needed(COMMITTEE, "operator_1", DOWN) == 1


def test_looks_of_rounds_in_a_row_count() -> None:
    made = streaks(result(1000, "timeout"), result(1005, "refused"))
    assert (made.looks(TARGET, DOWN), made.looks(TARGET, UP)) == (2, 0)
    assert not made.supports(COMMITTEE, TARGET, DOWN)

    made.add(COMMITTEE, result(1010, "timeout"))

    assert made.supports(COMMITTEE, TARGET, DOWN)


def test_several_looks_in_one_round_count_as_one() -> None:
    made = streaks(*(result(1000 + each, "timeout") for each in range(5)))

    assert made.looks(TARGET, DOWN) == 1


def test_one_look_that_finds_otherwise_starts_again() -> None:
    made = streaks(result(1000, "timeout"), result(1005, "timeout"), result(1006))
    assert (made.looks(TARGET, DOWN), made.looks(TARGET, UP)) == (0, 1)

    made.add(COMMITTEE, result(1010, "timeout"))

    assert made.looks(TARGET, DOWN) == 1


@pytest.mark.parametrize("reason", [*sorted(NO_EVIDENCE), "dns"])
def test_a_look_that_says_nothing_is_left_out(reason: str) -> None:
    made = streaks(result(1000, "timeout"), result(1005, reason), result(1010, "timeout"))

    assert made.looks(TARGET, DOWN) == 2


def test_operators_are_not_counted() -> None:
    made = streaks(result(1000, "timeout", "operator_1"))

    assert made.looks("operator_1", DOWN) == 0
    assert made.supports(COMMITTEE, "operator_1", DOWN)


def test_a_service_that_has_just_started_supports_nothing() -> None:
    assert not Streaks().supports(COMMITTEE, TARGET, DOWN)
    assert not Streaks().supports(COMMITTEE, TARGET, UP)


def test_by_default_one_look_is_enough() -> None:
    assert Streaks().supports(committee(1, 1), TARGET, DOWN)


def test_a_streak_can_be_forgotten() -> None:
    made = streaks(result(1000, "timeout"))

    made.forget(TARGET)

    assert made.looks(TARGET, DOWN) == 0
