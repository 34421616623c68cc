"""Targets: nodes without a key that are probed and certified like operators.

By default a target is up if a plain GET of its URL returns 2xx in time. Its response is not signed,
so anyone at its address can answer; `signed` marks the difference.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from committees import Members, make_members
from dragon.net.http_client import MAX_RESPONSE_BYTES
from dragon.protocol.claims.status import Status
from simulation import Outage
from targets import TargetWorld, page
from wsgi import WsgiApp

TARGET = "target_1"
OTHER = "target_2"


def with_public_names(members: Members) -> Members:
    """The same committee, with targets whose names have dots."""
    targets = tuple(
        replace(target, url=f"http://{target.id.replace('_', '-')}.example:80")
        for target in members.committee.targets
    )
    return replace(members, committee=replace(members.committee, targets=targets))


MEMBERS = with_public_names(make_members(4, targets=2))
ROUNDS = 3  # rounds until all nodes are certified up


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a fleet with four operators and two targets, all certified up."""
    folder = tmp_path_factory.mktemp("certified")
    with TargetWorld(folder, MEMBERS) as made:
        made.run(ROUNDS)
    return folder


@pytest.fixture
def watched(tmp_path: Path, certified: Path) -> Iterator[TargetWorld]:
    """A fleet that continues from those files."""
    shutil.copytree(certified, tmp_path, dirs_exist_ok=True)
    with TargetWorld(tmp_path, MEMBERS) as made:
        made.clock.sleep((ROUNDS - 0.5) * made.committee.rounds.seconds)
        made.settle()
        yield made


# Up and down


def test_a_target_that_answers_200_is_certified_up(watched: TargetWorld) -> None:
    for operator in watched.operators:
        assert watched.statuses(operator) == dict.fromkeys(watched.committee.urls, "up")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (page("404 Not Found"), "status_404"),
        (page("500 Internal Server Error"), "status_500"),
        (page("302 Found", b"", [("Location", "http://operator-1:5001/healthz")]), "status_302"),
    ],
    ids=["404", "500", "redirect"],
)
def test_a_target_with_an_unexpected_status_is_certified_down(
    watched: TargetWorld, answer: WsgiApp, reason: str
) -> None:
    watched.impersonate(TARGET, answer)

    watched.run(1)

    assert [watched.statuses(name)[TARGET] for name in watched.operators] == ["down"] * 4
    record = watched.components("aggregator_0").monitor.recent[-1]
    assert {s.reason for s in record.probe_results if s.node_id == TARGET} == {reason}
    assert watched.shown("operator_1", OTHER)["status"] == "up"


@pytest.mark.parametrize("manner", ["refuse", "hang"])
def test_a_target_that_does_not_answer_in_time_is_certified_down(
    watched: TargetWorld, manner: str
) -> None:
    watched.stop(TARGET, manner)

    watched.run(1)

    assert [watched.statuses(name)[TARGET] for name in watched.operators] == ["down"] * 4


@pytest.mark.parametrize(
    "answer", [page("204 No Content", b""), page(body=bytes(MAX_RESPONSE_BYTES + 1))]
)
def test_a_target_without_content_or_with_a_large_page_is_up(
    watched: TargetWorld, answer: WsgiApp
) -> None:
    watched.impersonate(TARGET, answer)

    watched.run(2)

    assert watched.statuses("operator_1")[TARGET] == "up"


def test_a_response_within_the_deadline_is_up_and_a_later_one_is_down(
    watched: TargetWorld,
) -> None:
    deadline = watched.committee.rounds.probe_deadline_seconds

    def slow(seconds: float) -> WsgiApp:
        def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            watched.clock.sleep(seconds)
            return page()(environ, start)

        return app

    watched.impersonate(TARGET, slow(deadline - 0.1))
    watched.impersonate(OTHER, slow(deadline + 0.1))
    watched.run(1)

    statuses = watched.statuses("operator_1")
    assert (statuses[TARGET], statuses[OTHER]) == ("up", "down")


def test_a_redirect_to_an_internal_address_is_not_followed(watched: TargetWorld) -> None:
    watched.wires.mount("internal:8000", page())
    answer = page("302 Found", b"", [("Location", "http://internal:8000/secret")])

    watched.impersonate(TARGET, answer)
    watched.run(2)

    assert watched.statuses("operator_1")[TARGET] == "down"
    assert not [url for _, url in watched.wires.calls if "internal" in url]


def test_a_target_is_probed_at_exactly_its_address(watched: TargetWorld) -> None:
    """There is no nonce, since a target cannot sign. The method is always GET."""
    watched.run(1)

    assert set(watched.asked(TARGET)) == {"GET http://target-1.example:80/"}


def test_an_unknown_target_is_down_only_after_six_rounds(tmp_path: Path) -> None:
    with TargetWorld(tmp_path, make_members(4, targets=1)) as watched:
        watched.stop(TARGET)

        watched.run(4)
        assert watched.statuses("operator_1")[TARGET] == "unknown"
        watched.run(4)

        assert watched.statuses("operator_1")[TARGET] == "down"


def test_an_outage_of_a_target_and_its_end_are_certified(watched: TargetWorld) -> None:
    now = watched.clock.now
    watched.outages[TARGET] = [Outage(now, now + 12)]

    watched.run(6)

    for operator in watched.operators:
        assert [status for status, _ in watched.story(operator, TARGET)] == ["up", "down", "up"]


# Certificates


def test_certificates_about_targets_and_operators_have_the_same_form(watched: TargetWorld) -> None:
    watched.stop(TARGET)

    watched.run(1)

    event = watched.event(TARGET)
    event.verify(watched.committee)
    assert event.to_json().keys() == watched.event("operator_1").to_json().keys()
    assert len(event.signers) >= watched.committee.quorum("status")


def test_every_operator_may_sign_that_a_target_is_down(watched: TargetWorld) -> None:
    """No operator is the subject, so any three of four suffice."""
    watched.stop(TARGET)

    watched.run(1)

    assert set(watched.attestation_rounds(TARGET)[-1].asked) == set(watched.operators)


def test_an_operator_and_a_target_out_at_once_are_both_certified_down(watched: TargetWorld) -> None:
    watched.stop("operator_2")
    watched.stop(TARGET)

    watched.run(1)

    statuses = watched.statuses("operator_1")
    assert (statuses["operator_2"], statuses[TARGET]) == ("down", "down")


def test_an_outage_of_all_targets_makes_no_operator_blind(watched: TargetWorld) -> None:
    """Only operators count for `blind`, since targets may share a host."""
    watched.stop(TARGET)
    watched.stop(OTHER)

    watched.run(1)

    statuses = watched.statuses("operator_1")
    assert (statuses[TARGET], statuses[OTHER]) == ("down", "down")
    assert watched.get("operator_1", "/readyz").status_code == 200


def test_a_target_is_not_a_signer(watched: TargetWorld) -> None:
    """A certificate with a target among its signers is refused, even if a quorum signed it."""
    rounds = watched.committee.rounds
    genuine = watched.members.status(OTHER, Status.DOWN, rounds.number(watched.clock.now))
    signers = tuple(sorted([*genuine.signers, TARGET]))
    forged = {**genuine.to_json(), "signers": list(signers)}

    watched.submit(forged)

    assert watched.components("operator_1").log.refusals() == {"unknown_signer": 1}
    assert watched.statuses("operator_1")[OTHER] == "up"


# Every operator probes for itself


def test_every_operator_probes_a_target_before_it_signs(watched: TargetWorld) -> None:
    watched.impersonate(TARGET, page("500 Internal Server Error"))
    watched.sent.clear()

    watched.run(1)

    for operator in watched.event(TARGET).signers:
        assert watched.asked(TARGET, by=operator)


def test_every_operator_looks_at_every_target_once_a_round(watched: TargetWorld) -> None:
    watched.sent.clear()

    watched.run(2)

    for name in watched.operators:
        assert len(watched.asked(TARGET, by=name)) == len(watched.asked(OTHER, by=name)) == 2


def test_a_target_that_only_the_aggregator_reaches_is_not_certified_up(
    watched: TargetWorld,
) -> None:
    watched.stop(TARGET)
    watched.run(1)
    watched.resume(TARGET)
    watched.cuts |= {(operator, TARGET) for operator in watched.operators}

    watched.run(2)

    assert watched.statuses("operator_1")[TARGET] == "down"
    attestation_round = watched.attestation_rounds(TARGET)[-1]
    assert {attestation_round.outcome_of(name) for name in watched.operators} == {"sees_down"}


def test_a_target_that_only_the_aggregator_cannot_reach_is_not_certified_down(
    watched: TargetWorld,
) -> None:
    watched.cuts.add(("aggregator_0", TARGET))

    watched.run(2)

    assert watched.statuses("operator_1")[TARGET] == "up"
    attestation_round = watched.attestation_rounds(TARGET)[-1]
    assert {attestation_round.outcome_of(name) for name in watched.operators} == {"sees_up"}


def test_a_target_that_one_operator_cannot_reach_is_certified_by_the_others(
    watched: TargetWorld,
) -> None:
    watched.stop(TARGET)
    watched.run(1)
    watched.resume(TARGET)
    watched.cuts.add(("operator_3", TARGET))

    watched.run(1)

    event = watched.event(TARGET)
    assert (event.claim.members()["status"], event.signers) == (
        "up",
        ("operator_1", "operator_2", "operator_4"),
    )


def test_targets_are_not_certified_down_while_no_resolver_answers(watched: TargetWorld) -> None:
    """The targets are healthy. Neither the aggregator nor any operator can look their names up."""
    targets = [target.id for target in watched.committee.targets]
    for caller in (*watched.operators, "aggregator_0"):
        watched.lookup_faults |= {(caller, target): socket.EAI_AGAIN for target in targets}

    watched.run(2)

    record = watched.get("aggregator_0", "/rounds?limit=1").json()["rounds"][0]
    assert [watched.statuses("operator_1")[target] for target in targets] == ["up"] * 2
    assert "name resolution fails here" in record["note"]
    assert {probe["reason"] for probe in record["probes"] if probe["node_id"] in targets} == {"dns"}


@pytest.mark.parametrize("fault", [socket.EAI_AGAIN, socket.EAI_NONAME])
def test_operators_whose_resolvers_fail_refuse_to_call_targets_down(
    watched: TargetWorld, fault: int
) -> None:
    """One target is down, and the names of both are not found by the operators."""
    watched.stop(TARGET)
    for caller in watched.operators:
        for target in watched.committee.targets:
            watched.lookup_faults[caller, target.id] = fault

    watched.run(1)

    assert watched.statuses("operator_1")[TARGET] == "up"
    attestation_round = watched.attestation_rounds(TARGET)[-1]
    assert {attestation_round.outcome_of(name) for name in watched.operators} == {"dns"}
    assert watched.shown("operator_3", TARGET)["seen"]["reason"] in {"dns", "no_such_name"}


def test_a_target_whose_name_alone_does_not_exist_is_certified_down(watched: TargetWorld) -> None:
    for caller in (*watched.operators, "aggregator_0"):
        watched.lookup_faults[caller, TARGET] = socket.EAI_NONAME

    watched.run(1)

    assert watched.statuses("operator_1")[TARGET] == "down"


def test_a_target_that_half_of_the_operators_reach_is_not_certified(
    watched: TargetWorld,
) -> None:
    watched.cuts |= {("operator_1", TARGET), ("operator_2", TARGET), ("aggregator_0", TARGET)}

    watched.run(3)

    assert [status for status, _ in watched.story("operator_1", TARGET)] == ["up"]


def test_an_aggregator_that_is_cut_off_reports_no_target(
    watched: TargetWorld,
) -> None:
    watched.cuts |= {("aggregator_0", name) for name in watched.committee.urls}
    before = len(watched.attestation_rounds(TARGET))

    watched.run(3)

    assert len(watched.attestation_rounds(TARGET)) == before


def test_an_operator_probes_a_target_that_is_reported(watched: TargetWorld) -> None:
    watched.stop(TARGET)

    told = watched.post("operator_1", "/reports", {"node_id": TARGET, "status": "down"})
    watched.settle()

    assert told.status_code == 202
    assert watched.statuses("operator_2")[TARGET] == "down"


def test_a_report_about_an_unlisted_target_causes_no_probe(watched: TargetWorld) -> None:
    watched.sent.clear()

    told = watched.post("operator_1", "/reports", {"node_id": "target_9", "status": "down"})

    assert told.json()["title"] == "unknown_node"
    assert [caller for caller, _ in watched.sent if caller != "client"] == []


# How targets are shown


def test_nodes_are_shown_with_their_kind(watched: TargetWorld) -> None:
    operator, target = (watched.shown("operator_1", node) for node in ("operator_2", TARGET))

    assert (operator["kind"], operator["status"]) == ("operator", "up")
    assert (target["kind"], target["status"]) == ("target", "up")


def test_nodes_with_unsigned_answers_are_marked(watched: TargetWorld) -> None:
    assert watched.shown("operator_1", "operator_2")["signed"] is True
    assert watched.shown("operator_1", TARGET)["signed"] is False


def test_an_impostor_at_a_targets_address_counts_as_up(watched: TargetWorld) -> None:
    """A target has no key, so its `up` does not prove its identity. An operator's `up` does."""
    watched.impersonate(TARGET, page(body=b"an impostor"))
    watched.impersonate("operator_2", page(body=b"an impostor"))

    watched.run(1)

    statuses = watched.statuses("operator_1")
    assert (statuses[TARGET], statuses["operator_2"]) == ("up", "down")


def test_a_target_does_not_count_as_a_clock(watched: TargetWorld) -> None:
    """Its response is not signed, so it is no evidence about clocks."""
    watched.run(1)

    probes = watched.get("aggregator_0", "/rounds?limit=1").json()["rounds"][0]["probes"]

    offsets = {probe["node_id"]: probe["clock_offset_ms"] for probe in probes}
    assert offsets["operator_1"] == 0
    assert offsets[TARGET] is None
