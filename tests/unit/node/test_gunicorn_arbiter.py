"""When a worker counts as hanging, and when deaths of workers end the service."""

from __future__ import annotations

from dragon.node.gunicorn_arbiter import DEATHS_SECONDS, MAX_LOOK_SECONDS, Deaths, Silence


def test_a_worker_without_a_sign_of_life_is_silent() -> None:
    silence = Silence()
    for second in range(70):
        silence.look(beat=7.0, now=1000.0 + second)
    assert silence.seconds == 69
    silence.look(beat=8.0, now=1070.0)
    assert silence.seconds == 0


def test_a_pause_of_the_machine_is_not_silence() -> None:
    silence = Silence()
    silence.look(beat=7.0, now=1000.0)
    silence.look(beat=7.0, now=4600.0)
    assert silence.seconds == MAX_LOOK_SECONDS


def test_three_deaths_within_a_minute_are_too_many() -> None:
    deaths = Deaths()
    assert [deaths.add(now) for now in (0.0, 10.0, 60.0)] == [False, False, True]


def test_deaths_that_are_far_apart_are_not_too_many() -> None:
    deaths = Deaths()
    assert not any(deaths.add(k * (DEATHS_SECONDS / 2 + 1)) for k in range(20))
