"""What is on its way when a committee hands over: nothing is lost, and nobody looks down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from committees import Members, make_members, secret
from dragon.encoding import Json, to_hex
from dragon.errors import LedgerUnavailable
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.claims.window import Verdict
from dragon.protocol.committee import Committee
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.handover import Handover
from dragon.protocol.messages import Suspicion
from epochs import successor
from simulation import World
from stream_simulation import StreamWorld

AGGREGATOR, NEW, ROTATED = "aggregator_0", "operator_5", "operator_2"
NEXT_KEY = secret("operator_2 again")
Sent = Sequence[Mapping[str, Json]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path, make_members(4, targets=1, experts=1)) as world:
        world.run(3)
        yield world


def seated_by(world: World) -> Handover | None:
    found = [entry.event for entry in world.components("operator_1").log.entries()]
    return next((each for each in reversed(found) if isinstance(each, Handover)), None)


def propose(world: World, **changes: Any) -> Members:
    """Let all owners approve a next committee."""
    following = successor(world.members, seated_by(world), **changes)
    for name in following.secrets:
        world.approve(name, following.committee)
    return following


def rotate(world: World) -> Members:
    world.newcomers[ROTATED] = NEXT_KEY
    world.restart(ROTATED)
    world.run(3)  # it waits until it is sure that nobody else has its key
    return propose(world, rotate={ROTATED: NEXT_KEY})


def committees_of(world: World, kind: str) -> list[bytes]:
    """The committees that have certified the entries of a kind."""
    entries = world.components("operator_1").log.entries()
    return [each.event.committee_id for each in entries if kind == each.event.claim.KIND]


def lose(world: World, kind: str) -> None:
    """Let the ledger's gateways accept events of a kind from the aggregator, and lose them."""
    client: Any = world.services[AGGREGATOR].client
    send = client.send

    def sending(events: Sent) -> None:
        if kept := [each for each in events if each["kind"] != kind]:
            send(kept)

    client.send = sending
    client.send_all = send


def find_again(world: World) -> None:
    client: Any = world.services[AGGREGATOR].client
    client.send = client.send_all


def settled(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(kind, why) of the events that have left the outbox."""
    return [
        ("handover" if "next" in line["claim"] else "other", line["why"])
        for line in lines
        if line["event"] == "outbox_settled"
    ]


def stop_reading(world: World, names: Sequence[str]) -> None:
    """Let these services send to the ledger, and read nothing of it."""

    def unavailable(*_: object) -> Sequence[Any]:
        raise LedgerUnavailable("no gateway answers")

    for name in names:
        client: Any = world.services[name].client
        client.read_all, client.poll = client.poll, unavailable


def read_again(world: World, names: Sequence[str]) -> None:
    for name in names:
        client: Any = world.services[name].client
        client.poll = client.read_all
    world.settle()


# Certificates


def test_a_transition_of_the_committee_before_is_certified_anew(world: World) -> None:
    lose(world, "status")
    world.stop("operator_4")
    world.run(2)
    [waiting] = world.components(AGGREGATOR).outbox.pending()
    assert waiting.event.committee_id == world.committee.id
    world.resume("operator_4")
    following = propose(world)
    world.stop("operator_4")  # three others are a quorum
    with capture_logs() as lines:
        world.run(1)
    find_again(world)
    world.take_seats(following)
    world.run(2)

    assert committees_of(world, "handover") == [following.committee.previous]
    assert world.statuses("operator_1")["operator_4"] == "down"
    assert committees_of(world, "status")[-1] == following.committee.id
    assert ("other", "superseded") in settled(lines)
    assert not world.components(AGGREGATOR).outbox.pending()


def test_a_handover_that_is_applied_settles_as_applied(world: World) -> None:
    world.take_seats(propose(world))
    with capture_logs() as lines:
        world.run(2)

    assert settled(lines)[0] == ("handover", "applied")


def test_a_window_of_the_committee_before_is_signed_anew(tmp_path: Path) -> None:
    with StreamWorld(tmp_path, make_members(4)) as world:
        world.run(3)
        stream = world.make("sensor-1", mode="message")
        world.join(NEW, secret(NEW), "http://operator-5:5000")
        lose(world, "window")
        world.upload(stream, b"21.5")
        world.run(2)
        assert [each["state"] for each in world.get(AGGREGATOR, "/windows").json()["windows"]] == [
            "certified"
        ]
        following = propose(world, add=[NEW])
        world.run(2)
        find_again(world)
        world.take_seats(following)
        world.run(2)

        assert world.states(stream) == ["certified"]
        assert committees_of(world, "window") == [following.committee.id]
        world.upload(stream, b"21.6")  # the stream notices nothing
        world.run(2)
        assert world.states(stream) == ["certified"] * 2


def test_a_downtime_certificate_is_made_anew_with_the_same_totals(world: World) -> None:
    world.run(30)
    genesis = world.committee.rounds.genesis
    path = "/downtime-certificates"
    asked = {"node_id": "operator_1", "from": genesis + 10, "to": genesis + 60}
    before = world.post(AGGREGATOR, path, asked).json()
    assert world.post(AGGREGATOR, path, asked).json() == before
    following = propose(world)
    world.run(2)
    world.take_seats(following)

    after = world.post(AGGREGATOR, path, asked).json()

    assert after["committee"] == to_hex(following.committee.id)
    for member in ("seconds_down", "seconds_unknown", "size", "root"):
        assert after[member] == before[member]


def test_an_endorsement_of_the_committee_before_is_reported_to_the_sender(world: World) -> None:
    claim = EndorsementClaim(
        b"\x01" * 32, 0, 0, Verdict.VALID, bytes(32), "expert_1", int(world.clock.now)
    )
    endorsed = Endorsement.sign(claim, secret("expert_1"), world.committee.id)
    world.take_seats(propose(world))
    world.run(2)

    answer = world.post(AGGREGATOR, "/endorsements", endorsed.to_json())

    assert (answer.status_code, answer.json()["title"]) == (422, "superseded")


# Nobody looks down


@pytest.mark.parametrize("behind", [[ROTATED], ["operator_1", "operator_3", AGGREGATOR]])
def test_probes_at_the_switch_open_no_suspicion(world: World, behind: list[str]) -> None:
    """The logs of some are at the committee before, those of others at the next one."""
    following = rotate(world)
    stop_reading(world, behind)
    world.run(1)
    epochs = {name: world.components(name).log.committee.epoch for name in world.with_a_log()}
    assert epochs == {name: int(name not in behind) for name in world.with_a_log()}

    for name in world.operators:
        world.components(name).peers.probe(max_age=-1)
        results = world.components(name).peers.probe_results
        assert {each.reason for each in results.values()} == {"answered"}, name
    record = world.components(AGGREGATOR).monitor.run_round(
        world.committee.rounds.number(world.clock.now) + 1
    )

    seen = [each.reason for each in record.probe_results if each.node_id != "target_1"]
    assert set(seen) == {"answered"}
    read_again(world, behind)
    world.take_seats(following)
    world.run(2)
    assert set(world.statuses("operator_1").values()) <= {"up", "down"}
    assert [world.story("operator_1", each)[1:] for each in world.operators] == [[]] * 4


def test_an_old_key_counts_for_max_age_only(world: World) -> None:
    following = rotate(world)
    stop_reading(world, [ROTATED])
    world.run(1)
    world.take_seats(following)
    world.run(following.committee.rounds.max_age // 5 + 3)

    assert world.components(ROTATED).log.committee.epoch == 0
    assert world.statuses("operator_1")[ROTATED] == "down"
    read_again(world, [ROTATED])


def suspicion_of(world: World, operator: str, key: Any) -> Any:
    rounds = world.committee.rounds
    start = rounds.start(rounds.number(world.clock.now))
    found = Suspicion("target_1", Status.UP, start, operator)
    body = {
        **found.members(),
        "signature": to_hex(key.sign(found.root(world.committee.network_id))),
    }
    return world.post(AGGREGATOR, "/suspicions", body)


def test_suspicions_count_with_the_key_before_and_with_the_approved_one(world: World) -> None:
    old = world.members.secrets[ROTATED]
    following = rotate(world)
    assert suspicion_of(world, ROTATED, NEXT_KEY).status_code == 422  # nobody has asked yet
    stop_reading(world, [AGGREGATOR])
    world.run(1)
    assert world.components(AGGREGATOR).log.committee.epoch == 0
    assert suspicion_of(world, ROTATED, NEXT_KEY).ok  # approved by a quorum
    read_again(world, [AGGREGATOR])
    world.take_seats(following)

    assert world.components(AGGREGATOR).log.committee == following.committee
    assert suspicion_of(world, ROTATED, old).ok
    assert suspicion_of(world, ROTATED, NEXT_KEY).ok
    assert suspicion_of(world, ROTATED, secret("a stranger")).status_code == 422
    assert suspicion_of(world, NEW, secret(NEW)).status_code == 422


def test_attestation_answers_say_under_which_committee(world: World) -> None:
    following = propose(world)
    stop_reading(world, [ROTATED])
    world.run(1)
    world.take_seats(following)
    aggregator = world.components(AGGREGATOR)
    world.stop("operator_4")

    world.run(1)

    [certified] = [
        each
        for each in aggregator.monitor.recent[-1].attestation_rounds
        if isinstance(each.claim, StatusClaim)
    ]
    assert certified.outcome_of(ROTATED) == "other_committee"
    read_again(world, [ROTATED])


# Moves


def move(world: World, committee: Committee, name: str, url: str) -> Committee:
    """Let a service answer at another URL, beside the one that it had."""
    old = next(host for host, known in world.names.items() if known == name)
    host = urlsplit(url).netloc
    world.names = {host: name, **world.names}
    world.wires.mount(host, world.wires.app(old))
    operators = tuple(
        replace(each, url=url) if each.id == name else each for each in committee.operators
    )
    return replace(committee, operators=operators)


def test_a_moved_operator_is_asked_at_its_new_place(world: World) -> None:
    moved = move(world, world.committee, "operator_3", "http://elsewhere:5000")
    following = propose(world, operators=moved.operators)
    world.run(2)
    world.take_seats(following)
    world.sent.clear()
    world.run(2)

    hosts = {urlsplit(request.url or "").netloc for _, request in world.sent}
    assert "elsewhere:5000" in hosts
    assert "operator-3:5003" not in hosts
    assert world.story("operator_1", "operator_3")[1:] == []
