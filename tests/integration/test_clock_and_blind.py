"""When operators abstain: wrong clocks, lying peers, operators that are cut off.

An operator's clock is wrong if at least f + 1 of its peers, and most of those that answer, show an
offset to the same side. It is blind if fewer operators than a quorum are visible, itself included.
Both are reasons to abstain, and never reasons to declare a node down.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from committees import Members, make_members
from dragon.encoding import canonical, from_hex, to_hex
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.messages import StatusAnswer
from dragon_aggregator.certifier import AttestationRound
from simulation import World
from wsgi import WsgiApp

FOUR, SEVEN = make_members(4), make_members(7)  # f = 1 and f = 2
ROUNDS = 3  # rounds until all operators are certified up
CLOCK = "clock: more than 2 s off according to the peers"
BLIND = "blind: too few peers answer for a quorum"


class LyingWorld(World):
    """A world in which operators may lie about the time, and in which links can be cut."""

    def lie(self, name: str, seconds: float) -> None:
        """From now on `name` signs a time that is off by `seconds`. Otherwise it is honest."""
        genuine = self.app_of(name)

        def lying(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            if environ["PATH_INFO"] != "/status":
                return genuine(environ, start)
            [nonce] = parse_qs(environ["QUERY_STRING"])["nonce"]
            time_ms = round(1000 * (self.clock.now + seconds))
            told = StatusAnswer(name, Status.UP, time_ms, from_hex(nonce, member="nonce", size=16))
            signature = self.members.secrets[name].sign(told.root(self.committee.id))
            start("200 OK", [("Content-Type", "application/json")])
            return [canonical({**told.members(), "signature": to_hex(signature)})]

        self.impersonate(name, lying)

    def app_of(self, name: str) -> WsgiApp:
        """The app that answers at the address of `name`."""
        host = next(host for host, known in self.names.items() if known == name)
        return self.wires.app(host)

    def cut(self, one: str, *others: str) -> None:
        """Cut the link from `one` to others, but not the way back."""
        self.cuts |= {(one, other) for other in others}

    def split(self, *sides: Iterable[str]) -> None:
        """Cut all links between the sides. All services still reach the sequencer."""
        for side in map(set, sides):
            elsewhere = {name for other in sides for name in other} - side
            for name in side:
                self.cut(name, *elsewhere)

    def said(self, operator: str, node_id: str) -> str:
        """The operator's answer in the newest attestation round about a node."""
        return self.attestation_round(node_id).outcome_of(operator)

    def attestation_round(self, node_id: str) -> AttestationRound:
        """The newest attestation round about a node."""
        recent = self.components("aggregator_0").monitor.recent
        made = [each for record in recent for each in record.attestation_rounds]
        return next(
            each
            for each in reversed(made)
            if isinstance(each.claim, StatusClaim) and each.claim.node_id == node_id
        )

    def ask(self, operator: str, node_id: str, status: Status) -> str:
        """Request an attestation of this round. Return "signed" or the refusal reason."""
        rounds = self.committee.rounds
        claim = StatusClaim(node_id, status, rounds.start(rounds.number(self.clock.now)))
        answer = self.post(operator, "/attestations", claim.to_json())
        return "signed" if answer.status_code == 200 else str(answer.json()["reason"])

    def reasons(self, name: str) -> list[str]:
        """The reasons why `name` is not ready."""
        return list(self.get(name, "/readyz").json()["reasons"])

    def probe(self) -> None:
        """Let every operator probe its peers, as it does once a round."""
        for name in self.operators:
            self.components(name).peers.probe()

    def are_all_up(self) -> bool:
        wanted = dict.fromkeys(self.committee.urls, "up")
        return all(self.statuses(name) == wanted for name in self.operators)


def made_certified(folder: Path, members: Members) -> Path:
    with LyingWorld(folder, members) as made:
        made.run(ROUNDS)
    return folder


def go_on(certified: Path, folder: Path, members: Members) -> Iterator[LyingWorld]:
    shutil.copytree(certified, folder, dirs_exist_ok=True)
    with LyingWorld(folder, members) as made:
        made.clock.sleep((ROUNDS - 0.5) * made.committee.rounds.seconds)
        made.settle()
        yield made


@pytest.fixture(scope="module")
def four_certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_certified(tmp_path_factory.mktemp("four"), FOUR)


@pytest.fixture(scope="module")
def seven_certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_certified(tmp_path_factory.mktemp("seven"), SEVEN)


@pytest.fixture
def four(tmp_path: Path, four_certified: Path) -> Iterator[LyingWorld]:
    """Four operators, all certified up. One may be faulty."""
    yield from go_on(four_certified, tmp_path, FOUR)


@pytest.fixture
def seven(tmp_path: Path, seven_certified: Path) -> Iterator[LyingWorld]:
    """Seven operators, all certified up. Two may be faulty."""
    yield from go_on(seven_certified, tmp_path, SEVEN)


# One wrong clock


@pytest.mark.parametrize(
    ("operator", "off"),
    [("operator_1", 3.0), ("operator_2", -3.0), ("operator_3", 3.0), ("operator_4", -3.0)],
)
def test_an_operator_with_a_wrong_clock_abstains_and_the_others_go_on(
    four: LyingWorld, operator: str, off: float
) -> None:
    """The other three certify its outage and its return."""
    four.offsets[operator] = off
    four.run(1)
    assert four.reasons(operator) == [CLOCK]

    four.stop(operator)
    four.run(1)
    others = [name for name in four.operators if name != operator]
    assert [four.statuses(name)[operator] for name in others] == ["down"] * 3
    four.resume(operator)
    four.run(1)

    assert four.are_all_up()
    assert operator not in four.entries(operator)[-1].event.signers


@pytest.mark.parametrize(("off", "reason"), [(3.0, "clock"), (-3.0, "off_round")])
def test_an_operator_with_a_wrong_clock_refuses_with_a_reason(
    four: LyingWorld, off: float, reason: str
) -> None:
    """By a slow clock, the round cannot be signed yet."""
    four.offsets["operator_1"] = off
    four.run(1)
    four.stop("operator_2")

    four.run(1)

    assert four.said("operator_1", "operator_2") == reason
    assert four.said("operator_3", "operator_2") == "signed"


def test_four_operators_do_not_tolerate_a_wrong_clock_and_an_outage(
    four: LyingWorld,
) -> None:
    four.offsets["operator_1"] = 3.0
    four.run(1)
    four.stop("operator_2")

    four.run(3)

    assert four.statuses("operator_3")["operator_2"] == "up"
    assert four.attestation_round("operator_2").certificate is None


def test_seven_operators_tolerate_a_wrong_clock_and_an_outage(seven: LyingWorld) -> None:
    seven.offsets["operator_1"] = -3.0
    seven.run(1)
    seven.stop("operator_2")

    seven.run(1)

    assert seven.statuses("operator_3")["operator_2"] == "down"
    assert "operator_1" not in seven.entries("operator_3")[-1].event.signers


def test_an_operator_with_a_wrong_clock_still_answers_and_keeps_its_log(four: LyingWorld) -> None:
    """Abstaining is not an outage."""
    four.offsets["operator_1"] = 30.0

    four.run(3)

    assert four.are_all_up()
    assert four.get("operator_1", "/status").status_code == 200
    assert four.entries("operator_1") == four.entries("operator_2")


def test_an_operator_signs_and_is_ready_once_its_clock_is_right_again(four: LyingWorld) -> None:
    four.offsets["operator_1"] = 3.0
    four.run(1)
    four.stop("operator_2")
    four.run(1)
    assert four.statuses("operator_3")["operator_2"] == "up"

    four.offsets.clear()
    four.run(2)

    assert four.statuses("operator_3")["operator_2"] == "down"
    assert "operator_1" in four.entries("operator_3")[-1].event.signers
    assert four.reasons("operator_1") == []


def test_old_probes_of_peers_are_no_evidence_about_the_clock(four: LyingWorld) -> None:
    """Probes that are more than three rounds old are ignored."""
    four.offsets["operator_1"] = 3.0
    four.run(1)
    assert four.components("operator_1").peers.clock_is_wrong()

    four.clock.sleep(4 * four.committee.rounds.seconds)

    assert not four.components("operator_1").peers.clock_is_wrong()


@pytest.mark.parametrize(("off", "reasons"), [(2.0, []), (-2.1, [CLOCK])])
def test_a_clock_is_wrong_beyond_two_seconds(
    four: LyingWorld, off: float, reasons: list[str]
) -> None:
    four.offsets["operator_1"] = off

    four.probe()

    assert four.reasons("operator_1") == reasons


# Two wrong clocks


def test_two_wrong_clocks_of_seven_silence_no_other_operator(seven: LyingWorld) -> None:
    seven.offsets |= {"operator_1": 3.0, "operator_2": 3.0}
    seven.run(1)
    seven.stop("operator_1")

    seven.run(1)

    assert [CLOCK in seven.reasons(name) for name in seven.operators[1:]] == [True] + [False] * 5
    assert seven.statuses("operator_3")["operator_1"] == "down"


def test_two_clocks_of_four_wrong_to_the_same_side_silence_all(four: LyingWorld) -> None:
    """Two are more than f: to the right clocks, most peers seem off. Nothing is certified."""
    four.offsets |= {"operator_1": 3.0, "operator_2": 3.0}
    four.run(1)
    assert [four.reasons(name) for name in four.operators] == [[CLOCK]] * 4
    four.stop("operator_4")

    four.run(2)

    assert four.ask("operator_3", "operator_4", Status.DOWN) == "clock"
    assert four.are_all_up()


def test_two_clocks_of_four_wrong_to_opposite_sides_silence_only_themselves(
    four: LyingWorld,
) -> None:
    four.offsets |= {"operator_1": 3.0, "operator_2": -3.0}

    four.probe()

    assert [four.reasons(name) for name in four.operators] == [[CLOCK], [CLOCK], [], []]


def test_changes_are_certified_once_two_clocks_are_right_again(four: LyingWorld) -> None:
    four.offsets |= {"operator_1": 3.0, "operator_2": 3.0}
    four.run(1)
    four.stop("operator_2")
    four.run(2)

    four.offsets.clear()
    four.run(2)
    assert four.statuses("operator_1")["operator_2"] == "down"
    four.resume("operator_2")
    four.run(2)

    assert four.are_all_up()


# The aggregator's clock


@pytest.mark.parametrize("off", [3.0, -3.0])
def test_an_aggregator_with_a_wrong_clock_abstains_and_says_so(
    four: LyingWorld, off: float
) -> None:
    four.offsets["aggregator_0"] = off
    four.stop("operator_2")

    four.run(2)

    record = four.get("aggregator_0", "/rounds?limit=1").json()["rounds"][0]
    assert record["note"] == "abstains: this clock is more than 2 s off according to the operators"
    assert record["gatherings"] == []
    assert "clock: more than 2 s off according to the operators" in four.reasons("aggregator_0")
    assert four.statuses("operator_1")["operator_2"] == "up"


def test_an_aggregator_with_a_wrong_clock_ignores_suspicions(four: LyingWorld) -> None:
    four.offsets["aggregator_0"] = 3.0
    four.stop("operator_2")
    four.run(1)
    rounds = four.committee.rounds
    four.clock.now = rounds.start(rounds.number(four.clock.now) + 1) + 1.0

    reported = four.post("operator_1", "/reports", {"node_id": "operator_2", "status": "down"})
    four.settle()

    assert reported.status_code == 202
    assert four.statuses("operator_1")["operator_2"] == "up"


def test_an_outage_is_certified_once_the_aggregators_clock_is_right_again(four: LyingWorld) -> None:
    four.offsets["aggregator_0"] = 3.0
    four.stop("operator_2")
    four.run(2)

    four.offsets.clear()
    four.run(1)

    assert four.statuses("operator_1")["operator_2"] == "down"
    assert four.reasons("aggregator_0") == []


@pytest.mark.parametrize("off", [1.9, -1.9])
def test_an_aggregator_with_a_smaller_clock_offset_goes_on(four: LyingWorld, off: float) -> None:
    four.offsets["aggregator_0"] = off
    four.stop("operator_2")

    four.run(1)

    assert four.statuses("operator_1")["operator_2"] == "down"


def test_a_second_aggregator_goes_on_while_the_first_abstains(tmp_path: Path) -> None:
    with LyingWorld(tmp_path, make_members(4, aggregators=2)) as both:
        both.run(2)
        assert both.are_all_up()
        both.offsets["aggregator_0"] = 3.0
        both.stop("operator_2")

        both.run(3)

        assert both.statuses("operator_1")["operator_2"] == "down"


def test_two_of_four_operators_that_lie_about_the_time_do_not_stop_the_aggregator(
    four: LyingWorld,
) -> None:
    for liar in ("operator_3", "operator_4"):
        four.lie(liar, 10.0)

    four.run(1)

    assert four.components("aggregator_0").monitor.recent[-1].note == ""


# The sequencer's clock, which gives the logs their time


@pytest.mark.parametrize("off", [10.0, -10.0])
def test_a_ledger_clock_that_is_ten_seconds_off_does_no_harm(four: LyingWorld, off: float) -> None:
    four.offsets["sequencer"] = off
    four.run(4)  # its time never goes back, so the wall clock must catch up first
    four.stop("operator_2")

    four.run(1)

    assert four.statuses("operator_1")["operator_2"] == "down"
    assert four.components("operator_1").log.refusals() == {}


@pytest.mark.parametrize("offset", [90.0, -90.0, 1e6, -1e6])
def test_a_wrong_ledger_clock_changes_nothing(tmp_path: Path, offset: float) -> None:
    with LyingWorld(tmp_path, FOUR) as sky:
        sky.offsets["sequencer"] = offset
        sky.run(3)
        assert sky.are_all_up()
        sky.stop("operator_2")
        sky.run(1)
        assert sky.statuses("operator_1")["operator_2"] == "down"

        sky.offsets["sequencer"] = -offset
        sky.resume("operator_2")
        sky.run(1)

        assert sky.are_all_up()
        assert sky.components("operator_1").log.refusals() == {}


# Clocks after a start


UNCONFIRMED = "clock: not confirmed by 2 peers yet"
HOUR = 3600.0


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[LyingWorld]:
    """Four operators with empty logs."""
    with LyingWorld(tmp_path, FOUR) as made:
        yield made


def ask_ahead(world: LyingWorld, operator: str, ahead: float, status: Status = Status.UP) -> str:
    """Request an attestation of operator_2 for the round that begins `ahead` s later."""
    rounds = world.committee.rounds
    claim = StatusClaim("operator_2", status, rounds.start(rounds.number(world.clock.now + ahead)))
    answer = world.post(operator, "/attestations", claim.to_json())
    return "signed" if answer.status_code == 200 else str(answer.json()["reason"])


@pytest.mark.parametrize("off", [HOUR, -HOUR, 2.5])
def test_an_operator_that_starts_with_a_wrong_clock_signs_nothing(
    fresh: LyingWorld, off: float
) -> None:
    """Not even for the rounds that are current by its clock."""
    fresh.clock.now += 2 * HOUR
    fresh.cut("operator_1", "*")  # it cannot ask its peers yet
    fresh.offsets["operator_1"] = off
    fresh.restart("operator_1")

    assert ask_ahead(fresh, "operator_1", off) == "clock"
    assert UNCONFIRMED in fresh.reasons("operator_1")

    fresh.cuts.clear()
    fresh.confirm_clocks()

    assert ask_ahead(fresh, "operator_1", off) == "clock"
    assert CLOCK in fresh.reasons("operator_1")


def test_an_operator_signs_the_present_once_its_clock_was_set(fresh: LyingWorld) -> None:
    """No restart is needed: it asks its peers until they confirm the clock."""
    fresh.offsets["operator_1"] = HOUR
    fresh.restart("operator_1")
    assert ask_ahead(fresh, "operator_1", HOUR) == "clock"

    fresh.offsets.clear()
    fresh.run(2)

    assert fresh.reasons("operator_1") == []
    assert fresh.are_all_up()
    assert "operator_1" in fresh.entries("operator_2")[-1].event.signers


@pytest.mark.parametrize("off", [HOUR, 2.5, -2.5])
def test_a_clock_that_is_set_has_to_be_confirmed_again(four: LyingWorld, off: float) -> None:
    """Also if the machine was suspended. It is noticed before any peer is probed."""
    assert four.reasons("operator_1") == []

    four.offsets["operator_1"] = off

    assert any(reason.startswith("clock: ") for reason in four.reasons("operator_1"))
    four.stop("operator_2")
    assert ask_ahead(four, "operator_1", off, Status.DOWN) == "clock"


def test_a_clock_that_peers_saw_wrong_is_not_confirmed_by_their_old_answers(
    four: LyingWorld,
) -> None:
    """Its clock was slowly moved, and its peers do not answer any more."""
    for peer in ("operator_2", "operator_3", "operator_4"):
        four.offsets[peer] = -3.0  # as seen by operator_1, the same as its own clock 3 s ahead
    four.components("operator_1").peers.probe()
    four.cut("operator_1", "*")
    four.clock.sleep(4 * four.committee.rounds.seconds)

    assert not four.components("operator_1").peers.clock_is_wrong()
    assert UNCONFIRMED in four.reasons("operator_1")


def test_a_confirmation_ends_after_an_hour_without_peers(four: LyingWorld) -> None:
    four.cut("operator_1", "*")
    four.clock.sleep(HOUR - 60)
    assert UNCONFIRMED not in four.reasons("operator_1")

    four.clock.sleep(60)

    assert UNCONFIRMED in four.reasons("operator_1")


def test_liars_alone_confirm_no_wrong_clock(tmp_path: Path) -> None:
    """Two of seven confirm it; it takes three. The other four cannot be reached."""
    with LyingWorld(tmp_path, SEVEN) as world:
        world.lie("operator_6", HOUR)
        world.lie("operator_7", HOUR)
        world.cut("operator_1", *world.operators[1:5])
        world.offsets["operator_1"] = HOUR

        world.restart("operator_1")

        assert ask_ahead(world, "operator_1", HOUR) == "clock"
        assert "clock: not confirmed by 3 peers yet" in world.reasons("operator_1")


def test_an_operator_with_f_plus_one_peers_is_confirmed(fresh: LyingWorld) -> None:
    fresh.cut("operator_1", "operator_4")
    fresh.restart("operator_1")
    fresh.settle()

    assert ask_ahead(fresh, "operator_1", 0) == "signed"

    fresh.cut("operator_1", "operator_3")
    fresh.restart("operator_1")

    assert ask_ahead(fresh, "operator_1", 0) == "signed"  # the decision of this round is repeated
    fresh.clock.sleep(fresh.committee.rounds.seconds)
    assert ask_ahead(fresh, "operator_1", 0) == "clock"


@pytest.mark.parametrize("operators", [1, 2, 3])
def test_small_committees_certify_from_the_first_round(tmp_path: Path, operators: int) -> None:
    """One operator alone has no peer that could confirm its clock."""
    with LyingWorld(tmp_path, make_members(operators)) as world:
        world.run(3)

        assert world.are_all_up()
        assert [world.reasons(name) for name in world.operators] == [[]] * operators


def test_operators_that_start_one_after_the_other_do_not_wait_for_each_other(
    fresh: LyingWorld,
) -> None:
    """Status answers need no confirmed clock, so unconfirmed operators confirm each other."""
    for name in fresh.operators:
        fresh.crash(name)
    for name in fresh.operators:
        fresh.start(name)

    assert fresh.reasons("operator_4")[:1] != [UNCONFIRMED]
    fresh.run(2)

    assert fresh.are_all_up()
    assert [fresh.reasons(name) for name in fresh.operators] == [[]] * 4


class Waits(threading.Event):
    """Advances the world's clock for each wait; stops after a time."""

    def __init__(self, world: LyingWorld, seconds: float) -> None:
        super().__init__()
        self._clock, self._end = world.clock, world.clock.now + seconds
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        self._clock.sleep(timeout or 0.0)
        if self._clock.now >= self._end:
            self.set()
        return self.is_set()


def test_an_operator_probes_often_until_its_clock_is_confirmed(fresh: LyingWorld) -> None:
    fresh.cut("operator_1", "*")
    fresh.restart("operator_1")
    peers, stop = fresh.components("operator_1").peers, Waits(fresh, 20)

    peers.run(stop)
    assert stop.waits[:4] == [0.5, 1.0, 2.0, 2.0]
    fresh.cuts.clear()
    begun, again = fresh.clock.now, Waits(fresh, 5)
    peers.run(again)

    assert peers.clock_is_confirmed()
    assert max(again.waits) <= 1.0
    assert fresh.clock.now - begun >= 5


def test_an_operator_in_rounds_of_an_hour_is_blind_for_seconds_only(tmp_path: Path) -> None:
    """Not until the middle of the next round: peers that restart are no outage of an hour."""
    with LyingWorld(tmp_path, make_members(4, round_seconds=3600), verify_at_end=False) as world:
        world.clock.sleep(7 * HOUR)
        world.confirm_clocks(again=True)
        peers = world.components("operator_1").peers
        world.stop("operator_2")
        world.stop("operator_3")
        world.probe()
        assert BLIND in world.reasons("operator_1")

        world.resume("operator_2")
        world.resume("operator_3")
        peers.run(Waits(world, 5))

        assert BLIND not in world.reasons("operator_1")


def test_a_wrong_clock_of_others_is_forgotten_within_seconds(tmp_path: Path) -> None:
    """Four of nine peers confirm the clock, and five had a wrong one."""
    members = make_members(10, round_seconds=3600)
    with LyingWorld(tmp_path, members, verify_at_end=False) as world:
        for peer in world.operators[5:]:
            world.offsets[peer] = 60.0
        world.clock.sleep(2.0)
        stop = Waits(world, 5)
        wait = stop.wait

        def set_clocks_and_wait(timeout: float | None = None) -> bool:
            world.offsets.clear()
            return wait(timeout)

        assert CLOCK not in world.reasons("operator_1")
        stop.wait = set_clocks_and_wait  # type: ignore[method-assign]
        world.components("operator_1").peers.run(stop)

        assert len(stop.waits) > 1
        assert CLOCK not in world.reasons("operator_1")


# Signed rounds of the future


def test_a_signed_round_of_the_future_is_shown_and_does_not_stop_the_present(
    fresh: LyingWorld,
) -> None:
    """All clocks were an hour ahead, so the operators confirmed each other."""
    fresh.run(2)
    fresh.offsets |= dict.fromkeys([*fresh.operators, "aggregator_0"], HOUR)
    fresh.confirm_clocks()
    fresh.stop("operator_2")
    assert ask_ahead(fresh, "operator_1", HOUR, Status.DOWN) == "signed"
    rounds = fresh.committee.rounds
    future = rounds.start(rounds.number(fresh.clock.now + HOUR))

    fresh.offsets.clear()
    fresh.resume("operator_2")
    fresh.run(2)

    assert fresh.are_all_up()
    left = future - int(fresh.clock.now)
    assert fresh.reasons("operator_1") == [
        f"journal: a round that begins in {left} s is signed already; the clock was ahead then, "
        "or is behind now"
    ]
    shown = fresh.get("operator_1", "/metrics").text
    assert f"datadragon_journal_ahead_seconds {left}.0" in shown
    assert "datadragon_clock_confirmed 1.0" in shown
    fresh.stop("operator_3")
    fresh.run(2)
    assert fresh.statuses("operator_1")["operator_3"] == "down"
    assert "operator_1" in fresh.entries("operator_2")[-1].event.signers


def test_when_a_signed_round_comes_only_its_decision_is_repeated(fresh: LyingWorld) -> None:
    fresh.offsets |= dict.fromkeys(fresh.operators, HOUR)
    fresh.confirm_clocks()
    fresh.stop("operator_2")
    fresh.clock.sleep(40)  # it must have been up for some time to report an unknown node
    assert ask_ahead(fresh, "operator_1", HOUR, Status.DOWN) == "signed"

    fresh.offsets.clear()
    fresh.resume("operator_2")
    fresh.clock.sleep(HOUR)
    fresh.confirm_clocks()

    assert ask_ahead(fresh, "operator_1", 0, Status.UP) == "equivocation"
    assert ask_ahead(fresh, "operator_1", 0, Status.DOWN) == "signed"
    fresh.clock.sleep(fresh.committee.rounds.seconds)
    assert ask_ahead(fresh, "operator_1", 0, Status.UP) == "signed"
    assert not any("journal" in reason for reason in fresh.reasons("operator_1"))


# Peers that lie


@pytest.mark.parametrize("lie", [2.5, -1e6])
def test_one_liar_of_four_silences_no_operator(four: LyingWorld, lie: float) -> None:
    four.lie("operator_4", lie)
    four.run(1)
    four.stop("operator_2")

    four.run(1)

    assert [four.reasons(name) for name in ("operator_1", "operator_3")] == [[], []]
    assert four.statuses("operator_1")["operator_2"] == "down"


def test_two_liars_of_seven_silence_no_operator(seven: LyingWorld) -> None:
    seven.lie("operator_6", 10.0)
    seven.lie("operator_7", 10.0)
    seven.run(1)
    seven.stop("operator_2")

    seven.run(1)

    assert [seven.reasons(f"operator_{i}") for i in (1, 3, 4, 5)] == [[]] * 4
    assert seven.statuses("operator_1")["operator_2"] == "down"


def test_two_liars_of_four_silence_the_honest_operators(four: LyingWorld) -> None:
    """Two are one more than f. They stop certification, but cannot certify anything."""
    four.lie("operator_3", 10.0)
    four.lie("operator_4", 10.0)
    four.run(1)
    four.stop("operator_2")

    four.run(1)

    assert four.ask("operator_1", "operator_2", Status.DOWN) == "clock"
    assert four.reasons("operator_1") == [CLOCK]
    assert "clock" in four.components("aggregator_0").monitor.recent[-1].note
    assert four.statuses("operator_1")["operator_2"] == "up"


def test_three_liars_of_seven_silence_the_honest_only_during_an_outage(seven: LyingWorld) -> None:
    """Three are one more than f, but only half of the peers that answer. It takes a majority."""
    for liar in ("operator_5", "operator_6", "operator_7"):
        seven.lie(liar, -10.0)
    seven.probe()
    assert seven.reasons("operator_1") == []

    seven.stop("operator_2")
    seven.clock.sleep(seven.committee.rounds.seconds)
    seven.probe()

    assert seven.reasons("operator_1") == [CLOCK]


def test_liars_to_opposite_sides_do_not_add_up(four: LyingWorld) -> None:
    four.lie("operator_3", 10.0)
    four.lie("operator_4", -10.0)

    four.probe()

    assert four.reasons("operator_1") == []


def test_a_liar_cannot_hide_an_operators_wrong_clock(four: LyingWorld) -> None:
    """The liar confirms the wrong clock, but two other peers do not."""
    four.offsets["operator_1"] = 3.0
    four.lie("operator_4", 3.0)

    four.probe()

    assert four.reasons("operator_1") == [CLOCK]


def test_changes_are_certified_once_the_liars_are_gone(four: LyingWorld) -> None:
    four.lie("operator_3", 10.0)
    four.lie("operator_4", 10.0)
    four.run(1)
    four.stop("operator_2")
    four.run(1)

    four.restart("operator_3")
    four.restart("operator_4")
    four.run(2)
    assert four.statuses("operator_1")["operator_2"] == "down"
    four.resume("operator_2")
    four.run(1)

    assert four.are_all_up()


def test_a_peer_that_one_operator_cannot_reach_is_not_certified_down(four: LyingWorld) -> None:
    four.cut("operator_1", "operator_4")
    four.run(1)

    reported = four.post("operator_1", "/reports", {"node_id": "operator_4", "status": "down"})
    four.settle()

    assert reported.status_code == 202
    assert four.said("operator_1", "operator_4") == "signed"
    assert {four.said(name, "operator_4") for name in ("operator_2", "operator_3")} == {"sees_up"}
    assert four.statuses("operator_1")["operator_4"] == "up"


def test_an_unreachable_peer_and_an_outage_make_an_operator_blind(
    four: LyingWorld,
) -> None:
    """These are two faults: with four operators nothing is certified."""
    four.cut("operator_1", "operator_4")
    four.stop("operator_2")

    four.run(1)

    assert four.said("operator_1", "operator_2") == "blind"
    assert four.said("operator_3", "operator_2") == "signed"
    assert four.statuses("operator_3")["operator_2"] == "up"


def test_a_peer_that_only_the_aggregator_cannot_reach_is_not_certified_down(
    four: LyingWorld,
) -> None:
    four.cut("aggregator_0", "operator_4")

    four.run(2)

    asked = ("operator_1", "operator_2", "operator_3")
    assert {four.said(name, "operator_4") for name in asked} == {"sees_up"}
    assert four.statuses("operator_1")["operator_4"] == "up"


def test_a_peer_that_only_the_aggregator_reaches_is_certified_down_after_a_report(
    four: LyingWorld,
) -> None:
    for name in ("operator_1", "operator_2", "operator_3"):
        four.cut(name, "operator_4")
    four.run(2)
    assert four.statuses("operator_1")["operator_4"] == "up"  # the aggregator sees no change

    four.post("operator_1", "/reports", {"node_id": "operator_4", "status": "down"})
    four.settle()

    assert four.statuses("operator_1")["operator_4"] == "down"


# Warnings about small offsets


class Once(threading.Event):
    """Stops a loop after its first pass."""

    def wait(self, timeout: float | None = None) -> bool:
        self.set()
        return True


@pytest.mark.parametrize(("off", "warned"), [(0.2, False), (0.201, True), (-0.201, True)])
def test_an_operator_warns_above_two_hundred_milliseconds_and_stays_ready(
    four: LyingWorld, caplog: pytest.LogCaptureFixture, off: float, warned: bool
) -> None:
    four.offsets["operator_1"] = off

    with caplog.at_level(logging.WARNING):
        four.components("operator_1").peers.run(Once())

    assert ("clock_offset" in caplog.text) is warned
    assert four.reasons("operator_1") == []


def test_one_wrong_peer_causes_no_warning(
    four: LyingWorld, caplog: pytest.LogCaptureFixture
) -> None:
    four.offsets["operator_4"] = 60.0

    with caplog.at_level(logging.WARNING):
        four.components("operator_1").peers.run(Once())

    assert "clock_offset" not in caplog.text


def test_the_aggregators_rounds_show_the_clock_offset_of_every_operator(four: LyingWorld) -> None:
    four.offsets["operator_3"] = 1.5
    four.lie("operator_4", -30.0)

    four.run(1)

    probes = four.get("aggregator_0", "/rounds?limit=1").json()["rounds"][0]["probes"]
    shown = {probe["node_id"]: probe["clock_offset_ms"] for probe in probes}
    assert shown == {"operator_1": 0, "operator_2": 0, "operator_3": 1500, "operator_4": -30_000}


# Blind


@pytest.mark.parametrize(
    ("reached", "answer"),
    [
        (("operator_3", "operator_4"), "signed"),
        (("operator_3",), "blind"),
        ((), "blind"),
    ],
)
def test_an_operator_signs_down_only_if_it_sees_a_quorum(
    four: LyingWorld, reached: tuple[str, ...], answer: str
) -> None:
    """The quorum is itself and two of the other three. The subject does not count."""
    four.stop("operator_2")
    four.cut("operator_1", *({"operator_3", "operator_4"} - set(reached)))

    assert four.ask("operator_1", "operator_2", Status.DOWN) == answer


def test_of_seven_operators_one_more_may_be_unreachable(seven: LyingWorld) -> None:
    seven.stop("operator_2")
    seven.cut("operator_1", "operator_7")
    seven.cut("operator_3", "operator_6", "operator_7")

    assert seven.ask("operator_1", "operator_2", Status.DOWN) == "signed"
    assert seven.ask("operator_3", "operator_2", Status.DOWN) == "blind"


def test_being_blind_is_shown_by_readiness_and_rounds(four: LyingWorld) -> None:
    four.cut("operator_1", "operator_3", "operator_4")
    four.stop("operator_2")

    four.run(1)

    assert four.reasons("operator_1") == [BLIND]
    [shown] = [
        shown
        for shown in four.get("aggregator_0", "/rounds?limit=1").json()["rounds"][0]["gatherings"]
        if shown["claim"].get("node_id") == "operator_2"
    ]
    answers = {given["operator"]: given["answer"] for given in shown["answers"]}
    assert answers["operator_1"] == "blind"
    assert shown["certified"] is False


def test_a_blind_operator_still_attests_what_it_sees_up(four: LyingWorld) -> None:
    """An answer is evidence that a node is up, however few other nodes answer."""
    four.stop("operator_4")
    four.run(1)
    assert four.statuses("operator_1")["operator_4"] == "down"
    four.cut("operator_1", "operator_2", "operator_3")
    four.resume("operator_4")

    four.run(1)

    assert four.said("operator_1", "operator_4") == "signed"
    assert four.statuses("operator_2")["operator_4"] == "up"


def test_an_operator_that_reaches_no_peer_signs_no_down(four: LyingWorld) -> None:
    four.cut("operator_1", "operator_2", "operator_3", "operator_4")

    said = {four.ask("operator_1", name, Status.DOWN) for name in four.operators[1:]}

    assert said == {"blind"}


def test_both_halves_of_a_split_committee_abstain_and_agree_afterwards(four: LyingWorld) -> None:
    four.split(["operator_1", "operator_2", "aggregator_0"], ["operator_3", "operator_4"])
    four.run(3)
    assert {four.said("operator_1", node) for node in ("operator_3", "operator_4")} == {"blind"}
    assert four.are_all_up()

    four.cuts.clear()
    four.run(2)

    assert [four.reasons(name) for name in four.operators] == [[]] * 4
    assert len({tuple(four.entries(name)) for name in four.operators}) == 1
    assert len(four.entries("operator_1")) == 4


def test_the_larger_part_of_a_split_committee_goes_on(four: LyingWorld) -> None:
    four.split(["operator_1", "operator_2", "operator_3", "aggregator_0"], ["operator_4"])
    four.run(1)
    assert four.statuses("operator_1")["operator_4"] == "down"
    four.probe()
    [unreachable, blind] = four.reasons("operator_4")
    assert unreachable.startswith("unreachable: certified down since")
    assert blind == BLIND

    four.cuts.clear()
    four.run(2)

    assert four.are_all_up()


def test_an_outage_is_certified_once_blind_operators_see_again(four: LyingWorld) -> None:
    four.cut("operator_1", "operator_3", "operator_4")
    four.stop("operator_2")
    four.run(2)
    assert four.statuses("operator_3")["operator_2"] == "up"

    four.cuts.clear()
    four.run(1)

    assert four.statuses("operator_3")["operator_2"] == "down"
    assert four.reasons("operator_1") == []
