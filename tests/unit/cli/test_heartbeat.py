"""`dragon heartbeat` sends signed beats to operators in turn, and says why they do not count."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from commands import run_dragon
from committees import make_members, secret, with_heartbeats
from dragon.storage import keystore
from dragon_cli.fleet import queries
from dragon_cli.fleet.beats import default_pause, retry_pause
from dragon_cli.fleet.layout import Home
from simulation import World

NODE = "sensor_1"
PASSWORD = "correct horse"
MEMBERS = with_heartbeats(make_members(targets=1), NODE, every_seconds=60)

Run = Callable[..., tuple[int, str, str]]


class Interrupted(World):
    """A world with a machine that is interrupted after some pauses, and has its own clock."""

    beats = 3
    machine_ahead = 0.0

    def time(self) -> float:
        return self.clock.now + self.machine_ahead

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.pauses.append(round(seconds, 3))
        if len(self.pauses) >= self.beats:
            raise KeyboardInterrupt

    def __post_init__(self) -> None:
        self.pauses: list[float] = []
        super().__post_init__()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interrupted]:
    with Interrupted(tmp_path_factory.mktemp("heartbeat"), MEMBERS) as made:
        yield made


@pytest.fixture
def world(shared: Interrupted) -> Interrupted:
    """A fleet with a target that sends heartbeats. A minute has passed since the last test."""
    shared.clock.sleep(61)
    shared.outages.clear()
    shared.wires.calls.clear()
    shared.pauses, shared.beats, shared.machine_ahead = [], 3, 0.0
    return shared


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """The folder of the machine: the committee, its keystore, and that of another target."""
    found = Home(tmp_path)
    found.committee_file.write_text(json.dumps(MEMBERS.committee.to_json()))
    for name in (NODE, "operator_1"):
        keystore.write_private(found.keystore(name), keystore.seal(secret(name), PASSWORD))
        keystore.write_private(found.password(name), PASSWORD + "\n")
    return found


@pytest.fixture
def heartbeat(
    world: Interrupted,
    home: Home,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """`dragon heartbeat NODE …`: exit code, standard output, standard error."""
    monkeypatch.setattr(queries, "make_session", lambda _ca: world.session("client"))
    monkeypatch.setattr("dragon_cli.commands.heartbeat.time", world)
    monkeypatch.setattr("dragon_cli.commands.heartbeat.interrupt_on_signals", lambda: None)

    def run(*options: object, node: str = NODE) -> tuple[int, str, str]:
        code, out, err = run_dragon(capsys, "heartbeat", node, *options, "--home", home.path)
        assert PASSWORD not in out + err
        return code, out, err

    return run


def asked(world: World) -> list[str]:
    """The operators that were sent a beat by the machine or by another operator, in order."""
    return [
        world.names[url.removeprefix("http://").partition("/")[0]]
        for method, url in world.wires.calls
        if method == "POST" and url.endswith("/beats")
    ]


def heard(world: World) -> dict[str, float | None]:
    """The age of the newest beat at each operator and aggregator."""
    return {
        name: world.components(name).beats.newest(NODE).age_seconds for name in world.with_a_log()
    }


def test_one_beat_reaches_every_operator_and_aggregator(world: World, heartbeat: Run) -> None:
    code, out, err = heartbeat("--once")

    assert (code, err) == (0, "")
    assert out == "accepted: beat of sensor_1 by operator_1 and operator_2 (clock +0.0 s)\n"
    assert heard(world) == dict.fromkeys(world.with_a_log(), 0.0)


def test_one_beat_as_a_document(world: Interrupted, heartbeat: Run) -> None:
    world.machine_ahead = 1.5

    code, out, _ = heartbeat("--once", "--json")

    document = json.loads(out)
    assert code == 0
    assert document["accepted"] == {"operator_1": 1500, "operator_2": 1500}
    assert (document["refused"], document["unreachable"]) == ({}, {})


def test_beats_go_to_operators_in_turn_and_the_output_is_not_repeated(
    world: Interrupted, heartbeat: Run
) -> None:
    code, out, _ = heartbeat()

    direct = [name for name in asked(world) if name.startswith("operator")]
    assert code == 130
    assert out.count("accepted") == 1
    assert world.pauses == [20.0] * 3  # a third of what the committee allows
    # Each beat: to two operators, and from each of them to all others.
    assert len(direct) == 3 * (2 + 2 * 3)
    assert heard(world) == dict.fromkeys(world.with_a_log(), 20.0)


def test_the_pause_can_be_chosen(world: Interrupted, heartbeat: Run) -> None:
    heartbeat("--every", "5s")

    assert world.pauses == [5.0] * 3


def test_a_pause_that_is_too_long_for_the_committee_is_refused(heartbeat: Run) -> None:
    code, _, err = heartbeat("--every", "1m")

    assert code == 2
    assert "`--every` (60 s) must be shorter than 60 s, after which the committee takes" in err


def test_an_operator_that_does_not_answer_is_passed_over(world: World, heartbeat: Run) -> None:
    world.stop("operator_1")

    code, out, _ = heartbeat("--once")

    assert code == 0
    assert "by operator_2 and operator_3" in out


def test_one_operator_can_be_chosen_by_its_url(world: World, heartbeat: Run) -> None:
    code, out, _ = heartbeat("--once", "--url", "http://operator-3:5003")

    assert code == 0
    assert "by operator-3:5003 (" in out
    assert heard(world) == dict.fromkeys(world.with_a_log(), 0.0)


def test_a_beat_that_nobody_takes_is_repeated_soon(world: Interrupted, heartbeat: Run) -> None:
    for name in world.operators:
        world.stop(name)
    world.beats = 5

    code, out, _ = heartbeat()

    assert code == 130
    assert out.count("not accepted: beat of sensor_1. operator_1: no answer") == 1
    assert world.pauses == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_one_beat_that_nobody_takes_is_a_failure(world: World, heartbeat: Run) -> None:
    for name in world.operators:
        world.stop(name)

    code, out, err = heartbeat("--once")

    assert (code, out) == (1, "")
    assert err.startswith("dragon: failed: unreachable: No operator took the beat. operator_1: no ")


@pytest.mark.parametrize("options", [["--once"], []])
@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (3600, "beat_too_early: operator_1: the clock of sensor_1 is 3600 s ahead of the receiver"),
        (-95, "beat_too_old: operator_1: the clock of sensor_1 is 95 s behind the receiver's"),
    ],
)
def test_a_wrong_clock_ends_the_command(
    world: Interrupted, heartbeat: Run, options: list[str], ahead: float, words: str
) -> None:
    world.machine_ahead = ahead

    code, out, err = heartbeat(*options)

    assert (code, out) == (1, "")
    assert f"dragon: refused: {words}" in err.replace("operator_3", "operator_1")
    assert "hint: Set the clock of this machine, for example with NTP." in err
    assert world.pauses == []


def test_a_clock_that_is_set_back_while_beats_are_sent_is_bridged(
    world: Interrupted, heartbeat: Run
) -> None:
    """Times of beats always rise, while the difference is small."""
    world.machine_ahead = 25.0
    sleep = world.sleep

    def set_back(seconds: float) -> None:
        world.machine_ahead = 0.0
        sleep(seconds)

    world.sleep = set_back  # type: ignore[method-assign]
    try:
        code, out, _ = heartbeat("--every", "5s")
    finally:
        world.sleep = sleep  # type: ignore[method-assign]

    assert code == 130
    assert "not accepted" not in out


def test_a_second_machine_with_the_same_key_is_named(world: Interrupted, heartbeat: Run) -> None:
    world.machine_ahead = 10.0
    heartbeat("--once")
    world.machine_ahead = 0.0

    code, _, err = heartbeat("--once")

    assert code == 1
    assert "dragon: refused: beat_not_later: operator_1: a beat of sensor_1 with a later" in err
    assert "hint: The clock of this machine was set back, or another machine uses the" in err


@pytest.mark.parametrize(
    ("node", "reason"),
    [("sensor_9", "unknown_node"), ("target_1", "not_heartbeat_target")],
)
def test_a_node_that_sends_no_beats_is_refused(heartbeat: Run, node: str, reason: str) -> None:
    code, out, err = heartbeat("--once", node=node)

    assert (code, out) == (1, "")
    assert f"dragon: refused: {reason}: " in err


def test_the_keystore_of_another_member_is_refused(heartbeat: Run, home: Home) -> None:
    code, _, err = heartbeat("--once", "--key", home.keystore("operator_1"))

    assert code == 1
    assert "not_a_member: The keystore does not hold the key of target sensor_1." in err


def test_a_key_that_the_operators_do_not_list_ends_the_command(
    world: World, heartbeat: Run, home: Home
) -> None:
    """The machine's committee file names a key that the operators' committee does not."""
    keystore.write_private(home.keystore("new"), keystore.seal(secret("new"), PASSWORD))
    key = secret("new")
    [web, sensor] = MEMBERS.committee.targets
    check = replace(
        sensor.check, public_key=key.public_key(), proof_of_possession=key.prove_possession()
    )
    other = replace(MEMBERS.committee, targets=(web, replace(sensor, check=check)))
    home.committee_file.write_text(json.dumps(other.to_json()))

    code, out, err = heartbeat("--keystore", home.keystore("new"))

    assert (code, out) == (1, "")
    assert "dragon: refused: bad_signature: operator_3: the beat is not signed with the key" in err


def test_json_is_for_one_beat(heartbeat: Run) -> None:
    code, _, err = heartbeat("--json")

    assert code == 2
    assert "`--json` needs `--once`." in err


def test_pauses_between_beats() -> None:
    assert [default_pause(each) for each in (1, 60, 86_400)] == [1.0, 20.0, 300.0]
    assert [retry_pause(each, 20.0) for each in (1, 2, 5, 6, 1000)] == [1.0, 2.0, 16.0, 20.0, 20.0]
