"""The probes of the last rounds: bounded, by round, and with the failures."""

from __future__ import annotations

import dataclasses

import pytest

from committees import make_members
from dragon.probing import probe_history
from dragon.probing.probe_history import MAX_PROBED_ROUNDS, ProbeHistory
from dragon.probing.probe_result import ProbeResult
from dragon.protocol.claims.status import Status
from dragon.protocol.rounds import Rounds
from simulation import Clock

COMMITTEE = make_members(genesis=1000).committee
ROUNDS = COMMITTEE.rounds
LAST = 10**6


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def history(clock: Clock) -> ProbeHistory:
    return ProbeHistory(COMMITTEE, lambda: clock.now)


def result(at: float, reason: str = "answered", node_id: str = "a") -> ProbeResult:
    status = Status.UP if reason == "answered" else Status.DOWN
    return ProbeResult(node_id, status, reason, at, at, 7, None)


def reasons(history: ProbeHistory, before: int = LAST) -> list[tuple[int, dict[str, str]]]:
    return [
        (each.number, {node_id: found.reason for node_id, found in each.results.items()})
        for each in history.before(before)
    ]


def test_rounds_are_listed_newest_first_from_the_first_round_on(
    history: ProbeHistory, clock: Clock
) -> None:
    for at, reason, node in [
        (999, "dns", "a"),
        (1001, "answered", "a"),
        (1002, "dns", "b"),
        (1006, "timeout", "a"),
    ]:
        clock.now = at
        history.add(result(at, reason, node))

    assert reasons(history) == [(1, {"a": "timeout"}), (0, {"a": "answered", "b": "dns"})]
    assert reasons(history, before=1) == [(0, {"a": "answered", "b": "dns"})]


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        (("answered", "timeout"), "timeout"),
        (("timeout", "answered"), "timeout"),
        (("timeout", "refused"), "refused"),
    ],
)
def test_of_several_probes_in_a_round_a_failed_one_is_kept(
    history: ProbeHistory, found: tuple[str, str], kept: str
) -> None:
    for reason in found:
        history.add(result(1000, reason))

    assert reasons(history) == [(0, {"a": kept})]


def test_a_result_that_comes_late_belongs_to_the_round_of_its_begin(
    history: ProbeHistory, clock: Clock
) -> None:
    clock.now = 1030
    history.add(result(1030))
    history.add(result(1004, "dns"))

    assert reasons(history) == [(6, {"a": "answered"}), (0, {"a": "dns"})]


def test_only_the_last_rounds_are_kept(history: ProbeHistory, clock: Clock) -> None:
    for number in range(2 * MAX_PROBED_ROUNDS):
        clock.now = ROUNDS.start(number)
        history.add(result(clock.now))
    history.add(result(1000.0, "dns"))

    assert [number for number, _ in reasons(history)] == list(
        range(2 * MAX_PROBED_ROUNDS - 1, MAX_PROBED_ROUNDS - 1, -1)
    )


def test_all_results_together_are_bounded(
    history: ProbeHistory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_history, "MAX_PROBES_KEPT", 5)
    for number in range(4):
        clock.now = ROUNDS.start(number)
        for node in ("a", "b"):
            history.add(result(clock.now, node_id=node))

    assert [number for number, _ in reasons(history)] == [3, 2]


def test_a_clock_that_was_set_back_hides_no_round(history: ProbeHistory, clock: Clock) -> None:
    clock.now = 9000
    history.add(result(9000, "timeout"))
    clock.now = 1000
    history.add(result(1000))

    assert reasons(history) == [(0, {"a": "answered"})]


def test_rounds_of_another_length_have_other_numbers(clock: Clock) -> None:
    """A handover has changed it: what is kept would be shown at a wrong time."""

    class Held:
        committee = COMMITTEE

    history = ProbeHistory(Held, lambda: clock.now)
    clock.now = 1020
    history.add(result(1020))
    Held.committee = dataclasses.replace(COMMITTEE, rounds=Rounds(1000, 2))
    clock.now = 1021
    history.add(result(1021, "timeout"))

    assert reasons(history) == [(10, {"a": "timeout"})]
