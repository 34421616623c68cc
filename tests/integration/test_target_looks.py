"""Looks at targets, round by round: how many are needed, and when they count."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from committees import make_members
from dragon.encoding import canonical
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.committee import Target
from dragon.protocol.target_checks import HttpCheck, JsonRpcCheck, TcpCheck, TlsCheck
from simulation import Outage
from targets import TargetWorld, page
from wsgi import WsgiApp

MADE = make_members(4)
HASTY, PATIENT, SLOW, DATABASE, MAIL, NODE, SECOND = TARGETS = (
    Target("hasty", "http://hasty.example:80"),
    Target("patient", "http://patient.example:80", suspect_after=3, recover_after=2),
    Target("slow", "http://slow.example:80", HttpCheck(timeout_ms=2500)),
    Target("database", "tcp://db.example:5432", TcpCheck()),
    Target("mail", "tls://mail.example:465", TlsCheck()),
    Target("node", "http://node.example:80", JsonRpcCheck("height", behind=2, group="chain")),
    Target("second", "http://second.example:80", JsonRpcCheck("height", behind=2, group="chain")),
)
MEMBERS = replace(MADE, committee=replace(MADE.committee, targets=TARGETS))
ROUNDS = 3  # until all nodes are certified up


def chain(height: int) -> WsgiApp:
    """A node of a chain at this height."""
    return page(body=json.dumps({"result": hex(height)}).encode())


class LookingWorld(TargetWorld):
    def __post_init__(self) -> None:
        super().__post_init__()
        for each in (NODE, SECOND):
            self.impersonate(each.id, chain(100))

    def status(self, target: Target) -> str:
        return self.statuses("operator_1")[target.id]

    def history(self, target: Target, rounds: int) -> list[str]:
        """The certified status after each of the next rounds."""
        found = []
        for _ in range(rounds):
            self.run()
            found.append(self.status(target))
        return found

    def outcomes(self, target: Target) -> dict[str, str]:
        """What each operator answered in the newest attestation round about the target."""
        newest = self.attestation_rounds(target.id)[-1]
        return {name: newest.outcome_of(name) for name in self.operators}

    def last_probe(self, target: Target) -> dict[str, Any]:
        """The target in the newest round of the aggregator."""
        record = self.get("aggregator_0", "/rounds?limit=1").json()["rounds"][0]
        return next(each for each in record["probes"] if each["node_id"] == target.id)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a fleet whose nodes are all certified up."""
    folder = tmp_path_factory.mktemp("certified")
    with LookingWorld(folder, MEMBERS) as made:
        made.run(ROUNDS)
        assert set(made.statuses("operator_1").values()) == {"up"}
    return folder


@pytest.fixture
def world(tmp_path: Path, certified: Path) -> Iterator[LookingWorld]:
    """A fleet that continues from those files, and has looked at everything once."""
    shutil.copytree(certified, tmp_path, dirs_exist_ok=True)
    with LookingWorld(tmp_path, MEMBERS) as made:
        made.clock.sleep(ROUNDS * made.committee.rounds.seconds)
        made.run()
        yield made


# How many looks


def test_a_target_is_down_after_as_many_looks_as_the_committee_file_says(
    world: LookingWorld,
) -> None:
    world.stop(PATIENT.id)

    assert world.history(PATIENT, 3) == ["up", "up", "down"]
    assert not {*world.outcomes(PATIENT).values()} & {"too_few_looks", "off_round"}


def test_a_target_is_up_again_after_as_many_looks_as_the_committee_file_says(
    world: LookingWorld,
) -> None:
    world.stop(PATIENT.id)
    world.run(3)
    world.resume(PATIENT.id)

    assert world.history(PATIENT, 2) == ["down", "up"]


def test_a_short_outage_of_a_target_with_several_looks_is_not_certified(
    world: LookingWorld,
) -> None:
    seconds = world.committee.rounds.seconds
    now = world.clock.now
    world.outages[PATIENT.id] = [
        Outage(now, now + 2 * seconds),
        Outage(now + 3 * seconds, now + 5 * seconds),
    ]

    assert set(world.history(PATIENT, 6)) == {"up"}
    assert len(world.attestation_rounds(PATIENT.id)) == 0


def test_an_operator_refuses_what_its_own_looks_do_not_support(world: LookingWorld) -> None:
    """Anyone may claim: here, after the first failed look."""
    world.stop(PATIENT.id)
    world.run()
    rounds = world.committee.rounds
    claim = StatusClaim(PATIENT.id, Status.DOWN, rounds.start(rounds.number(world.clock.now)))

    refused = world.post("operator_1", "/attestations", raw=canonical(claim.to_json())).json()

    assert refused["reason"] == "too_few_looks"
    assert refused["detail"] == "1 of 3 looks in a row have found patient down"


def test_reports_do_not_replace_looks(world: LookingWorld) -> None:
    world.stop(PATIENT.id)

    told = [
        world.post("operator_1", "/reports", {"node_id": PATIENT.id, "status": "down"}).json()
        for _ in range(4)
    ]

    assert {each["reason"] for each in told} == {"too_few_looks"}


def test_an_operator_that_has_restarted_needs_its_looks_first(world: LookingWorld) -> None:
    world.stop(PATIENT.id)
    world.run(2)
    world.restart("operator_1")

    world.run()

    assert world.outcomes(PATIENT) == {
        "operator_1": "too_few_looks",
        **dict.fromkeys(["operator_2", "operator_3", "operator_4"], "signed"),
    }
    assert world.statuses("operator_2")[PATIENT.id] == "down"


def test_an_aggregator_that_has_restarted_needs_its_looks_first(world: LookingWorld) -> None:
    world.stop(PATIENT.id)
    world.run(2)
    world.restart("aggregator_0")

    assert world.history(PATIENT, 3) == ["up", "up", "down"]


def test_a_look_without_an_answer_about_the_name_neither_counts_nor_interrupts(
    world: LookingWorld,
) -> None:
    world.stop(PATIENT.id)
    world.run()
    for caller in (*world.operators, "aggregator_0"):
        world.lookup_faults[caller, PATIENT.id] = socket.EAI_AGAIN
    world.run()
    world.lookup_faults.clear()

    assert world.history(PATIENT, 2) == ["up", "down"]


# Slow targets


def test_a_slow_target_that_hangs_is_certified_down_in_the_next_round(
    world: LookingWorld,
) -> None:
    world.stop(SLOW.id, "hang")

    assert world.history(SLOW, 2) == ["up", "down"]
    assert not {*world.outcomes(SLOW).values()} & {"too_few_looks", "off_round"}


def test_a_slow_target_that_refuses_is_certified_down_in_the_same_round(
    world: LookingWorld,
) -> None:
    world.stop(SLOW.id)

    assert world.history(SLOW, 1) == ["down"]


def test_a_slow_target_that_hangs_delays_no_other_node(world: LookingWorld) -> None:
    world.stop(SLOW.id, "hang")
    world.run()
    world.stop(HASTY.id)
    world.run()

    record = world.components("aggregator_0").monitor.recent[-1]
    assert (world.status(HASTY), world.status(SLOW)) == ("down", "down")
    assert record.took < world.committee.rounds.seconds
    assert not record.overran


def test_a_slow_answer_within_the_timeout_is_up(world: LookingWorld) -> None:
    def slow(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        world.clock.sleep(2.4)
        return page()(environ, start)

    world.impersonate(SLOW.id, slow)

    assert set(world.history(SLOW, 3)) == {"up"}
    assert world.last_probe(SLOW)["latency_ms"] == 2400


def test_a_slow_target_that_has_recovered_is_certified_up(world: LookingWorld) -> None:
    world.stop(SLOW.id, "hang")
    world.run(2)
    world.resume(SLOW.id)

    assert "up" in world.history(SLOW, 2)


def test_the_first_look_at_a_slow_target_says_nothing_before_it_ends(world: LookingWorld) -> None:
    world.stop(SLOW.id, "hang")
    world.restart("aggregator_0")
    world.run()

    assert world.last_probe(SLOW)["reason"] == "looking"
    assert world.status(SLOW) == "up"


# Other kinds


@pytest.mark.parametrize("target", [DATABASE, MAIL], ids=["tcp", "tls"])
def test_a_port_that_is_closed_and_opened_again_is_certified(
    world: LookingWorld, target: Target
) -> None:
    world.stop(target.id)
    world.run()
    assert world.status(target) == "down"
    world.resume(target.id)

    assert world.history(target, 1) == ["up"]


@pytest.mark.parametrize("target", [DATABASE, MAIL], ids=["tcp", "tls"])
def test_operators_abstain_from_a_port_whose_name_they_cannot_resolve(
    world: LookingWorld, target: Target
) -> None:
    world.stop(target.id)
    for name in world.operators:
        world.lookup_faults[name, target.id] = socket.EAI_AGAIN
    world.run()

    assert world.status(target) == "up"
    assert set(world.outcomes(target).values()) == {"dns"}


def test_a_certificate_that_expires_soon_is_shown_and_the_target_is_up(
    world: LookingWorld,
) -> None:
    expires = int(world.clock.now) + 3 * 86_400
    world.certificates["mail.example:465"] = expires

    world.run()

    assert world.status(MAIL) == "up"
    seen = world.shown("operator_1", MAIL.id)["seen"]
    assert (seen["certificate_expires"], seen["status"]) == (expires, "up")
    assert seen["detail"] == "the certificate expires in 3.0 days"
    assert world.last_probe(MAIL)["certificate_expires"] == expires


def test_a_node_of_a_chain_that_has_stopped_is_certified_down(world: LookingWorld) -> None:
    world.impersonate(NODE.id, chain(103))
    world.run(2)

    assert (world.status(NODE), world.status(SECOND)) == ("up", "down")
    assert world.last_probe(SECOND)["detail"] == "height 100, 3 behind 103"

    world.impersonate(SECOND.id, chain(102))
    assert world.history(SECOND, 1) == ["up"]


# Private addresses


def test_a_target_that_moves_to_a_private_address_is_down(world: LookingWorld) -> None:
    """Its owner cannot hide an outage by a change of the name's address. Nobody connects to it."""
    world.private_hosts.add("hasty.example")
    world.stop(HASTY.id)
    world.sent.clear()

    assert world.history(HASTY, 1) == ["down"]
    assert world.asked(HASTY.id) == []
    assert world.last_probe(HASTY)["reason"] == "private_address"


def test_nobody_judges_targets_that_all_have_private_addresses(world: LookingWorld) -> None:
    """The fault may be that of the resolvers here."""
    world.private_hosts.update(urlsplit(each.url).hostname or "" for each in TARGETS)

    assert world.history(HASTY, 1) == ["up"]

    rounds = world.committee.rounds
    claim = StatusClaim(HASTY.id, Status.DOWN, rounds.start(rounds.number(world.clock.now)))
    refused = world.post("operator_1", "/attestations", raw=canonical(claim.to_json())).json()

    assert refused["reason"] == "private_address"


# What is shown


def test_the_reason_and_a_detail_of_each_look_are_shown(world: LookingWorld) -> None:
    world.impersonate(
        HASTY.id, page("302 Found", b"", [("Location", "https://hasty.example/welcome")])
    )
    world.run()

    shown = [
        world.last_probe(HASTY),
        world.shown("operator_1", HASTY.id)["seen"],
        world.shown("aggregator_0", HASTY.id)["seen"],
        next(
            each
            for probed in world.get("operator_1", "/probes").json()["rounds"]
            for each in probed["probes"]
            if each["node_id"] == HASTY.id
        ),
    ]

    assert {each["reason"] for each in shown} == {"status_302"}
    assert {each["detail"] for each in shown} == {"https://hasty.example/welcome"}
