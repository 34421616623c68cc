"""Quorums, impostors, operators that are cut off, and nodes that come back."""

from __future__ import annotations

import socket
from pathlib import Path

import flask
import pytest
from flask import Flask

from committees import make_members
from dragon.encoding import from_hex, to_hex
from dragon.protocol import bls
from dragon.protocol.claims.status import Status
from dragon.protocol.messages import StatusAnswer
from simulation import World


def answers_of(world: World, name: str = "aggregator_0") -> dict[str, str]:
    """Each operator's answer in the newest attestation round."""
    attestation_round = world.components(name).monitor.recent[-1].attestation_rounds[-1]
    return {
        operator: attestation_round.outcome_of(operator) for operator in attestation_round.asked
    }


def test_every_node_is_certified_up_after_the_start(world: World) -> None:
    for name in world.operators:
        assert world.statuses(name) == dict.fromkeys(world.operators, "up")


def test_three_of_four_certify_an_outage(world: World) -> None:
    world.stop("operator_2")

    world.run(1)

    down = world.entries("operator_1")[-1].event
    assert (down.claim.node_id, down.claim.status) == ("operator_2", Status.DOWN)
    assert down.signers == ("operator_1", "operator_3", "operator_4")


@pytest.mark.unbroken
def test_two_of_four_do_not_certify(world: World) -> None:
    world.stop("operator_2")
    world.stop("operator_3")

    world.run(3)

    assert world.statuses("operator_1")["operator_2"] == "up"
    assert answers_of(world) == {
        "operator_1": "blind",
        "operator_2": "unreachable",
        "operator_4": "blind",
    }


def test_an_operator_that_comes_back_catches_up_and_is_certified_up(world: World) -> None:
    world.crash("operator_2")
    world.run(2)

    world.start("operator_2")
    world.run(2)

    assert world.entries("operator_2") == world.entries("operator_1")
    assert [status for status, _ in world.story("operator_1", "operator_2")] == ["up", "down", "up"]


def test_one_transition_is_one_event(world: World) -> None:
    world.stop("operator_2")
    world.run(6)
    world.resume("operator_2")
    world.run(6)

    assert [status for status, _ in world.story("operator_3", "operator_2")] == ["up", "down", "up"]
    assert world.components("operator_3").log.refusals() == {}


def test_with_two_nodes_down_the_one_that_returns_is_certified_up(world: World) -> None:
    world.stop("operator_2")
    world.run(2)
    world.stop("operator_3")
    world.run(2)

    world.resume("operator_2")
    world.run(2)

    assert world.statuses("operator_1")["operator_2"] == "up"
    recovery = world.entries("operator_1")[-1].event
    assert recovery.signers == ("operator_1", "operator_2", "operator_4")


@pytest.mark.unbroken
def test_an_operator_cut_off_from_its_peers_abstains(world: World) -> None:
    """To this operator all others look down. It must not help to certify that."""
    for peer in ("operator_2", "operator_3", "operator_4"):
        world.cuts.add(("operator_1", peer))
    world.stop("operator_2")

    world.run(1)

    assert answers_of(world)["operator_1"] == "blind"
    assert (
        "blind: too few peers answer for a quorum"
        in world.get("operator_1", "/readyz").json()["reasons"]
    )


def test_an_unreachable_operator_is_down_and_later_has_the_same_log(world: World) -> None:
    for peer in ("operator_1", "operator_3", "operator_4", "aggregator_0"):
        world.cuts |= {(peer, "operator_2"), ("operator_2", peer)}
    world.run(2)
    assert world.statuses("operator_1")["operator_2"] == "down"

    world.cuts.clear()
    world.run(2)

    assert world.statuses("operator_2")["operator_2"] == "up"
    assert world.entries("operator_2") == world.entries("operator_4")


@pytest.mark.unbroken
def test_a_failure_of_all_probes_counts_against_no_node(world: World) -> None:
    world.cuts.add(("aggregator_0", "operator_1"))
    world.cuts.add(("aggregator_0", "operator_2"))
    world.cuts.add(("aggregator_0", "operator_3"))
    world.cuts.add(("aggregator_0", "operator_4"))

    world.run(3)

    record = world.components("aggregator_0").monitor.recent[-1]
    assert {result.status for result in record.probe_results} == {Status.DOWN}
    assert record.attestation_rounds == []


def impostor(world: World, *, key: bls.SecretKey | None = None, name: str = "operator_2") -> Flask:
    """An app that answers /status with 200: unsigned, or signed with the given key."""
    app = Flask("impostor")

    @app.get("/status")
    def status() -> flask.Response:
        if key is None:
            return flask.jsonify(status="up", node_id=name)
        nonce = from_hex(flask.request.args["nonce"], member="nonce", size=16)
        answer = StatusAnswer(name, Status.UP, round(1000 * world.clock.now), nonce)
        signature = key.sign(answer.root(world.committee.id))
        return flask.jsonify({**answer.members(), "signature": to_hex(signature)})

    return app


@pytest.mark.parametrize(
    ("signer", "claims_to_be", "reason"),
    [
        (None, "operator_2", "bad_answer"),
        ("mallory", "operator_2", "bad_signature"),
        ("operator_3", "operator_3", "other_node"),
        ("operator_3", "operator_2", "bad_signature"),
    ],
)
def test_an_impostor_at_the_address_of_a_dead_node_counts_as_down(
    world: World, signer: str | None, claims_to_be: str, reason: str
) -> None:
    world.crash("operator_2")
    key = world.members.secrets.get(signer or "", bls.SecretKey.generate(b"mallory" * 6))

    world.impersonate("operator_2", impostor(world, key=key if signer else None, name=claims_to_be))
    world.run(1)

    assert world.statuses("operator_1")["operator_2"] == "down"
    results = {
        s.node_id: s.reason
        for s in world.components("aggregator_0").monitor.recent[-1].probe_results
    }
    assert results["operator_2"] == reason


def test_a_replayed_answer_of_a_dead_node_counts_as_down(world: World) -> None:
    recorded = world.get("operator_2", "/status?nonce=0x" + "11" * 16)
    replaying = Flask("replaying")
    replaying.get("/status")(lambda: flask.Response(recorded.content, mimetype="application/json"))
    world.crash("operator_2")

    world.impersonate("operator_2", replaying)
    world.run(1)

    assert world.statuses("operator_1")["operator_2"] == "down"


def test_an_unknown_node_is_down_only_after_six_rounds(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.crash("operator_2")

        world.run(4)
        assert world.statuses("operator_1")["operator_2"] == "unknown"
        world.run(4)

        assert world.statuses("operator_1")["operator_2"] == "down"


def test_a_report_makes_the_operator_probe_and_send_a_suspicion(world: World) -> None:
    world.stop("operator_2")

    reported = world.post("operator_1", "/reports", {"node_id": "operator_2", "status": "down"})
    world.settle()

    assert reported.status_code == 202
    assert reported.json()["delivered"] == ["http://aggregator-0:5100"]
    assert world.statuses("operator_1")["operator_2"] == "down"


def test_a_false_report_is_refused(world: World) -> None:
    reported = world.post("operator_1", "/reports", {"node_id": "operator_2", "status": "down"})

    assert reported.status_code == 409
    assert reported.json()["reason"] == "sees_up"
    assert not any(
        attestation_round.claim.KIND == "status"
        for attestation_round in world.components("aggregator_0")
        .monitor.recent[-1]
        .attestation_rounds
    )


def test_a_suspicion_signed_with_an_unknown_key_is_refused(world: World) -> None:
    rounds = world.committee.rounds
    suspicion = {
        "node_id": "operator_2",
        "status": "down",
        "timestamp": rounds.start(rounds.number(world.clock.now)),
        "operator": "operator_1",
    }
    forged = bls.SecretKey.generate(b"mallory" * 6).sign(b"anything")

    refused = world.post("aggregator_0", "/suspicions", {**suspicion, "signature": to_hex(forged)})

    assert refused.status_code == 422
    assert refused.json()["title"] == "bad_signature"


def test_a_faulty_operator_cannot_forge_a_certificate_but_can_prevent_one(world: World) -> None:
    """Four operators tolerate one fault in total. The outage is already one."""
    world.stop("operator_3")
    world.crash("operator_4")
    key, committee = world.members.secrets["operator_4"], world.committee
    liar = Flask("liar")

    @liar.get("/status")
    def status() -> flask.Response:
        nonce = from_hex(flask.request.args["nonce"], member="nonce", size=16)
        answer = StatusAnswer("operator_4", Status.UP, round(1000 * world.clock.now), nonce)
        signature = key.sign(answer.root(committee.id))
        return flask.jsonify({**answer.members(), "signature": to_hex(signature)})

    @liar.post("/attestations")
    def attest() -> flask.Response:
        return flask.jsonify(operator="operator_4", signature=to_hex(key.sign(b"nonsense")))

    world.impersonate("operator_4", liar)
    world.run(2)

    assert world.statuses("operator_1")["operator_3"] == "up"
    assert answers_of(world)["operator_4"] == "bad_signature"


@pytest.mark.parametrize("fault", [socket.EAI_AGAIN, socket.EAI_NONAME])
def test_two_stopped_containers_that_lost_their_names_are_certified_down(
    tmp_path: Path, fault: int
) -> None:
    """A network of containers resolves the names of running containers only."""
    with World(tmp_path, make_members(7)) as world:
        world.run(2)
        gone = ("operator_2", "operator_5")
        for caller in (*world.operators, "aggregator_0"):
            world.lookup_faults |= {(caller, name): fault for name in gone if name != caller}
        for name in gone:
            world.stop(name)

        world.run(1)

        assert [world.statuses("operator_1")[name] for name in gone] == ["down"] * 2


def test_seven_operators_certify_with_two_nodes_out(tmp_path: Path) -> None:
    with World(tmp_path, make_members(7)) as world:
        world.run(2)
        world.stop("operator_2")
        world.stop("operator_5")

        world.run(1)

        statuses = world.statuses("operator_1")
        assert (statuses["operator_2"], statuses["operator_5"]) == ("down", "down")


def test_a_second_aggregator_submits_only_events_that_are_not_in_the_log(tmp_path: Path) -> None:
    with World(tmp_path, make_members(4, aggregators=2)) as world:
        world.run(3)

        assert len(world.entries("operator_1")) == 4
        assert world.components("operator_1").log.refusals() == {}


def test_a_second_aggregator_takes_over_when_the_first_dies(tmp_path: Path) -> None:
    with World(tmp_path, make_members(4, aggregators=2)) as world:
        world.run(3)
        world.crash("aggregator_0")
        world.stop("operator_2")

        world.run(3)

        assert world.statuses("operator_1")["operator_2"] == "down"
