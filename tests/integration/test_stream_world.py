"""Streams on a simulated clock: outages delay windows, and crashes lose no accepted data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import pytest
import requests

from committees import make_members
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.window import InvalidReason, Statement, Verdict
from dragon.protocol.streams.chunks import digest
from dragon.protocol.streams.finding import Finding
from dragon.protocol.streams.receipt_verification import is_complete, refused, verify
from dragon_aggregator import pending_windows
from dragon_stream.submitter import CERTIFIED_POLL_SECONDS
from stream_simulation import PROVER, STREAMS, StreamWorld

CHUNKS = [b"21.5", b"21.7", b"21.5"]

Made = Mapping[str, Any]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[StreamWorld]:
    with StreamWorld(tmp_path, make_members(experts=2)) as made:
        made.run(1, peers=False)
        yield made


def sensor(world: StreamWorld, **settings: Any) -> Made:
    return world.make("sensor-1", mode="message", **settings)


def steps(world: StreamWorld, step: str) -> dict[str, float]:
    """How often the service tried the step, by outcome."""
    [metric] = world.components(STREAMS).pipeline.counter.collect()
    return {
        sample.labels["outcome"]: sample.value
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["step"] == step
    }


def end_window(world: StreamWorld) -> None:
    """Let the window's second pass, without any step of the service."""
    world.clock.sleep(1.1)


def check_whole(world: StreamWorld, stream: Made, chunks: list[bytes]) -> None:
    """Every chunk is stored once, in order, in a certified window, and its receipt verifies."""
    assert world.get_stream(stream)["chunks"] == len(chunks)
    assert set(world.states(stream)) == {"certified"}
    for sequence, data in enumerate(chunks):
        receipt = world.receipt(stream, sequence)
        assert receipt.chunk.sequence == sequence
        assert not refused(verify(world.committee, receipt, data))


def test_a_window_is_certified_in_the_step_that_follows_its_entry(
    world: StreamWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the pipeline has looked at its windows just before, at the same time."""
    stream = sensor(world)
    world.upload(stream, CHUNKS[0])
    end_window(world)
    components, states = world.components(STREAMS), list[str]()
    take = components.log.take

    def look_and_take(*batches: Any) -> Any:
        world.step_pipeline()
        return take(*batches)

    def look(_: Any) -> None:
        world.step_pipeline()
        states.extend(world.states(stream))

    monkeypatch.setattr(components.log, "take", look_and_take)
    components.follower.subscribe(look)
    world.run(1)

    assert "certified" in states


def test_data_becomes_receipts_that_anyone_can_verify(world: StreamWorld) -> None:
    stream = sensor(world)
    for data in CHUNKS:
        world.upload(stream, data)
    assert not is_complete(verify(world.committee, receipt_when_certified(world, stream)))

    world.run(13)  # a checkpoint is certified every twelve rounds

    receipt = world.receipt(stream, 1)
    checks = verify(world.committee, receipt, CHUNKS[1])
    assert not refused(checks)
    assert is_complete(checks)
    check_whole(world, stream, CHUNKS)


def receipt_when_certified(world: StreamWorld, stream: Made) -> Any:
    world.run(1, peers=False)
    return world.receipt(stream, 1)


def test_a_window_shows_the_vote_of_every_operator(world: StreamWorld) -> None:
    world.stop("operator_4")
    stream = sensor(world)
    world.upload(stream, b"21.5")
    world.run(1, peers=False)

    votes = {vote["operator"]: vote["answer"] for vote in world.window(stream, 0)["votes"]}
    assert [votes.pop(name) for name in world.operators[:3]] == ["valid"] * 3
    assert list(votes) == ["operator_4"]
    assert "valid" not in votes["operator_4"]


def test_metrics_say_whether_compiled_code_verifies(world: StreamWorld) -> None:
    def shown(name: str) -> list[str]:
        return world.get(name, "/metrics").text.splitlines()

    world.upload(sensor(world), b"21.5")
    world.run(1, peers=False)

    for name in world.operators:
        assert 'datadragon_windows_verified_total{verifier="plain"} 1.0' in shown(name)
        assert 'datadragon_windows_verified_total{verifier="compiled"} 0.0' in shown(name)
    for name in (*world.operators, *world.aggregators, STREAMS):
        assert "datadragon_compiled_pairings 0.0" in shown(name)
    with patch("dragon_sequencer.compiled.in_use"):
        assert "datadragon_compiled_pairings 1.0" in shown("operator_1")


def test_a_certified_window_is_seldom_submitted_again(
    world: StreamWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its certificate is on the aggregator's disk, and the log tells when it is final."""
    stream = sensor(world)
    monkeypatch.setattr(world.components("aggregator_0").submitter, "step", list)
    world.upload(stream, b"21.5")
    world.run(1, peers=False)
    for _ in range(10):  # until the service has heard of the certificate
        world.clock.sleep(0.1)
        world.step_pipeline()

    before = len(submissions(world))
    for _ in range(60):
        world.clock.sleep(0.1)
        world.step_pipeline()

    assert world.components(STREAMS).pipeline.submitter.awaited.seconds > 6
    assert 1 <= len(submissions(world)) - before <= 6 / CERTIFIED_POLL_SECONDS


def submissions(world: StreamWorld) -> list[requests.PreparedRequest]:
    """What the stream service has submitted to aggregators."""
    return [
        request
        for name, request in world.sent
        if name == STREAMS and request.method == "POST" and request.path_url == "/windows"
    ]


def test_windows_state_the_size_and_security_of_their_proof(world: StreamWorld) -> None:
    stream = sensor(world)
    world.stop(PROVER)
    world.upload(stream, b"21.5")
    world.run(1, peers=False)
    closed = world.window(stream, 0)
    world.resume(PROVER)
    with patch.object(world.components(STREAMS).pipeline.submitter, "submit"):
        world.run(1, peers=False)
        proven = world.window(stream, 0)
    world.run(1, peers=False)
    certified = world.window(stream, 0)
    (listed,) = world.get_stream(stream, "/windows")["windows"]
    (decided,) = world.get("aggregator_0", "/windows/decided").json()["windows"]

    receipt = world.receipt(stream, 0)
    assert receipt.proven is not None
    size = len(receipt.proven.proof)
    for each in (proven, certified, listed, decided):
        assert (each["proof_bytes"], each["security_bits"]) == (size, 101)
    assert closed["proof_bytes"] is closed["security_bits"] is None
    assert [each["state"] for each in (closed, proven, certified)] == [
        *("closed", "proven", "certified")
    ]


def test_receipts_and_pages_contain_endorsements(world: StreamWorld) -> None:
    """The receipt has the last endorsement by each expert, a page has all endorsements."""
    stream = sensor(world)
    world.upload(stream, b"21.5")
    world.run(1, peers=False)
    endorsements = (("expert_1", "invalid", 1), ("expert_2", "valid", 2), ("expert_1", "valid", 3))
    for expert, verdict, later in endorsements:
        claim = EndorsementClaim(
            world.known(stream).id,
            *(0, 0, Verdict(verdict), bytes(32), expert, int(world.clock.now) + later),
        )
        world.clock.sleep(5)
        answer = world.post("aggregator_0", "/endorsements", world.members.endorse(claim).to_json())
        assert answer.status_code == 202
        world.settle()

    pages = [world.window(stream, 0)["endorsements"]]
    path = f"/streams/{stream['stream']}/windows/0"
    pages.append(world.get("operator_3", path).json()["endorsements"])
    for page in pages:
        assert [(each["expert"], each["verdict"]) for each in page] == [e[:2] for e in endorsements]
    checks = verify(world.committee, world.receipt(stream, 0), b"21.5")
    assert not refused(checks)
    assert all(expert in checks[-1].detail for expert in ("expert_1", "expert_2"))
    assert "invalid" not in checks[-1].detail


@pytest.mark.parametrize("name", [PROVER, "aggregator_0", "sequencer", "operator_1"])
def test_an_outage_delays_a_window_and_loses_nothing(world: StreamWorld, name: str) -> None:
    stream = sensor(world)
    world.stop(name)
    if name == "operator_1":
        world.stop("operator_2")  # two of four are no quorum
    for data in CHUNKS:
        world.upload(stream, data)
    world.run(2, peers=False)
    assert world.states(stream) == [{PROVER: "closed"}.get(name, "proven")]

    for down in (name, "operator_2"):
        world.resume(down)
    world.run(2, peers=False)

    check_whole(world, stream, CHUNKS)


def test_an_unreachable_prover_is_asked_for_one_window_and_then_checked(world: StreamWorld) -> None:
    world.stop(PROVER)
    streams = [world.make(name, mode="message") for name in ("sensor-1", "sensor-2", "sensor-3")]
    for stream in streams:
        world.upload(stream, b"21.5")
    end_window(world)

    for _ in range(3):
        world.step_pipeline()
        world.step_pipeline()
        assert steps(world, "prove") == {"unreachable": 1}
        end_window(world)

    world.resume(PROVER)
    world.run(2, peers=False)
    for stream in streams:
        check_whole(world, stream, [b"21.5"])


def test_a_busy_prover_is_asked_once_a_second_for_all_windows(world: StreamWorld) -> None:
    world.impersonate(PROVER, too_busy)
    for name in ("sensor-1", "sensor-2", "sensor-3"):
        world.upload(world.make(name, mode="message"), b"21.5")
    end_window(world)

    for asked in (1, 2):
        world.step_pipeline()
        world.step_pipeline()
        assert steps(world, "prove") == {"bad_answer": asked}
        end_window(world)


def too_busy(_environ: object, start: Callable[..., object]) -> list[bytes]:
    start("503 Service Unavailable", [("Content-Type", "application/problem+json")])
    return [b'{"title": "busy"}']


@pytest.mark.parametrize("state", ["accepted", "closed", "proven", "submitted", "certified"])
def test_a_crash_at_any_moment_changes_nothing(world: StreamWorld, state: str) -> None:
    stream, before = sensor(world), None
    for data in CHUNKS[:2]:
        world.upload(stream, data)
    if state != "accepted":
        end_window(world)
        world.stop(PROVER if state == "closed" else "aggregator_0")
        world.step_pipeline()
        world.resume(PROVER)
        if state != "proven":
            world.resume("aggregator_0")
        if state == "submitted":
            world.clock.sleep(1.1)
            world.step_pipeline()
        if state == "certified":
            world.run(1, peers=False)
        before = world.row(stream, 0)

    world.restart(STREAMS)

    world.resume("aggregator_0")
    assert world.get_stream(stream)["chunks"] == 2
    world.run(1, peers=False)
    world.upload(stream, CHUNKS[2], offset=8)
    world.run(2, peers=False)
    check_whole(world, stream, CHUNKS)
    if before is not None:
        after = world.row(stream, 0)
        assert (after.header, after.signature, after.chunks) == (
            before.header,
            before.signature,
            before.chunks,
        )


def test_a_window_is_submitted_again_after_an_aggregator_lost_it(world: StreamWorld) -> None:
    stream = sensor(world)
    world.upload(stream, b"21.5")
    end_window(world)
    world.stop("operator_1")
    world.stop("operator_2")
    world.settle()
    assert world.states(stream) == ["proven"]

    world.restart("aggregator_0")
    world.resume("operator_1")
    world.resume("operator_2")
    world.run(1, peers=False)

    check_whole(world, stream, [b"21.5"])


def proven(world: StreamWorld, stream: Made) -> None:
    world.upload(stream, b"21.5")
    end_window(world)
    world.stop("aggregator_0")
    world.settle()
    assert world.states(stream) == ["proven"]


def test_a_refuted_proof_is_replaced(world: StreamWorld) -> None:
    stream = sensor(world)
    proven(world, stream)
    first = world.row(stream, 0)

    world.refute(stream, InvalidReason.STARK)
    world.resume("aggregator_0")
    world.run(2, peers=False)

    check_whole(world, stream, [b"21.5"])
    second = world.row(stream, 0)
    assert second.header == first.header
    assert second.proof != first.proof


def test_a_stream_with_an_invalid_window_accepts_nothing_more(world: StreamWorld) -> None:
    stream = sensor(world)
    proven(world, stream)

    world.refute(stream, InvalidReason.HEADER)
    world.resume("aggregator_0")
    world.run(1, peers=False)

    assert world.states(stream) == ["invalid"]
    assert "invalid (header)" in world.get_stream(stream)["stopped"]
    answer = refused_upload(world, stream)
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (409, "stream-stopped")


@pytest.mark.parametrize("statement", list(Statement))
def test_an_event_that_states_what_the_header_does_not_claim_stops_the_stream(
    world: StreamWorld, statement: Statement
) -> None:
    """Only a quorum of liars could sign it. The stream has no readings."""
    stream = sensor(world)
    proven(world, stream)
    row, rounds = world.row(stream, 0), world.committee.rounds
    claim = Finding(InvalidReason.NONE).claim(
        world.known(stream).keys.descriptor,
        row.header,
        hashlib.sha256(row.proof).digest(),
        rounds.start(rounds.number(world.clock.now)),
    )

    world.submit(world.members.certify(replace(claim, statement=statement), world.operators[:3]))
    world.resume("aggregator_0")
    world.run(1, peers=False)

    assert "another claim about window 0" in world.get_stream(stream)["stopped"]
    assert world.states(stream) == ["proven"]


def refused_upload(world: StreamWorld, stream: Made) -> requests.Response:
    url = f"http://streams:5300/streams/{stream['stream']}/data"
    headers = {"Authorization": f"Bearer {stream['token']}"}
    return world.session("owner").post(url, data=b"more", headers=headers)


@pytest.mark.parametrize(
    ("closed", "reason"), [(True, "another window 0"), (False, "another service uses the same key")]
)
def test_of_two_services_with_one_key_only_one_gets_its_window_certified(
    world: StreamWorld, tmp_path: Path, closed: bool, reason: str
) -> None:
    """Two copies of a service run at once; the one with the uncertified window stops."""
    stream = sensor(world)
    (tmp_path / "copy").mkdir()
    with StreamWorld(tmp_path / "copy", world.members, verify_at_end=False) as copy:
        copy.clock.now = world.clock.now
        copy.reseed(2)
        twin = same_stream(world, copy, stream)
        copy.upload(twin, b"another")
        copy.run(1, peers=False)
        event = copy.window(twin, 0)["event"]
    world.upload(stream, b"21.5")
    if closed:
        world.clock.sleep(1.1)
        world.step_pipeline()
    world.submit(event)
    world.run(1, peers=False)

    assert reason in world.get_stream(stream)["stopped"]


def same_stream(world: StreamWorld, copy: StreamWorld, stream: Made) -> Made:
    [row] = world.components(STREAMS).store.streams()
    copy.components(STREAMS).store.add_stream(row)
    (copy.data / row.stream.hex()).mkdir()
    copy.restart(STREAMS)
    return stream


def test_windows_of_streams_are_closed_in_turns(world: StreamWorld) -> None:
    world.stop(PROVER)
    busy, other = (world.make(name, mode="message", window_chunks=1) for name in ("busy", "other"))
    for number in range(20):
        world.upload(busy, b"%d" % number)
    world.upload(other, b"21.5")

    for closed in (8, 16, 20):
        world.step_pipeline()
        assert (len(world.states(busy)), len(world.states(other))) == (closed, 1)

    world.resume(PROVER)
    world.run(5, peers=False)
    check_whole(world, busy, [b"%d" % number for number in range(20)])


def test_pending_windows_limit_the_accepted_data(tmp_path: Path) -> None:
    with StreamWorld(tmp_path, make_members()) as world:
        world.run(1, peers=False)
        world.max_pending_windows = 2
        world.restart(STREAMS)
        stream = sensor(world)
        world.stop(PROVER)
        for data in CHUNKS[:2]:
            world.upload(stream, data)
            end_window(world)
            world.step_pipeline()

        answer = refused_upload(world, stream)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")

        world.resume(PROVER)
        world.run(2, peers=False)
        world.upload(stream, CHUNKS[2])
        world.run(1, peers=False)
        check_whole(world, stream, CHUNKS)


def test_full_windows_that_are_not_closed_count_as_pending(tmp_path: Path) -> None:
    with StreamWorld(tmp_path, make_members()) as world:
        world.run(1, peers=False)
        world.max_pending_windows = 2
        world.restart(STREAMS)
        stream = sensor(world, window_chunks=1)
        for data in CHUNKS[:2]:
            world.upload(stream, data)

        assert world.states(stream) == []
        assert refused_upload(world, stream).status_code == 429
        world.run(2, peers=False)
        check_whole(world, stream, CHUNKS[:2])


def test_retention_deletes_data_and_keeps_receipts(world: StreamWorld) -> None:
    stream = sensor(world, retention_seconds=60)
    world.upload(stream, b"21.5")
    world.run(1, peers=False)

    world.clock.sleep(3600)
    world.run(1, peers=False)
    world.upload(stream, b"21.7")
    world.clock.sleep(3600)
    world.run(2, peers=False)

    receipt = world.receipt(stream, 0, proof=False)
    assert receipt.opening is not None
    assert receipt.opening[:32] == digest(b"21.5")
    assert not refused(verify(world.committee, receipt, b"21.5"))
    assert world.row(stream, 0).proof is None
    assert "was deleted" in world.ask(stream, "/chunks/0/receipt?proof=1").json()["detail"]


def test_a_stream_stops_when_its_ledger_was_reset(world: StreamWorld) -> None:
    """No window can be certified after windows that are gone from the ledger."""
    stream = sensor(world)
    world.upload(stream, b"21.5")
    world.run(1, peers=False)
    world.crash(STREAMS)
    world.database_file(STREAMS).unlink()
    (world.folder / "anew").mkdir()
    with StreamWorld(world.folder / "anew", world.members, verify_at_end=False) as anew:
        anew.clock.now = world.clock.now
        anew.run(1, peers=False)
        anew.crash(STREAMS)
        (anew.folder / "streams" / "windows.db").unlink()
        world.data.rename(anew.folder / "streams" / "moved")
        for part in (anew.folder / "streams" / "moved").iterdir():
            part.rename(anew.folder / "streams" / part.name)
        anew.start(STREAMS)
        anew.upload(stream, b"21.7")
        anew.run(2, peers=False)
        assert "ledger was reset" in anew.get_stream(stream)["stopped"]
    world.start(STREAMS)


# -- busy aggregators and operators ----------------------------------------------------------------


def reasons(world: StreamWorld) -> list[str]:
    """Why the stream service is not ready, as far as its streams are concerned."""
    found = world.session("public").get("http://streams:5300/readyz").json().get("reasons", [])
    return [reason for reason in found if reason.startswith("busy: sensor-1: window 0")]


def test_a_stream_that_an_aggregator_has_no_place_for_says_so_and_waits(
    world: StreamWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = sensor(world)
    with monkeypatch.context() as patch:
        patch.setattr(pending_windows, "MAX_NEW_STREAMS", 0)
        world.upload(stream, CHUNKS[0])
        world.run(2, peers=False)
        shown = reasons(world)
        answers = steps(world, "submit")["bad_answer"]

    assert "the aggregator is busy: answered 429" in shown[0]
    assert answers <= 4  # it waits for longer each time
    world.run(3, peers=False)
    check_whole(world, stream, CHUNKS[:1])
    assert reasons(world) == []


def test_busy_operators_are_shown_as_the_reason(world: StreamWorld) -> None:
    stream = sensor(world)
    world.upload(stream, CHUNKS[0])
    listener = Mock()
    events = world.components(STREAMS).events
    with ExitStack() as held:
        held.enter_context(events.subscribed(world.known(stream).id, listener))
        for name in world.operators:
            scheduler = world.components(name).window_voter.verifications
            held.enter_context(scheduler.hold(world.known(stream).id))
        world.run(3, peers=False)
        shown = reasons(world)
        votes = world.window(stream, 0)["votes"]

    assert "busy operators: operator_1, operator_2" in shown[0]
    assert {vote["answer"] for vote in votes} == {"busy"}
    sent = [json.loads(call.args[0]) for call in listener.send.call_args_list]
    assert votes in [event["votes"] for event in sent if event["type"] == "votes"]
    assert "busy operators: operator_1" in next(
        event["detail"] for event in sent if event["type"] == "busy"
    )
    world.run(2, peers=False)
    check_whole(world, stream, CHUNKS[:1])
    assert reasons(world) == []
