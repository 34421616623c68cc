"""Signatures that come with the votes on a window: the same ones as `POST /attestations` gives.

Tests share a world to save time. Each test uses its own stream.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask, Response, jsonify, request
from flask.testing import FlaskClient

from dragon.encoding import Json, to_hex
from dragon.errors import AttestationRefused
from dragon.log.store import Alarm
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.window import InvalidReason, WindowClaim
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams.submission import Submission, VoteRequest
from dragon_aggregator.window_certifier import GATHER_SECONDS
from simulation import World
from streams import Owner, Window, make_owner
from submitting import (
    attested,
    claim_of,
    first,
    round_start,
    step,
    submit_complete,
    voted,
)

AGGREGATOR = "aggregator_0"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("signed-votes")) as made:
        yield made


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """All services are up and correct, and no window is pending."""
    shared.confirm_clocks(again=True)
    shared.sent.clear()
    yield shared
    shared.offsets.clear()
    for name in shared.operators:
        shared.restart(name)  # ends impersonations as well
    shared.restart(AGGREGATOR)  # forgets pending windows
    shared.clock.sleep(60)


@pytest.fixture
def owner(world: World, request: pytest.FixtureRequest) -> Owner:
    """The owner of a stream that no other test uses."""
    name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
    return make_owner(world.members, f"sensor-{name}")


@pytest.fixture
def window(world: World, owner: Owner) -> Window:
    return first(world, owner)


@pytest.fixture
def proof(owner: Owner, window: Window) -> bytes:
    return owner.prove(window)


@pytest.fixture
def submission(world: World, owner: Owner, window: Window, proof: bytes) -> Submission:
    """The stream's first window; the aggregator has its objects, and has asked for no vote yet."""
    submit_complete(world, owner, window, proof)
    return owner.submission(window, proof)


def vote(
    world: World, name: str, submission: Submission, timestamp: int | None = None
) -> dict[str, Any]:
    """The operator's answer to a request for its vote and its signature in a round."""
    asked = VoteRequest(submission, round_start(world) if timestamp is None else timestamp)
    answer = world.post(name, "/windows", asked.to_json())
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def certified(world: World, owner: Owner) -> list[tuple[WindowClaim, tuple[str, ...]]]:
    """The certified verdicts on windows of the stream, and their signers."""
    found = []
    for entry in world.components("operator_1").log.entries():
        claim = entry.event.claim
        if isinstance(claim, WindowClaim) and claim.stream == owner.descriptor.id:
            assert isinstance(entry.event, Certificate)
            entry.event.verify(world.committee)
            found.append((claim, entry.event.signers))
    return found


def asked(world: World, path: str) -> list[str]:
    """The services of which the aggregator has requested a path."""
    return [
        world.names[urlsplit(str(sent.url)).netloc]
        for caller, sent in world.sent
        if caller == AGGREGATOR and sent.method == "POST" and urlsplit(str(sent.url)).path == path
    ]


def forward(world: World, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what an operator answers to requests for votes."""
    genuine: Any = world.components(name)
    host = next(host for host, known in world.names.items() if known == name)
    client = FlaskClient(world.wires.app(host), Response)  # type: ignore[arg-type]  # any WSGI app
    app = Flask("between")
    assert genuine.myself == name

    @app.route("/<path:path>", methods=["GET", "POST"])
    def pass_on(path: str) -> Response:
        answer = client.open(
            f"/{path}",
            method=request.method,
            data=request.get_data(),
            query_string=request.query_string.decode(),
        )
        if path != "windows" or answer.status_code != 200:
            return Response(answer.data, answer.status_code, content_type=answer.content_type)
        body = json.loads(answer.data)
        change(body)
        return jsonify(body)

    world.impersonate(name, app)


# -- one request -----------------------------------------------------------------------------------


@pytest.mark.parametrize("right", [True, False], ids=["valid", "invalid"])
def test_one_request_to_each_operator_makes_a_certificate(
    world: World, owner: Owner, window: Window, submission: Submission, right: bool
) -> None:
    step(world, 0.0)
    if not right:  # of a stream that is known by its first window
        world.sent.clear()
        window = owner.window([b"22.5"], previous=window)
        submit_complete(world, owner, window, b"no proof")
        step(world, 0.0)

    assert asked(world, "/windows") == list(world.operators)
    assert asked(world, "/attestations") == []
    *_, (claim, signers) = certified(world, owner)
    assert claim.reason is (InvalidReason.NONE if right else InvalidReason.STARK)
    assert claim.timestamp == round_start(world)
    assert len(signers) == 3


def test_an_invalid_window_of_a_new_stream_is_signed_only_when_the_aggregator_asks(
    world: World, owner: Owner, window: Window
) -> None:
    """So its own limit on refutations comes first, and operators are not charged before."""
    submit_complete(world, owner, window, b"no proof")
    answer = vote(world, "operator_1", owner.submission(window, b"no proof"))
    assert (answer["verdict"], answer["signature"], answer["refusal"]) == ("invalid", None, None)

    step(world, 0.0)

    assert asked(world, "/attestations")
    [(claim, signers)] = certified(world, owner)
    assert claim.reason is InvalidReason.STARK
    assert len(signers) == 3


def test_a_vote_carries_the_signature_that_an_attestation_has(
    world: World, owner: Owner, window: Window, proof: bytes, submission: Submission
) -> None:
    signed = vote(world, "operator_1", submission)

    claim = claim_of(world, owner, window, proof)
    answer = world.post("operator_1", "/attestations", claim.to_json()).json()
    assert answer["signature"] == signed["signature"]
    assert answer["committee"] == signed["committee"] == to_hex(world.committee.id)
    assert (signed["verdict"], signed["refusal"], signed["refusal_detail"]) == ("valid", None, "")


def test_a_vote_without_a_round_is_not_signed(world: World, submission: Submission) -> None:
    answer = world.post("operator_1", "/windows", submission.to_json()).json()

    assert answer["verdict"] == "valid"
    assert {answer[name] for name in ("committee", "signature", "refusal")} == {None}


def test_an_announcement_has_no_round(world: World, owner: Owner, window: Window) -> None:
    body: dict[str, Json] = {**owner.submission(window).to_json(), "timestamp": round_start(world)}

    answer = world.post("operator_1", "/windows", body)

    assert (answer.status_code, answer.json()["title"]) == (400, "unknown_member")


# -- nothing that an attestation would refuse is signed --------------------------------------------


def refuse(world: World, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Give the first operator a reason to sign nothing."""
    parts = world.components("operator_1")
    match what:
        case "alarm":
            stopped = Alarm("ledger_rewound", "it has fewer entries than before")
            monkeypatch.setattr(parts.log, "alarm", lambda: stopped)
        case "clock":
            monkeypatch.setattr(parts.peers, "clock_is_wrong", lambda: True)
        case "unconfirmed clock":
            monkeypatch.setattr(parts.peers, "clock_is_confirmed", lambda: False)
        case "journal":
            monkeypatch.setattr(parts.gaps, "seconds_left", lambda: 7.0)
        case "key":
            monkeypatch.setattr(parts.key_check, "why_wait", lambda: "in use elsewhere")
        case "another log":
            monkeypatch.setattr(parts.journal, "decide_window", _refuse_log)


def _refuse_log(*_: object) -> None:
    raise AttestationRefused(RefusalReason.BEHIND, "the log does not extend the recorded one")


REFUSALS = {
    "alarm": "behind",
    "clock": "clock",
    "unconfirmed clock": "clock",
    "journal": "behind",
    "key": "behind",
    "another log": "behind",
}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_an_attestation_refuses_is_not_signed_with_a_vote(
    world: World,
    owner: Owner,
    window: Window,
    proof: bytes,
    submission: Submission,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    assert vote(world, "operator_1", submission, timestamp=1)["refusal"] == "off_round"
    refuse(world, monkeypatch, what)

    answer = vote(world, "operator_1", submission)

    assert attested(world, "operator_1", claim_of(world, owner, window, proof)) == REFUSALS[what]
    assert (answer["verdict"], answer["refusal"]) == ("valid", REFUSALS[what])
    assert answer["signature"] is answer["committee"] is None
    assert answer["refusal_detail"]


@pytest.mark.parametrize("moved", [1, -25, 25])
def test_no_other_round_than_the_current_one_is_signed(
    world: World, submission: Submission, moved: int
) -> None:
    answer = vote(world, "operator_1", submission, round_start(world) + moved)

    assert (answer["refusal"], answer["signature"]) == ("off_round", None)


def test_two_windows_of_one_number_are_not_both_signed(
    world: World, owner: Owner, window: Window, submission: Submission
) -> None:
    other = first(world, owner, b"22.0")
    assert vote(world, "operator_1", submission)["signature"]
    submit_complete(world, owner, other, proof := owner.prove(other))

    answer = vote(world, "operator_1", owner.submission(other, proof))

    assert (answer["verdict"], answer["refusal"], answer["signature"]) == (
        "valid",
        "equivocation",
        None,
    )


def test_an_operator_that_is_killed_before_it_answers_repeats_its_decision(
    world: World, owner: Owner, window: Window, proof: bytes, submission: Submission
) -> None:
    """Its decision is on disk before the signature exists, and the answer is lost."""
    signed: list[dict[str, Any]] = []

    def die(answer: dict[str, Any]) -> None:
        signed.append(dict(answer))
        world.crash("operator_1")
        raise SystemExit

    forward(world, "operator_1", die)
    with suppress(SystemExit):
        vote(world, "operator_1", submission)
    world.start("operator_1")
    other = first(world, owner, b"22.0")
    submit_complete(world, owner, other, changed := owner.prove(other))

    assert vote(world, "operator_1", owner.submission(other, changed))["refusal"] == "equivocation"
    submit_complete(world, owner, window, proof)
    assert vote(world, "operator_1", submission)["signature"] == signed[0]["signature"]
    step(world)
    assert [claim.header for claim, _ in certified(world, owner)] == [window.header.hash]


# -- too few signatures with the votes -------------------------------------------------------------


def strip(answer: dict[str, Any]) -> None:
    """Answer as an operator that only votes."""
    for name in ("committee", "signature", "refusal", "refusal_detail"):
        del answer[name]


@pytest.mark.parametrize("silent", [1, 2, 4])
def test_an_operator_that_answers_without_a_signature_is_asked_for_it(
    world: World, owner: Owner, submission: Submission, silent: int
) -> None:
    for name in world.operators[:silent]:
        forward(world, name, strip)

    step(world, 0.0)

    [(_, signers)] = certified(world, owner)
    assert len(signers) >= 3
    # Three have signed if one did not; else nothing can come of the vote of the fourth any more.
    assert bool(asked(world, "/attestations")) is (silent > 1)
    assert "operator_3" not in asked(world, "/attestations") or silent > 2


def test_an_operator_that_votes_and_does_not_sign_delays_a_window_for_seconds_only(
    world: World, owner: Owner, submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for half a round: the next vote has the signatures of those that were late."""
    for name in world.operators[:2]:
        forward(world, name, strip)
    certifier = world.components(AGGREGATOR).window_queue._window_certifier
    collect, waited = certifier._certifier.collect, list[float]()

    def observe(claim: Any, ends: float, **more: Any) -> Any:
        waited.append(ends - certifier._runtime.monotonic())
        return collect(claim, ends, **more)

    monkeypatch.setattr(certifier._certifier, "collect", observe)
    step(world, 0.0)

    assert world.committee.rounds.collect_deadline_seconds > GATHER_SECONDS
    assert waited == [pytest.approx(GATHER_SECONDS, abs=0.1)]
    assert len(certified(world, owner)) == 1


def test_the_claim_of_the_next_round_is_signed_if_a_round_ends_during_the_vote(
    world: World, owner: Owner, submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds, begun = world.committee.rounds, round_start(world)
    for name in world.operators[:2]:
        attester = world.components(name).attester
        genuine = attester.attest

        def attest(claim: Any, genuine: Any = genuine, **more: Any) -> Any:
            if claim.timestamp == begun:
                raise AttestationRefused(RefusalReason.BEHIND, "the ledger is not read to its end")
            return genuine(claim, **more)

        monkeypatch.setattr(attester, "attest", attest)
    queue = world.components(AGGREGATOR).window_queue
    collect = queue._vote_collector.collect

    def slowly(*arguments: Any) -> Any:
        found = collect(*arguments)
        world.clock.now = float(begun + rounds.seconds)
        return found

    monkeypatch.setattr(queue._vote_collector, "collect", slowly)
    step(world, 0.0)

    [(claim, signers)] = certified(world, owner)
    assert claim.timestamp == begun + rounds.seconds
    assert len(signers) >= 3


def test_a_refusal_to_sign_is_shown_in_place_of_the_vote(
    world: World, owner: Owner, submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in world.operators[:2]:
        monkeypatch.setattr(world.components(name).gaps, "seconds_left", lambda: 7.0)

    step(world, 0.0)

    assert voted(world, owner) == dict.fromkeys(world.operators, "valid") | dict.fromkeys(
        world.operators[:2], "behind"
    )
    assert certified(world, owner) == []


# -- a faulty operator, and a handover -------------------------------------------------------------


Lie = Callable[[World, dict[str, Any]], object]


def signing(world: World, message: bytes, answer: dict[str, Any]) -> None:
    answer["signature"] = to_hex(world.members.secrets["operator_1"].sign(message))


LIES: dict[str, Lie] = {
    "the signature on another claim": lambda world, answer: signing(world, b"other", answer),
    "no point": lambda world, answer: answer.update(signature=to_hex(b"\xff" * 96)),
    "no hexadecimal digits": lambda world, answer: answer.update(signature="signed"),
    "for another committee": lambda world, answer: answer.update(committee=to_hex(bytes(32))),
    "without a committee": lambda world, answer: answer.pop("committee"),
    "an unknown refusal": lambda world, answer: answer.update(signature=None, refusal="no"),
    "a refusal without a detail": lambda world, answer: answer.update(
        signature=None, refusal="behind", refusal_detail=None
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_false_signature_of_one_operator_prevents_no_certificate(
    world: World, owner: Owner, submission: Submission, lie: str
) -> None:
    forward(world, "operator_1", lambda answer: LIES[lie](world, answer))

    step(world, 0.0)

    [(_, signers)] = certified(world, owner)
    assert signers == tuple(world.operators[1:])
    assert asked(world, "/attestations") == []


def test_a_false_signature_is_not_counted_if_there_are_too_few_others(
    world: World, owner: Owner, submission: Submission
) -> None:
    world.stop("operator_4")
    forward(world, "operator_1", lambda answer: signing(world, b"other", answer))

    step(world, 0.0)

    [(_, signers)] = certified(world, owner)  # it signs the claim when it is asked again
    assert signers == tuple(world.operators[:3])
    assert asked(world, "/attestations") == ["operator_1"]


def test_signatures_for_another_committee_are_not_mixed(
    world: World, owner: Owner, submission: Submission
) -> None:
    """Two operators have applied a handover that the aggregator has not read yet."""
    for name in world.operators[:2]:
        forward(world, name, lambda answer: answer.update(committee=to_hex(bytes(32))))

    step(world, 0.0)

    [(_, signers)] = certified(world, owner)  # by the answers to the second request
    assert len(signers) >= 3
    assert set(asked(world, "/attestations")) == {"operator_1", "operator_2", "operator_4"}
