"""Nodes beyond the operators: watched like them, certified like them, and with no key of their own.

A target is up where a plain GET of its address is answered with 200 in time. That says less than an
operator's signed answer, and is marked as less.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from committees import make_members
from dragon.net.http_client import MAX_RESPONSE_BYTES
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.status import Status, StatusClaim
from dragon_aggregator.certifier import AttestationRound
from simulation import Outage, World
from wsgi import WsgiApp

TARGET = "target_1"
OTHER = "target_2"


def page(
    status: str = "200 OK", body: bytes = b"hello", headers: Iterable[tuple[str, str]] = ()
) -> WsgiApp:
    """A web server that gives everybody the same answer, whatever is asked."""

    def app(_environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start(status, [("Content-Type", "text/plain"), *headers])
        return [body]

    return app


class Watched(World):
    """A world whose committee lists targets: web pages that know nothing of certificates."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for target in self.committee.targets:
            self.names[urlsplit(target.url).netloc] = target.id
            self.impersonate(target.id, page())

    def asked(self, node_id: str, by: str | None = None) -> list[str]:
        """Every request that reached that node's address, of one caller or of all."""
        host = urlsplit(self.committee.urls[node_id]).netloc
        return [
            f"{request.method} {request.url}"
            for caller, request in self.sent
            if urlsplit(request.url or "").netloc == host and by in (None, caller)
        ]

    def event(self, node_id: str) -> Certificate:
        """The newest event on a node."""
        events = [entry.event for entry in self.entries("operator_1")]
        return next(
            event
            for event in reversed(events)
            if isinstance(event.claim, StatusClaim) and event.claim.node_id == node_id
        )

    def gatherings(self, node_id: str) -> list[AttestationRound]:
        """What was gathered for that node, in all rounds."""
        recent = self.own("aggregator_0").watch.recent
        return [
            gathering
            for record in recent
            for gathering in record.gatherings
            if isinstance(gathering.claim, StatusClaim) and gathering.claim.node_id == node_id
        ]

    def shown(self, operator: str, node_id: str) -> dict[str, Any]:
        """The node as `GET /nodes` of an operator shows it."""
        nodes = self.get(operator, "/nodes").json()["nodes"]
        return next(node for node in nodes if node["node_id"] == node_id)


MEMBERS = make_members(4, targets=2)
ROUNDS = 3  # after which all are certified up


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a fleet of four operators and two targets, all certified up."""
    folder = tmp_path_factory.mktemp("certified")
    with Watched(folder, MEMBERS) as made:
        made.run(ROUNDS)
    return folder


@pytest.fixture
def watched(tmp_path: Path, certified: Path) -> Iterator[Watched]:
    """That fleet, going on from its files."""
    shutil.copytree(certified, tmp_path, dirs_exist_ok=True)
    with Watched(tmp_path, MEMBERS) as made:
        made.clock.sleep((ROUNDS - 0.5) * made.committee.rounds.seconds)
        made.settle()
        yield made


# What is up, and what is down


def test_a_target_that_answers_200_is_certified_up(watched: Watched) -> None:
    for operator in watched.operators:
        assert watched.statuses(operator) == dict.fromkeys(watched.committee.urls, "up")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (page("404 Not Found"), "status_code"),
        (page("500 Internal Server Error"), "status_code"),
        (page("204 No Content", b""), "status_code"),
        (page("302 Found", b"", [("Location", "http://operator-1:5001/healthz")]), "status_code"),
        (page("200 OK", bytes(MAX_RESPONSE_BYTES + 1)), "too_large"),
    ],
    ids=["404", "500", "204", "redirect", "too large"],
)
def test_a_target_that_answers_otherwise_is_certified_down(
    watched: Watched, answer: WsgiApp, reason: str
) -> None:
    watched.impersonate(TARGET, answer)

    watched.run(1)

    assert [watched.statuses(name)[TARGET] for name in watched.operators] == ["down"] * 4
    record = watched.own("aggregator_0").watch.recent[-1]
    assert {s.reason for s in record.probe_results if s.node_id == TARGET} == {reason}
    assert watched.shown("operator_1", OTHER)["status"] == "up"


@pytest.mark.parametrize("manner", ["refuse", "hang"])
def test_a_target_that_does_not_answer_in_time_is_certified_down(
    watched: Watched, manner: str
) -> None:
    watched.stop(TARGET, manner)

    watched.run(1)

    assert [watched.statuses(name)[TARGET] for name in watched.operators] == ["down"] * 4


def test_a_body_as_large_as_allowed_is_up(watched: Watched) -> None:
    watched.impersonate(TARGET, page("200 OK", bytes(MAX_RESPONSE_BYTES)))

    watched.run(2)

    assert watched.statuses("operator_1")[TARGET] == "up"


def test_an_answer_just_within_the_deadline_is_up_and_just_beyond_it_is_down(
    watched: Watched,
) -> None:
    deadline = watched.committee.rounds.probe_deadline

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


def test_a_redirect_to_an_internal_address_is_not_followed(watched: Watched) -> None:
    watched.wires.mount("internal:8000", page())
    answer = page("302 Found", b"", [("Location", "http://internal:8000/secret")])

    watched.impersonate(TARGET, answer)
    watched.run(2)

    assert watched.statuses("operator_1")[TARGET] == "down"
    assert not [url for _, url in watched.wires.calls if "internal" in url]


def test_a_target_is_asked_at_its_address_and_nothing_is_added_to_it(watched: Watched) -> None:
    """No nonce: it could not sign it; and never anything but a GET."""
    watched.run(1)

    assert set(watched.asked(TARGET)) == {"GET http://target-1:80/"}


def test_an_unknown_target_is_down_only_after_six_rounds(tmp_path: Path) -> None:
    with Watched(tmp_path, make_members(4, targets=1)) as watched:
        watched.stop(TARGET)

        watched.run(4)
        assert watched.statuses("operator_1")[TARGET] == "unknown"
        watched.run(4)

        assert watched.statuses("operator_1")[TARGET] == "down"


def test_an_outage_of_a_target_ends_as_one_of_an_operator_does(watched: Watched) -> None:
    now = watched.clock.now
    watched.outages[TARGET] = [Outage(now, now + 12)]

    watched.run(6)

    for operator in watched.operators:
        assert [status for status, _ in watched.story(operator, TARGET)] == ["up", "down", "up"]


# The same certificates


def test_a_targets_certificate_is_like_an_operators(watched: Watched) -> None:
    watched.stop(TARGET)

    watched.run(1)

    event = watched.event(TARGET)
    event.verify(watched.committee)
    assert event.to_json().keys() == watched.event("operator_1").to_json().keys()
    assert len(event.signers) >= watched.committee.quorum("status")


def test_every_operator_may_sign_that_a_target_is_down(watched: Watched) -> None:
    """No operator is the subject: three of four suffice, whichever they are."""
    watched.stop(TARGET)

    watched.run(1)

    assert set(watched.gatherings(TARGET)[-1].asked) == set(watched.operators)


def test_an_operator_and_a_target_out_at_once_are_both_certified_down(watched: Watched) -> None:
    watched.stop("operator_2")
    watched.stop(TARGET)

    watched.run(1)

    statuses = watched.statuses("operator_1")
    assert (statuses["operator_2"], statuses[TARGET]) == ("down", "down")


def test_all_targets_out_at_once_make_nobody_blind(watched: Watched) -> None:
    """Only operators answer for whether one is cut off: targets may share a host."""
    watched.stop(TARGET)
    watched.stop(OTHER)

    watched.run(1)

    statuses = watched.statuses("operator_1")
    assert (statuses[TARGET], statuses[OTHER]) == ("down", "down")
    assert watched.get("operator_1", "/readyz").status_code == 200


def test_a_target_signs_nothing(watched: Watched) -> None:
    """A certificate that names one among its signers is refused, however many sign beside it."""
    rounds = watched.committee.rounds
    genuine = watched.members.status(OTHER, Status.DOWN, rounds.number(watched.clock.now))
    signers = tuple(sorted([*genuine.signers, TARGET]))
    forged = {**genuine.to_json(), "signers": list(signers)}

    watched.submit(forged)

    assert watched.own("operator_1").log.refusals() == {"unknown_signer": 1}
    assert watched.statuses("operator_1")[OTHER] == "up"


# Everybody looks for themselves


def test_every_operator_looks_at_a_target_itself_before_it_signs(watched: Watched) -> None:
    watched.impersonate(TARGET, page("500 Internal Server Error"))
    watched.sent.clear()

    watched.run(1)

    for operator in watched.event(TARGET).signers:
        assert watched.asked(TARGET, by=operator)


def test_an_operator_does_not_look_at_targets_unless_it_is_asked(watched: Watched) -> None:
    watched.sent.clear()

    watched.run(2)

    assert watched.asked(TARGET, by="aggregator_0")
    assert not watched.asked(TARGET, by="operator_1")


def test_a_target_that_answers_the_aggregator_only_is_not_certified_up(watched: Watched) -> None:
    watched.stop(TARGET)
    watched.run(1)
    watched.resume(TARGET)
    watched.cuts |= {(operator, TARGET) for operator in watched.operators}

    watched.run(2)

    assert watched.statuses("operator_1")[TARGET] == "down"
    gathering = watched.gatherings(TARGET)[-1]
    assert {gathering.outcome_of(name) for name in watched.operators} == {"sees_down"}


def test_a_target_that_the_aggregator_alone_does_not_reach_is_not_certified_down(
    watched: Watched,
) -> None:
    watched.cuts.add(("aggregator_0", TARGET))

    watched.run(2)

    assert watched.statuses("operator_1")[TARGET] == "up"
    gathering = watched.gatherings(TARGET)[-1]
    assert {gathering.outcome_of(name) for name in watched.operators} == {"sees_up"}


def test_a_target_that_shuns_one_operator_is_certified_by_the_others(watched: Watched) -> None:
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


def test_a_target_that_half_of_the_operators_see_is_certified_neither_way(
    watched: Watched,
) -> None:
    watched.cuts |= {("operator_1", TARGET), ("operator_2", TARGET), ("aggregator_0", TARGET)}

    watched.run(3)

    assert [status for status, _ in watched.story("operator_1", TARGET)] == ["up"]


def test_what_cuts_the_aggregator_off_from_everybody_is_not_the_targets_fault(
    watched: Watched,
) -> None:
    watched.cuts |= {("aggregator_0", name) for name in watched.committee.urls}
    before = len(watched.gatherings(TARGET))

    watched.run(3)

    assert len(watched.gatherings(TARGET)) == before


def test_a_reported_target_is_looked_at_by_the_operator_that_is_told(watched: Watched) -> None:
    watched.stop(TARGET)

    told = watched.post("operator_1", "/reports", {"node_id": TARGET, "status": "down"})
    watched.settle()

    assert told.status_code == 202
    assert watched.statuses("operator_2")[TARGET] == "down"


def test_nobody_looks_at_a_target_that_the_committee_does_not_list(watched: Watched) -> None:
    watched.sent.clear()

    told = watched.post("operator_1", "/reports", {"node_id": "target_9", "status": "down"})

    assert told.json()["title"] == "unknown_node"
    assert [caller for caller, _ in watched.sent if caller != "anybody"] == []


# And marked as what they are


def test_nodes_are_shown_as_what_they_are(watched: Watched) -> None:
    operator, target = (watched.shown("operator_1", node) for node in ("operator_2", TARGET))

    assert (operator["kind"], operator["status"]) == ("operator", "up")
    assert (target["kind"], target["status"]) == ("target", "up")


def test_unsigned_answers_are_marked_as_such(watched: Watched) -> None:
    assert watched.shown("operator_1", "operator_2")["signed"] is True
    assert watched.shown("operator_1", TARGET)["signed"] is False


def test_whoever_answers_at_a_targets_address_passes_for_it(watched: Watched) -> None:
    """What a target's `up` does not say, for want of a key; an operator's does."""
    watched.impersonate(TARGET, page(body=b"somebody else"))
    watched.impersonate("operator_2", page(body=b"somebody else"))

    watched.run(1)

    statuses = watched.statuses("operator_1")
    assert (statuses[TARGET], statuses["operator_2"]) == ("up", "down")


def test_a_target_tells_nobody_the_time(watched: Watched) -> None:
    """Its answer is not signed, so it has no say in whose clock is wrong."""
    watched.run(1)

    probes = watched.get("aggregator_0", "/rounds?limit=1").json()["rounds"][0]["probes"]

    offsets = {probe["node_id"]: probe["clock_offset_ms"] for probe in probes}
    assert offsets["operator_1"] == 0
    assert offsets[TARGET] is None
