"""Why a stream waits for busy aggregators and operators, and for how long."""

from __future__ import annotations

import pytest

from dragon.errors import BadAnswer, PeerError, Unreachable
from dragon.net.submission_client import WindowStatus
from dragon_stream.submission import MAX_PAUSE_SECONDS, UNREADY_AFTER_SECONDS, BusyWindows
from simulation import Clock

ONE, TWO = b"1" * 32, b"2" * 32
FULL = BadAnswer("answered 429: no place", status=429, retry_after=5)


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def busy(clock: Clock) -> BusyWindows:
    return BusyWindows(lambda: 3, lambda: clock.now)


def status(*answers: str, state: str = "waiting") -> WindowStatus:
    votes = tuple(
        {"operator": f"operator_{number}", "answer": answer, "detail": "too many"}
        for number, answer in enumerate(answers, start=1)
    )
    return WindowStatus(state, (), votes)


def test_a_busy_aggregator_is_the_reason_until_it_accepts(busy: BusyWindows) -> None:
    busy.refused(ONE, 3, FULL)

    assert "window 3" in busy.reason(ONE)
    assert "no place" in busy.reason(ONE)
    assert busy.reason(TWO) == ""
    assert busy.accepted(ONE, 3, status(state="voting"))
    assert busy.reason(ONE) == ""


def test_an_aggregator_that_does_not_answer_is_not_busy(busy: BusyWindows) -> None:
    busy.refused(ONE, 3, Unreachable("no answer in time", reason="timeout"))

    assert busy.reason(ONE) == ""


@pytest.mark.parametrize("state", ["voting", "waiting"])
def test_busy_operators_are_the_reason_if_they_prevent_a_quorum(
    busy: BusyWindows, state: str
) -> None:
    assert busy.accepted(ONE, 0, status("busy", "valid", "busy", "valid", state=state))
    assert "operator_1, operator_3 (too many)" in busy.reason(ONE)
    assert not busy.accepted(ONE, 0, status("busy", "valid", "busy", "valid", state=state))

    assert busy.accepted(ONE, 0, status("busy", "valid", "valid", "valid", state=state))
    assert busy.reason(ONE) == ""


@pytest.mark.parametrize("state", ["certified", "applied", "invalid"])
def test_a_decided_window_is_not_busy(busy: BusyWindows, state: str) -> None:
    busy.refused(ONE, 0, FULL)

    busy.accepted(ONE, 0, status(*["busy"] * 4, state=state))

    assert busy.reason(ONE) == ""


def test_a_stream_that_waits_for_long_is_told_apart(busy: BusyWindows, clock: Clock) -> None:
    busy.refused(ONE, 0, FULL)
    assert busy.reason(ONE, UNREADY_AFTER_SECONDS) == ""

    clock.sleep(UNREADY_AFTER_SECONDS)
    busy.accepted(ONE, 0, status(*["busy"] * 4))

    assert "busy operators" in busy.reason(ONE, UNREADY_AFTER_SECONDS)
    busy.remove(ONE)
    assert busy.reason(ONE, UNREADY_AFTER_SECONDS) == ""


@pytest.mark.parametrize(
    ("error", "pauses"),
    [
        (FULL, [5, 5, 5, 8, 16, MAX_PAUSE_SECONDS, MAX_PAUSE_SECONDS]),
        (BadAnswer("answered 429", status=429), [1, 2, 4, 8, 16, MAX_PAUSE_SECONDS]),
        (Unreachable("closed", reason="unreachable"), [1, 1, 1]),
    ],
)
def test_the_pause_doubles_and_is_never_shorter_than_asked(
    busy: BusyWindows, error: PeerError, pauses: list[float]
) -> None:
    assert [busy.refused(ONE, 0, error) for _ in pauses] == pauses
    assert busy.refused(TWO, 0, error) == pauses[0]

    busy.accepted(ONE, 0, status("valid"))

    assert busy.refused(ONE, 0, error) == pauses[0]
