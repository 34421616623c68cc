"""Targets behind NAT: up while their signed beats come, and down when none has come for long."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from committees import Members, make_members, secret, with_heartbeats
from dragon.node.beat_book import BeatBook
from dragon.protocol.beats import Beat, SignedBeat
from dragon.protocol.claims.status import StatusClaim
from epochs import propose
from simulation import World

NODE = "sensor_1"
EVERY_SECONDS = 20  # four rounds
ROUNDS_LISTENED = 7  # after which a service says that a target is down: 30 s, and a bit
MEMBERS = with_heartbeats(make_members(4), NODE, every_seconds=EVERY_SECONDS)


class HeartbeatWorld(World):
    """A world with a machine that nobody can reach. It posts beats to operators."""

    def sign(self, *, time: float | None = None, key: str = NODE) -> dict[str, Any]:
        """A beat of the machine, as it is sent."""
        beat = Beat(NODE, round(1000 * (self.clock.now if time is None else time)))
        return SignedBeat.sign(beat, secret(key), self.committee.network_id).to_json()

    def beat(self, operator: str = "operator_1", body: dict[str, Any] | None = None) -> Any:
        """Post a beat to one operator, by default a fresh one."""
        return self.post(operator, "/beats", self.sign() if body is None else body)

    def run_beating(self, rounds: int, *operators: str) -> None:
        """Run rounds, with a beat before each of them to the operators in turn."""
        for number in range(rounds):
            assert self.beat((operators or ("operator_1",))[number % len(operators or "1")]).ok
            self.run(1)

    def status(self, operator: str = "operator_1") -> str:
        return self.statuses(operator)[NODE]

    def moves(self) -> list[str]:
        """The certified statuses of the machine, oldest first; all logs agree."""
        stories = [self.story(name, NODE) for name in self.operators]
        assert all(story == stories[0] for story in stories)
        return [status for status, _ in stories[0]]

    def answers(self) -> set[str]:
        """What operators answered to the newest claim about the machine."""
        recent = self.components("aggregator_0").monitor.recent
        newest = [
            each
            for record in recent
            for each in record.attestation_rounds
            if isinstance(each.claim, StatusClaim) and each.claim.node_id == NODE
        ][-1]
        return {newest.outcome_of(name) for name in newest.asked}

    def book(self, name: str) -> BeatBook:
        found: BeatBook = self.components(name).beats
        return found

    def shown(self, operator: str) -> dict[str, Any]:
        """The machine as `GET /nodes` of an operator shows it."""
        nodes = self.get(operator, "/nodes").json()["nodes"]
        return next(node for node in nodes if node["node_id"] == NODE)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """Files of a fleet in which all nodes are certified up, and the time then."""
    folder = tmp_path_factory.mktemp("heartbeats")
    with HeartbeatWorld(folder, MEMBERS) as made:
        made.run_beating(2)
        return folder, made.clock.now


@pytest.fixture
def world(tmp_path: Path, certified: tuple[Path, float]) -> Iterator[HeartbeatWorld]:
    """A fleet that continues from there, with services that have just been started."""
    folder, now = certified
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    with HeartbeatWorld(tmp_path, MEMBERS, now=now) as made:
        made.settle()
        yield made


# Up and down


def test_a_machine_whose_beats_come_is_certified_up(world: HeartbeatWorld) -> None:
    world.run_beating(ROUNDS_LISTENED + 2)

    assert world.moves() == ["up"]


def test_beats_that_stop_and_come_back_are_certified_down_and_up(world: HeartbeatWorld) -> None:
    world.run_beating(ROUNDS_LISTENED)
    stopped = world.clock.now
    world.run(EVERY_SECONDS // 5 - 1)
    assert world.moves() == ["up"]

    world.run(2)

    [_, (status, number)] = world.story("operator_1", NODE)
    since = world.committee.rounds.start(number) - stopped
    assert status == "down"
    assert EVERY_SECONDS - 5 <= since <= EVERY_SECONDS + 5
    world.run_beating(1)
    assert world.moves() == ["up", "down", "up"]


def test_a_beat_to_one_operator_reaches_all_others_and_the_aggregator(
    world: HeartbeatWorld,
) -> None:
    world.beat("operator_3")

    sources = {name: world.book(name).newest(NODE).passed_on_by for name in world.with_a_log()}
    assert sources == {
        "operator_1": "operator_3",
        "operator_2": "operator_3",
        "operator_3": "",
        "operator_4": "operator_3",
        "aggregator_0": "operator_3",
    }


def test_a_beat_is_passed_on_once_and_goes_in_no_circles(world: HeartbeatWorld) -> None:
    beat = world.sign()
    world.wires.calls.clear()

    for operator in (*world.operators, *world.operators):
        assert world.beat(operator, beat).ok

    passed_on = [url for _, url in world.wires.calls if url.endswith("/beats")]
    direct, members = 2 * 4, 4  # other operators and the aggregator
    assert len(passed_on) == direct + 4 * members


def test_one_operator_that_passes_nothing_on_changes_nothing(world: HeartbeatWorld) -> None:
    """The machine sends its next beat to another operator."""
    members = [name for name in world.with_a_log() if name != "operator_1"]
    world.cuts |= {("operator_1", name) for name in members}

    world.run_beating(ROUNDS_LISTENED + 2, "operator_1", "operator_2")

    assert world.statuses("operator_2")[NODE] == "up"


def test_an_operator_that_receives_no_beats_is_outvoted(world: HeartbeatWorld) -> None:
    deaf = "operator_4"
    world.cuts |= {(name, deaf) for name in world.operators}
    world.run_beating(ROUNDS_LISTENED + 2)
    assert world.status("operator_1") == "up"

    world.run(6)

    assert world.status("operator_1") == "down"


def test_an_aggregator_that_receives_no_beats_certifies_nothing(world: HeartbeatWorld) -> None:
    world.cuts |= {(name, "aggregator_0") for name in world.operators}

    world.run_beating(ROUNDS_LISTENED + 2)

    assert world.moves() == ["up"]
    assert world.answers() == {"sees_up"}


def test_several_looks_are_needed_if_the_committee_file_says_so(tmp_path: Path) -> None:
    [target] = MEMBERS.committee.targets
    patient = replace(MEMBERS.committee, targets=(replace(target, suspect_after=3),))
    with HeartbeatWorld(tmp_path, Members(patient, MEMBERS.secrets)) as made:
        made.run_beating(ROUNDS_LISTENED)
        stopped = made.clock.now
        made.run(9)

        [_, (status, number)] = made.story("operator_1", NODE)
        assert status == "down"
        assert made.committee.rounds.start(number) - stopped >= EVERY_SECONDS + 5


# Starts


def test_a_machine_without_any_beat_is_unknown_and_then_down(tmp_path: Path) -> None:
    with HeartbeatWorld(tmp_path, MEMBERS) as made:
        made.run(ROUNDS_LISTENED - 1)
        assert made.status() == "unknown"

        made.run(2)

        assert made.status() == "down"


def test_services_that_have_just_started_say_nothing(world: HeartbeatWorld) -> None:
    """All of them were restarted, and the machine beats slowly."""
    world.run(3)
    record = world.get("aggregator_0", "/rounds?limit=1").json()["rounds"][0]
    reasons = {probe["reason"] for probe in record["probes"] if probe["node_id"] == NODE}

    assert reasons == {"not_heard_yet"}
    assert world.moves() == ["up"]


def test_a_machine_that_stops_while_services_restart_is_down_later(world: HeartbeatWorld) -> None:
    world.run(ROUNDS_LISTENED - 1)
    assert world.status() == "up"

    world.run(2)

    assert world.status() == "down"


def test_a_restarted_operator_does_not_sign_that_the_machine_is_down(
    world: HeartbeatWorld,
) -> None:
    """It has missed beats, so it cannot know. The aggregator has received none either."""
    world.cuts |= {(name, "aggregator_0") for name in world.operators}
    world.run_beating(ROUNDS_LISTENED)
    for name in ("operator_2", "operator_3"):
        world.restart(name)
    world.cuts |= {(name, each) for name in world.operators for each in world.operators}

    world.run(6)

    assert "too_few_looks" in world.answers()
    assert world.moves() == ["up"]


# Handovers


def test_a_handover_changes_nothing_for_the_machine(world: HeartbeatWorld) -> None:
    """Its beats name the network, and not the committee. A target that is added is unknown."""
    world.run_beating(2)
    network_id = world.committee.network_id
    targets = with_heartbeats(world.members, "sensor_2").committee.targets
    following = propose(world, targets=targets)
    world.run_beating(4)
    world.take_seats(following)

    world.run_beating(4)

    assert world.components("operator_1").log.committee == following.committee
    assert world.committee.network_id == network_id
    assert world.moves() == ["up"]
    assert world.statuses("operator_1")["sensor_2"] == "unknown"  # not listened for long enough
    world.run_beating(8)
    assert world.statuses("operator_1") == {
        **dict.fromkeys(world.committee.urls, "up"),
        "sensor_2": "down",
    }


# Attacks


def test_a_stolen_beat_does_not_keep_a_dead_machine_up(world: HeartbeatWorld) -> None:
    world.run_beating(ROUNDS_LISTENED)
    stolen = world.sign()
    world.beat("operator_1", stolen)

    for _ in range(6):
        for operator in world.operators:
            world.beat(operator, stolen)
        world.run(1)

    assert world.moves() == ["up", "down"]
    world.clock.sleep(1)
    assert world.beat("operator_1", stolen).json()["title"] == "beat_too_old"


def test_a_withheld_beat_keeps_a_dead_machine_up_for_half_a_minute_at_most(
    world: HeartbeatWorld,
) -> None:
    """Somebody between the machine and the operators keeps its last beats back."""
    world.run_beating(ROUNDS_LISTENED)
    died = world.clock.now
    withheld = [world.sign(time=died + offset / 10) for offset in range(10)]

    for beat in withheld:
        world.beat("operator_2", beat)
        world.run(1)
    world.run(3)

    [_, (status, number)] = world.story("operator_1", NODE)
    assert status == "down"
    assert world.committee.rounds.start(number) - died <= 30 + EVERY_SECONDS + 5


def test_forged_beats_do_not_keep_a_dead_machine_up(world: HeartbeatWorld) -> None:
    world.run_beating(ROUNDS_LISTENED)

    for _ in range(6):
        for operator in world.operators:
            answer = world.beat(operator, world.sign(key="operator_1"))
            assert answer.json()["title"] == "bad_signature"
        world.run(1)

    assert world.moves() == ["up", "down"]


def test_forged_beats_do_not_keep_a_living_machine_down(world: HeartbeatWorld) -> None:
    for _ in range(ROUNDS_LISTENED + 2):
        for ahead in range(20):
            world.beat("operator_1", world.sign(time=world.clock.now + ahead, key="operator_1"))
        world.run_beating(1)

    assert world.moves() == ["up"]


def test_one_operator_alone_cannot_keep_a_dead_machine_up(world: HeartbeatWorld) -> None:
    """It can only pass on beats that the machine has signed."""
    world.run_beating(ROUNDS_LISTENED)
    old = world.sign()
    world.beat("operator_1", old)

    for _ in range(6):
        world.post("operator_2", "/beats", {**old, "passed_on_by": "operator_1"})
        world.clock.sleep(1)
        forged = {**world.sign(key="operator_1"), "passed_on_by": "operator_1"}
        assert world.post("operator_2", "/beats", forged).status_code == 422
        world.run(1)

    assert world.moves() == ["up", "down"]


# What is answered and shown


def test_a_beat_is_answered_with_the_offset_of_the_clock(world: HeartbeatWorld) -> None:
    beat = world.sign(time=world.clock.now - 2.5)

    answers = [world.beat("operator_1", beat).json() for _ in range(2)]

    assert answers == [
        {"new": True, "offset_ms": -2500, "every_seconds": EVERY_SECONDS},
        {"new": False, "offset_ms": -2500, "every_seconds": EVERY_SECONDS},
    ]


REFUSALS: Final[dict[str, tuple[int, dict[str, Any]]]] = {
    "unknown_node": (404, {"node_id": "sensor_9"}),
    "not_heartbeat_target": (409, {"node_id": "operator_1"}),
    "unknown_signer": (422, {"passed_on_by": "operator_9"}),
    "beat_too_old": (409, {"time_ms": 0}),
    "beat_too_early": (409, {"time_ms": 2**53 - 1}),
    "invalid_signature": (422, {"signature": f"0x{bytes(96).hex()}"}),
    "invalid_hex": (400, {"signature": "0x"}),
    "unknown_member": (400, {"more": 1}),
}


def test_every_refusal_has_its_name(world: HeartbeatWorld) -> None:
    for title, (status, change) in REFUSALS.items():
        answer = world.beat("operator_1", {**world.sign(), **change})

        assert (answer.json()["title"], answer.status_code) == (title, status)


def test_a_wrong_clock_is_refused_with_its_offset(world: HeartbeatWorld) -> None:
    answer = world.beat("operator_1", world.sign(time=world.clock.now + 95)).json()

    assert answer["title"] == "beat_too_early"
    assert (answer["offset_ms"], answer["max_offset_ms"]) == (95_000, 30_000)


def test_a_machine_sends_its_beats_to_operators_only(world: HeartbeatWorld) -> None:
    answer = world.post("aggregator_0", "/beats", world.sign()).json()

    assert answer["title"] == "missing_member"
    assert "a target sends its beats to an operator" in answer["detail"]


def test_nodes_show_the_newest_beat(world: HeartbeatWorld) -> None:
    assert world.shown("operator_2")["beat"] is None
    world.beat("operator_1", world.sign(time=world.clock.now - 1))
    world.clock.sleep(3)

    assert world.shown("operator_1")["beat"] == {
        "age_seconds": 3,
        "clock_offset_ms": -1000,
        "passed_on_by": None,
    }
    assert world.shown("operator_2")["beat"]["passed_on_by"] == "operator_1"
    assert world.shown("operator_1")["signed"] is True
    nodes = world.get("operator_1", "/nodes").json()["nodes"]
    assert [node["beat"] for node in nodes if node["node_id"] == "operator_1"] == [None]


def test_rounds_show_the_age_of_the_newest_beat(world: HeartbeatWorld) -> None:
    world.run_beating(1, "operator_2")

    record = world.get("aggregator_0", "/rounds?limit=1").json()["rounds"][0]

    [probe] = [each for each in record["probes"] if each["node_id"] == NODE]
    assert (probe["seen"], probe["reason"]) == ("up", "answered")
    assert probe["beat"]["passed_on_by"] == "operator_2"


def test_metrics_count_beats_and_show_their_age(world: HeartbeatWorld) -> None:
    beat = world.sign()
    world.beat("operator_1", beat)
    world.beat("operator_1", beat)
    world.clock.sleep(1)
    world.beat("operator_1", world.sign(key="operator_1"))
    world.clock.sleep(3)

    text = world.get("operator_1", "/metrics").text

    assert 'datadragon_beats_total{result="new"} 1.0' in text
    assert 'datadragon_beats_total{result="known"} 1.0' in text
    assert 'datadragon_beats_total{result="bad_signature"} 1.0' in text
    assert 'datadragon_beats_passed_on_total{result="delivered"} 4.0' in text
    assert f'datadragon_beat_age_seconds{{node_id="{NODE}"}} 4.0' in text
