"""`dragon up` restarts what has died, and does not call an ordinary stop an alarm."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from dragon_cli.fleet.supervisor import (
    FIRST_PAUSE_SECONDS,
    MAX_DEATHS,
    RECOVERED_SECONDS,
    Supervisor,
)


@dataclass
class Fleet:
    """Services that die on request, a clock, and what the supervisor says."""

    now: float = 1000.0
    codes: dict[str, int] = field(default_factory=dict)  # of those that are dead
    restarted: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    dies_at_once: bool = False
    cannot_start: int = 0  # attempts that fail

    def started(self) -> list[str]:
        return ["operator_1", "operator_2"]

    def exit_code(self, name: str) -> int | None:
        return self.codes.get(name)

    def last_output(self, name: str) -> str:
        return f"output of {name}"

    def restart(self, name: str) -> None:
        if self.cannot_start:
            self.cannot_start -= 1
            raise OSError(28, "No space left on device")
        self.restarted.append(name)
        if not self.dies_at_once:
            del self.codes[name]


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


@pytest.fixture
def supervisor(fleet: Fleet) -> Supervisor:
    return Supervisor(fleet, fleet.said.append, lambda: fleet.now)


def run(fleet: Fleet, supervisor: Supervisor, seconds: float) -> None:
    """One step every half second."""
    ends = fleet.now + seconds
    while fleet.now < ends:
        supervisor.step()
        fleet.now += 0.5


def test_a_service_that_died_is_restarted_after_a_pause_with_one_line(
    fleet: Fleet, supervisor: Supervisor
) -> None:
    run(fleet, supervisor, 5)
    fleet.codes["operator_2"] = -9
    run(fleet, supervisor, FIRST_PAUSE_SECONDS)
    too_early = list(fleet.restarted)
    run(fleet, supervisor, 5)

    assert too_early == []
    assert fleet.restarted == ["operator_2"]
    assert fleet.said == ["operator_2 has died (killed by SIGKILL). It restarts in 1 s."]


def test_a_stop_of_everything_raises_no_alarm(fleet: Fleet, supervisor: Supervisor) -> None:
    """The same signal ends this program before its next step."""
    fleet.codes.update(operator_1=0, operator_2=0)
    supervisor.step()

    assert fleet.said == []


def test_a_service_that_dies_several_times_in_a_row_stays_down(
    fleet: Fleet, supervisor: Supervisor
) -> None:
    fleet.dies_at_once = True
    fleet.codes["operator_1"] = 2
    run(fleet, supervisor, 100)

    assert len(fleet.restarted) == MAX_DEATHS - 1
    assert len(fleet.said) == MAX_DEATHS
    pauses = [line.rpartition("in ")[2] for line in fleet.said[:-1]]
    assert pauses == ["1 s.", "2 s.", "4 s.", "8 s."]
    assert fleet.said[-1] == (
        "operator_1 has died (exit code 2); last output: output of operator_1. "
        "It died 5 times in a row and stays down."
    )
    assert supervisor.given_up == ["operator_1"]


def test_a_service_that_ran_for_a_while_begins_a_new_row(
    fleet: Fleet, supervisor: Supervisor
) -> None:
    for _ in range(2 * MAX_DEATHS):
        fleet.codes["operator_1"] = 1
        run(fleet, supervisor, RECOVERED_SECONDS + 5)

    assert len(fleet.restarted) == 2 * MAX_DEATHS
    assert all(line.endswith("It restarts in 1 s.") for line in fleet.said)
    assert supervisor.given_up == []


def test_an_unknown_signal_is_named_by_its_number(fleet: Fleet, supervisor: Supervisor) -> None:
    fleet.codes["operator_1"] = -200
    run(fleet, supervisor, 2)

    assert "(killed by signal 200)" in fleet.said[0]


def test_a_service_that_cannot_be_started_does_not_end_the_others(
    fleet: Fleet, supervisor: Supervisor
) -> None:
    """An exception would stop the whole fleet."""
    fleet.cannot_start = 2
    fleet.codes["operator_1"] = 1
    run(fleet, supervisor, 130)

    assert fleet.restarted == ["operator_1"]
    assert (
        fleet.said[1:]
        == ["operator_1 cannot be started: No space left on device. It is tried again."] * 2
    )
    assert supervisor.given_up == []
