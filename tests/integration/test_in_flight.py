"""What is on its way when a committee hands over: nothing is lost, and nobody looks down."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from committees import Members, make_members, secret
from dragon.encoding import Json, to_hex
from dragon.errors import LedgerUnavailable
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.maintenance import MaintenanceClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.claims.window import Verdict
from dragon.protocol.committee import Aggregator
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.messages import Suspicion
from dragon.protocol.rounds import Rounds
from epochs import propose
from simulation import World
from stream_simulation import STREAMS, StreamWorld

AGGREGATOR, NEW, ROTATED = "aggregator_0", "operator_5", "operator_2"
NEXT_KEY = secret("operator_2 again")
Sent = Sequence[Mapping[str, Json]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path, make_members(4, targets=1, experts=1)) as world:
        world.run(3)
        yield world


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
    for member in ("seconds_down", "seconds_maintenance", "seconds_unknown", "size", "root"):
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


def test_an_announcement_for_the_committee_before_is_reported_to_the_sender(world: World) -> None:
    begin = int(world.clock.now) + 2 * world.committee.maintenance_notice
    announced = world.members.announce(
        MaintenanceClaim("operator_1", begin, begin + 60, int(world.clock.now))
    )
    world.take_seats(propose(world))
    world.run(2)

    answer = world.post(AGGREGATOR, "/maintenance", announced.to_json())

    assert (answer.status_code, answer.json()["title"]) == (422, "superseded")
    world.announce("operator_1", begin, 60)
    assert len(world.components("operator_2").log.announcements("operator_1")) == 1


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


def move(world: World, name: str, url: str) -> None:
    """Let a service answer at another URL, beside the one that it had."""
    old = next(host for host, known in world.names.items() if known == name)
    host = urlsplit(url).netloc
    world.names = {host: name, **world.names}
    world.wires.mount(host, world.wires.app(old))


def hosts_asked(world: World, caller: str = "") -> set[str]:
    return {
        urlsplit(request.url or "").netloc for name, request in world.sent if caller in {"", name}
    }


def test_a_moved_operator_is_asked_at_its_new_place(world: World) -> None:
    move(world, "operator_3", "http://elsewhere:5000")
    operators = tuple(
        replace(each, url="http://elsewhere:5000") if each.id == "operator_3" else each
        for each in world.committee.operators
    )
    following = propose(world, operators=operators)
    world.run(2)
    world.take_seats(following)
    world.sent.clear()
    world.run(2)

    assert "elsewhere:5000" in hosts_asked(world)
    assert "operator-3:5003" not in hosts_asked(world)
    assert world.story("operator_1", "operator_3")[1:] == []


def test_a_moved_aggregator_is_told_at_its_new_place(tmp_path: Path) -> None:
    with StreamWorld(tmp_path, make_members(4)) as world:
        world.run(3)
        move(world, AGGREGATOR, "http://elsewhere:5100")
        following = propose(world, aggregators=(Aggregator("http://elsewhere:5100", 0),))
        world.run(2)
        world.take_seats(following)
        stream = world.make("sensor-1", mode="message")
        world.sent.clear()
        world.upload(stream, b"21.5")
        world.run(1)
        world.stop("operator_4")
        world.run(8)

        assert world.states(stream) == ["certified"]
        for name in (STREAMS, "operator_1"):  # windows, objects, and reports of a peer
            assert "elsewhere:5100" in hosts_asked(world, name)
            assert "aggregator-0:5100" not in hosts_asked(world, name)


class Stop(threading.Event):
    """Moves the clock of a world while a loop waits, and ends the loop after some waits."""

    def __init__(self, world: World, waits: int) -> None:
        super().__init__()
        self._world, self._left = world, waits

    def wait(self, timeout: float | None = None) -> bool:
        self._world.clock.sleep(timeout or 0.0)
        self._world.settle()
        self._left -= 1
        if self._left <= 0:
            self.set()
        return self.is_set()


def test_an_aggregator_runs_the_rounds_of_the_committee_that_holds(world: World) -> None:
    """A handover makes them three times as long, so that they have other numbers."""
    rounds = Rounds(world.committee.rounds.genesis, 15)
    aggregator = world.components(AGGREGATOR)
    following = propose(world, rounds=rounds)
    run_round, seen = aggregator.monitor.run_round, []

    def running(number: int, *, skipped: int = 0) -> Any:
        held = aggregator.log.committee.rounds
        seen.append((held.seconds, held.start(number), skipped))
        record = run_round(number, skipped=skipped)
        aggregator.handovers.step(held.start(number))
        world.confirm_clocks(again=True)
        return record

    aggregator.monitor.run_round = running
    aggregator.monitor.run(Stop(world, 24))
    world.take_seats(following)

    lengths = [seconds for seconds, _, _ in seen]
    assert set(lengths) == {5, 15}
    starts = [start for _, start, _ in seen]
    assert starts == sorted(set(starts))
    slow = [start for seconds, start, _ in seen if seconds == 15]
    assert [b - a for a, b in pairwise(slow)] == [15] * (len(slow) - 1)
    assert sum(skipped for _, _, skipped in seen) == 0
