"""Who abstains, and who cannot be made to: wrong clocks, lying peers, operators that are cut off.

An operator's clock is wrong if at least f + 1 of its peers, and most of those that answer, say so
to the same side. It is blind if itself and the peers that answer are fewer than a quorum. Both are
reasons to abstain, and never reasons to declare anybody down.
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
ROUNDS = 3  # after which all are certified up
CLOCK = "clock: more than 2 s off, by the peers"
BLIND = "blind: too few peers answer for a quorum"


class Sky(World):
    """A world whose operators may lie."""

    def lie(self, name: str, seconds: float) -> None:
        """From now on `name` signs a time that is not its own; else it does as all do."""
        genuine = self.face(name)

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

    def face(self, name: str) -> WsgiApp:
        """The app that answers at the address of `name`."""
        host = next(host for host, known in self.names.items() if known == name)
        return self.wires._apps[host]

    def cut(self, one: str, *others: str) -> None:
        """`one` does not reach these; the way back is open."""
        self.cuts |= {(one, other) for other in others}

    def split(self, *sides: Iterable[str]) -> None:
        """Nobody reaches anybody on another side; all reach the sequencer."""
        for side in map(set, sides):
            elsewhere = {name for other in sides for name in other} - side
            for name in side:
                self.cut(name, *elsewhere)

    def said(self, operator: str, node_id: str) -> str:
        """What that operator answered when last it was asked about that node."""
        return self.gathering(node_id).outcome_of(operator)

    def gathering(self, node_id: str) -> AttestationRound:
        """The newest about a node."""
        recent = self.own("aggregator_0").watch.recent
        made = [gathering for record in recent for gathering in record.gatherings]
        return next(
            gathering
            for gathering in reversed(made)
            if isinstance(gathering.claim, StatusClaim) and gathering.claim.node_id == node_id
        )

    def ask(self, operator: str, node_id: str, status: Status) -> str:
        """Ask for an attestation of this round; "signed", or the reason why not."""
        rounds = self.committee.rounds
        claim = StatusClaim(node_id, status, rounds.start(rounds.number(self.clock.now)))
        answer = self.post(operator, "/attestations", claim.to_json())
        return "signed" if answer.status_code == 200 else str(answer.json()["reason"])

    def reasons(self, name: str) -> list[str]:
        """Why `name` says that it is not ready."""
        return list(self.get(name, "/readyz").json()["reasons"])

    def probe(self) -> None:
        """Every operator looks at its peers, as it does once a round."""
        for name in self.operators:
            self.own(name).peers.probe()

    def are_all_up(self) -> bool:
        wanted = dict.fromkeys(self.committee.urls, "up")
        return all(self.statuses(name) == wanted for name in self.operators)


def made_certified(folder: Path, members: Members) -> Path:
    with Sky(folder, members) as made:
        made.run(ROUNDS)
    return folder


def go_on(certified: Path, folder: Path, members: Members) -> Iterator[Sky]:
    shutil.copytree(certified, folder, dirs_exist_ok=True)
    with Sky(folder, members) as made:
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
def four(tmp_path: Path, four_certified: Path) -> Iterator[Sky]:
    """Four operators, all certified up; one may be faulty."""
    yield from go_on(four_certified, tmp_path, FOUR)


@pytest.fixture
def seven(tmp_path: Path, seven_certified: Path) -> Iterator[Sky]:
    """Seven operators, all certified up; two may be faulty."""
    yield from go_on(seven_certified, tmp_path, SEVEN)


# One clock is wrong


@pytest.mark.parametrize(
    ("operator", "off"),
    [("operator_1", 3.0), ("operator_2", -3.0), ("operator_3", 3.0), ("operator_4", -3.0)],
)
def test_an_operator_whose_clock_is_wrong_abstains_and_the_others_go_on(
    four: Sky, operator: str, off: float
) -> None:
    """Its own outage and its return are certified by the other three."""
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
def test_an_operator_whose_clock_is_wrong_says_why_it_does_not_sign(
    four: Sky, off: float, reason: str
) -> None:
    """A clock that is behind has not reached the round's signing span either."""
    four.offsets["operator_1"] = off
    four.run(1)
    four.stop("operator_2")

    four.run(1)

    assert four.said("operator_1", "operator_2") == reason
    assert four.said("operator_3", "operator_2") == "signed"


def test_a_wrong_clock_and_an_outage_are_two_faults_and_four_operators_stand_one(
    four: Sky,
) -> None:
    four.offsets["operator_1"] = 3.0
    four.run(1)
    four.stop("operator_2")

    four.run(3)

    assert four.statuses("operator_3")["operator_2"] == "up"
    assert four.gathering("operator_2").certificate is None


def test_seven_operators_stand_a_wrong_clock_and_an_outage(seven: Sky) -> None:
    seven.offsets["operator_1"] = -3.0
    seven.run(1)
    seven.stop("operator_2")

    seven.run(1)

    assert seven.statuses("operator_3")["operator_2"] == "down"
    assert "operator_1" not in seven.entries("operator_3")[-1].event.signers


def test_an_operator_whose_clock_is_wrong_still_answers_and_keeps_its_log(four: Sky) -> None:
    """Abstaining is no outage: it is asked for the time, and not believed."""
    four.offsets["operator_1"] = 30.0

    four.run(3)

    assert four.are_all_up()
    assert four.get("operator_1", "/status").status_code == 200
    assert four.entries("operator_1") == four.entries("operator_2")


def test_after_its_clock_is_right_again_an_operator_signs_and_is_ready(four: Sky) -> None:
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


def test_a_clock_that_is_wrong_is_forgotten_when_nobody_can_tell_any_more(four: Sky) -> None:
    """What peers said more than three rounds ago says nothing about now."""
    four.offsets["operator_1"] = 3.0
    four.run(1)
    assert four.own("operator_1").peers.clock_is_wrong()

    four.clock.sleep(4 * four.committee.rounds.seconds)

    assert not four.own("operator_1").peers.clock_is_wrong()


@pytest.mark.parametrize(("off", "reasons"), [(2.0, []), (-2.1, [CLOCK])])
def test_two_seconds_are_the_limit(four: Sky, off: float, reasons: list[str]) -> None:
    four.offsets["operator_1"] = off

    four.probe()

    assert four.reasons("operator_1") == reasons


# Two clocks are wrong


def test_of_seven_two_wrong_clocks_silence_nobody_else(seven: Sky) -> None:
    seven.offsets |= {"operator_1": 3.0, "operator_2": 3.0}
    seven.run(1)
    seven.stop("operator_1")

    seven.run(1)

    assert [CLOCK in seven.reasons(name) for name in seven.operators[1:]] == [True] + [False] * 5
    assert seven.statuses("operator_3")["operator_1"] == "down"


def test_of_four_two_clocks_wrong_to_the_same_side_silence_everybody(four: Sky) -> None:
    """Two are more than f: for the right ones, most peers are wrong. Nothing is certified, and
    nothing false."""
    four.offsets |= {"operator_1": 3.0, "operator_2": 3.0}
    four.run(1)
    assert [four.reasons(name) for name in four.operators] == [[CLOCK]] * 4
    four.stop("operator_4")

    four.run(2)

    assert four.ask("operator_3", "operator_4", Status.DOWN) == "clock"
    assert four.are_all_up()


def test_of_four_two_clocks_wrong_to_opposite_sides_silence_only_themselves(four: Sky) -> None:
    four.offsets |= {"operator_1": 3.0, "operator_2": -3.0}

    four.probe()

    assert [four.reasons(name) for name in four.operators] == [[CLOCK], [CLOCK], [], []]


def test_after_two_clocks_are_right_again_everything_is_certified(four: Sky) -> None:
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
def test_an_aggregator_whose_clock_is_wrong_abstains_and_says_so(four: Sky, off: float) -> None:
    four.offsets["aggregator_0"] = off
    four.stop("operator_2")

    four.run(2)

    record = four.get("aggregator_0", "/rounds?limit=1").json()["rounds"][0]
    assert record["note"] == "abstains: the operators' clocks put ours more than 2 s off"
    assert record["gatherings"] == []
    assert "clock: more than 2 s off, by the operators" in four.reasons("aggregator_0")
    assert four.statuses("operator_1")["operator_2"] == "up"


def test_an_aggregator_whose_clock_is_wrong_follows_no_suspicion_either(four: Sky) -> None:
    four.offsets["aggregator_0"] = 3.0
    four.stop("operator_2")
    four.run(1)
    rounds = four.committee.rounds
    four.clock.now = rounds.start(rounds.number(four.clock.now) + 1) + 1.0

    reported = four.post("operator_1", "/reports", {"node_id": "operator_2", "status": "down"})
    four.settle()

    assert reported.status_code == 202
    assert four.statuses("operator_1")["operator_2"] == "up"


def test_after_the_aggregators_clock_is_right_again_the_outage_is_certified(four: Sky) -> None:
    four.offsets["aggregator_0"] = 3.0
    four.stop("operator_2")
    four.run(2)

    four.offsets.clear()
    four.run(1)

    assert four.statuses("operator_1")["operator_2"] == "down"
    assert four.reasons("aggregator_0") == []


@pytest.mark.parametrize("off", [1.9, -1.9])
def test_an_aggregator_whose_clock_is_off_by_less_goes_on(four: Sky, off: float) -> None:
    four.offsets["aggregator_0"] = off
    four.stop("operator_2")

    four.run(1)

    assert four.statuses("operator_1")["operator_2"] == "down"


def test_another_aggregator_goes_on_where_one_abstains(
    tmp_path: Path, four_certified: Path
) -> None:
    """One that the committee's file names later: aggregators are not part of the id."""
    for both in go_on(four_certified, tmp_path, make_members(4, aggregators=2)):
        both.offsets["aggregator_0"] = 3.0
        both.stop("operator_2")

        both.run(3)

        assert both.statuses("operator_1")["operator_2"] == "down"


def test_half_of_the_operators_lying_about_the_time_do_not_stop_the_aggregator(four: Sky) -> None:
    for liar in ("operator_3", "operator_4"):
        four.lie(liar, 10.0)

    four.run(1)

    assert four.own("aggregator_0").watch.recent[-1].note == ""


# The sequencer's clock: the time that the logs go by is the ledger's


@pytest.mark.parametrize("off", [10.0, -10.0])
def test_a_ledger_whose_clock_is_off_by_ten_seconds_does_no_harm(four: Sky, off: float) -> None:
    four.offsets["sequencer"] = off
    four.run(4)  # its time never goes back, so that it first has to catch up
    four.stop("operator_2")

    four.run(1)

    assert four.statuses("operator_1")["operator_2"] == "down"
    assert four.own("operator_1").log.refusals() == {}


def test_while_the_ledgers_clock_is_ninety_seconds_ahead_everything_is_stale(four: Sky) -> None:
    """Its time does not go back when it is right again: what was stale once expires, and is
    gathered anew, `max_age` later at the most."""
    four.offsets["sequencer"] = 90.0
    four.stop("operator_2")
    four.run(3)
    assert four.statuses("operator_1")["operator_2"] == "up"
    assert set(four.own("operator_1").log.refusals()) == {"stale"}

    four.offsets.clear()
    four.run(13)

    assert [status for status, _ in four.story("operator_1", "operator_2")] == ["up", "down"]


def test_while_the_ledgers_clock_is_ninety_seconds_behind_everything_is_early(
    tmp_path: Path,
) -> None:
    with Sky(tmp_path, FOUR) as sky:
        sky.offsets["sequencer"] = -90.0
        sky.run(3)
        assert [sky.entries(name) for name in sky.operators] == [[]] * 4
        assert set(sky.own("operator_1").log.refusals()) == {"early"}

        sky.offsets.clear()
        sky.run(3)

        assert sky.are_all_up()


# PeerMonitor that lie


@pytest.mark.parametrize("lie", [2.5, -1e6])
def test_one_liar_among_four_silences_nobody(four: Sky, lie: float) -> None:
    four.lie("operator_4", lie)
    four.run(1)
    four.stop("operator_2")

    four.run(1)

    assert [four.reasons(name) for name in ("operator_1", "operator_3")] == [[], []]
    assert four.statuses("operator_1")["operator_2"] == "down"


def test_two_liars_among_seven_together_silence_nobody(seven: Sky) -> None:
    seven.lie("operator_6", 10.0)
    seven.lie("operator_7", 10.0)
    seven.run(1)
    seven.stop("operator_2")

    seven.run(1)

    assert [seven.reasons(f"operator_{i}") for i in (1, 3, 4, 5)] == [[]] * 4
    assert seven.statuses("operator_1")["operator_2"] == "down"


def test_two_liars_among_four_silence_the_honest_and_that_is_said(four: Sky) -> None:
    """One more than f. They stop everything; they still cannot certify anything."""
    four.lie("operator_3", 10.0)
    four.lie("operator_4", 10.0)
    four.run(1)
    four.stop("operator_2")

    four.run(1)

    assert four.ask("operator_1", "operator_2", Status.DOWN) == "clock"
    assert four.reasons("operator_1") == [CLOCK]
    assert "clocks" in four.own("aggregator_0").watch.recent[-1].note
    assert four.statuses("operator_1")["operator_2"] == "up"


def test_three_liars_among_seven_silence_the_honest_only_beside_an_outage(seven: Sky) -> None:
    """One more than f, but half of those that answer: it takes most of them, too."""
    for liar in ("operator_5", "operator_6", "operator_7"):
        seven.lie(liar, -10.0)
    seven.probe()
    assert seven.reasons("operator_1") == []

    seven.stop("operator_2")
    seven.clock.sleep(seven.committee.rounds.seconds)
    seven.probe()

    assert seven.reasons("operator_1") == [CLOCK]


def test_liars_to_opposite_sides_do_not_add_up(four: Sky) -> None:
    four.lie("operator_3", 10.0)
    four.lie("operator_4", -10.0)

    four.probe()

    assert four.reasons("operator_1") == []


def test_a_liar_cannot_keep_an_operator_from_noticing_that_its_clock_is_wrong(four: Sky) -> None:
    """It says just what the wrong clock wants to hear; two others do not."""
    four.offsets["operator_1"] = 3.0
    four.lie("operator_4", 3.0)

    four.probe()

    assert four.reasons("operator_1") == [CLOCK]


def test_after_the_liars_are_gone_everything_is_certified(four: Sky) -> None:
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


def test_a_peer_that_does_not_answer_one_operator_only_is_not_certified_down(four: Sky) -> None:
    four.cut("operator_1", "operator_4")
    four.run(1)

    reported = four.post("operator_1", "/reports", {"node_id": "operator_4", "status": "down"})
    four.settle()

    assert reported.status_code == 202
    assert four.said("operator_1", "operator_4") == "signed"
    assert {four.said(name, "operator_4") for name in ("operator_2", "operator_3")} == {"sees_up"}
    assert four.statuses("operator_1")["operator_4"] == "up"


def test_a_peer_that_does_not_answer_one_operator_costs_that_one_its_sight_in_an_outage(
    four: Sky,
) -> None:
    """A silent peer and an outage are two faults: with four operators nothing is certified."""
    four.cut("operator_1", "operator_4")
    four.stop("operator_2")

    four.run(1)

    assert four.said("operator_1", "operator_2") == "blind"
    assert four.said("operator_3", "operator_2") == "signed"
    assert four.statuses("operator_3")["operator_2"] == "up"


def test_a_peer_that_does_not_answer_the_aggregator_only_is_not_certified_down(four: Sky) -> None:
    four.cut("aggregator_0", "operator_4")

    four.run(2)

    asked = ("operator_1", "operator_2", "operator_3")
    assert {four.said(name, "operator_4") for name in asked} == {"sees_up"}
    assert four.statuses("operator_1")["operator_4"] == "up"


def test_a_peer_that_answers_the_aggregator_only_is_certified_down_when_it_is_reported(
    four: Sky,
) -> None:
    for name in ("operator_1", "operator_2", "operator_3"):
        four.cut(name, "operator_4")
    four.run(2)
    assert four.statuses("operator_1")["operator_4"] == "up"  # the aggregator asks nobody

    four.post("operator_1", "/reports", {"node_id": "operator_4", "status": "down"})
    four.settle()

    assert four.statuses("operator_1")["operator_4"] == "down"


# A warning before it matters


class Once(threading.Event):
    """Lets a loop run once."""

    def wait(self, timeout: float | None = None) -> bool:
        self.set()
        return True


@pytest.mark.parametrize(("off", "warned"), [(0.2, False), (0.201, True), (-0.201, True)])
def test_an_operator_warns_from_two_hundred_milliseconds_and_stays_ready(
    four: Sky, caplog: pytest.LogCaptureFixture, off: float, warned: bool
) -> None:
    four.offsets["operator_1"] = off

    with caplog.at_level(logging.WARNING):
        four.own("operator_1").peers.run(Once())

    assert ("clock_offset" in caplog.text) is warned
    assert four.reasons("operator_1") == []


def test_one_wrong_peer_is_nothing_to_warn_of(four: Sky, caplog: pytest.LogCaptureFixture) -> None:
    four.offsets["operator_4"] = 60.0

    with caplog.at_level(logging.WARNING):
        four.own("operator_1").peers.run(Once())

    assert "clock_offset" not in caplog.text


def test_the_rounds_of_the_aggregator_show_every_operators_offset(four: Sky) -> None:
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
def test_an_operator_calls_a_node_down_only_in_sight_of_a_quorum(
    four: Sky, reached: tuple[str, ...], answer: str
) -> None:
    """Itself and two others of four; the subject does not count."""
    four.stop("operator_2")
    four.cut("operator_1", *({"operator_3", "operator_4"} - set(reached)))

    assert four.ask("operator_1", "operator_2", Status.DOWN) == answer


def test_of_seven_an_operator_sees_enough_with_one_more_out_of_sight(seven: Sky) -> None:
    seven.stop("operator_2")
    seven.cut("operator_1", "operator_7")
    seven.cut("operator_3", "operator_6", "operator_7")

    assert seven.ask("operator_1", "operator_2", Status.DOWN) == "signed"
    assert seven.ask("operator_3", "operator_2", Status.DOWN) == "blind"


def test_being_blind_shows_where_people_look(four: Sky) -> None:
    four.cut("operator_1", "operator_3", "operator_4")
    four.stop("operator_2")

    four.run(1)

    assert four.reasons("operator_1") == [BLIND]
    [gathering] = [
        gathering
        for gathering in four.get("aggregator_0", "/rounds?limit=1").json()["rounds"][0][
            "gatherings"
        ]
        if gathering["claim"].get("node_id") == "operator_2"
    ]
    answers = {given["operator"]: given["answer"] for given in gathering["answers"]}
    assert answers["operator_1"] == "blind"
    assert gathering["certified"] is False


def test_a_blind_operator_still_attests_what_it_sees_up(four: Sky) -> None:
    """Seeing somebody up takes no quorum: only ignorance looks like `down`."""
    four.stop("operator_4")
    four.run(1)
    assert four.statuses("operator_1")["operator_4"] == "down"
    four.cut("operator_1", "operator_2", "operator_3")
    four.resume("operator_4")

    four.run(1)

    assert four.said("operator_1", "operator_4") == "signed"
    assert four.statuses("operator_2")["operator_4"] == "up"


def test_an_operator_that_sees_nobody_calls_nobody_down(four: Sky) -> None:
    four.cut("operator_1", "operator_2", "operator_3", "operator_4")

    said = {four.ask("operator_1", name, Status.DOWN) for name in four.operators[1:]}

    assert said == {"blind"}


def test_both_halves_of_a_split_committee_abstain_and_agree_when_it_has_healed(four: Sky) -> None:
    four.split(["operator_1", "operator_2", "aggregator_0"], ["operator_3", "operator_4"])
    four.run(3)
    assert {four.said("operator_1", node) for node in ("operator_3", "operator_4")} == {"blind"}
    assert four.are_all_up()

    four.cuts.clear()
    four.run(2)

    assert [four.reasons(name) for name in four.operators] == [[]] * 4
    assert len({tuple(four.entries(name)) for name in four.operators}) == 1
    assert len(four.entries("operator_1")) == 4


def test_the_larger_part_of_a_split_committee_goes_on(four: Sky) -> None:
    four.split(["operator_1", "operator_2", "operator_3", "aggregator_0"], ["operator_4"])
    four.run(1)
    assert four.statuses("operator_1")["operator_4"] == "down"
    four.probe()
    assert four.reasons("operator_4") == [BLIND]

    four.cuts.clear()
    four.run(2)

    assert four.are_all_up()


def test_after_the_blind_can_see_again_the_outage_is_certified(four: Sky) -> None:
    four.cut("operator_1", "operator_3", "operator_4")
    four.stop("operator_2")
    four.run(2)
    assert four.statuses("operator_3")["operator_2"] == "up"

    four.cuts.clear()
    four.run(1)

    assert four.statuses("operator_3")["operator_2"] == "down"
    assert four.reasons("operator_1") == []
