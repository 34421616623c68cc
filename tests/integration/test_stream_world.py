"""A stream on a simulated clock: what is down delays it, crashes lose nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from committees import make_members
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.window import InvalidReason, Verdict
from dragon.protocol.streams.chunks import digest
from dragon.protocol.streams.receipt_verification import is_complete, refused, verify
from stream_simulation import PROVER, STREAMS, StreamWorld

CHUNKS = [b"21.5", b"21.7", b"21.5"]

Made = Mapping[str, Any]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[StreamWorld]:
    with StreamWorld(tmp_path, make_members(experts=2)) as made:
        made.run(1, peers=False)
        yield made


def sensor(world: StreamWorld, **wanted: Any) -> Made:
    return world.make("sensor-1", mode="message", **wanted)


def step(world: StreamWorld) -> None:
    """Only the stream service does something."""
    components = world.components(STREAMS)
    components.pipeline.step(components.streams)


def steps(world: StreamWorld, step: str) -> dict[str, float]:
    """How often the service has tried it, by what came of it."""
    [metric] = world.components(STREAMS).pipeline.counter.collect()
    return {
        sample.labels["outcome"]: sample.value
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["step"] == step
    }


def over(world: StreamWorld) -> None:
    """The window's second is over, and nothing of it has gone anywhere."""
    world.clock.sleep(1.1)


def check_whole(world: StreamWorld, stream: Made, chunks: list[bytes]) -> None:
    """Every chunk is there once, in order, in a certified window, and its receipt verifies."""
    assert world.look(stream)["chunks"] == len(chunks)
    assert set(world.states(stream)) == {"certified"}
    for sequence, data in enumerate(chunks):
        receipt = world.receipt(stream, sequence)
        assert receipt.chunk.sequence == sequence
        assert not refused(verify(world.committee, receipt, data))


def test_data_becomes_receipts_that_anyone_can_check(world: StreamWorld) -> None:
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


def test_every_operator_is_shown_with_what_it_said(world: StreamWorld) -> None:
    world.stop("operator_4")
    stream = sensor(world)
    world.upload(stream, b"21.5")
    world.run(1, peers=False)

    said = {vote["operator"]: vote["answer"] for vote in world.window(stream, 0)["votes"]}
    assert said == dict.fromkeys(world.operators[:3], "valid") | {"operator_4": said["operator_4"]}
    assert "valid" not in said["operator_4"]


def test_an_expert_is_heard_by_receipts_and_pages(world: StreamWorld) -> None:
    """Each expert's last word on the window is in the receipt; a page has all of them."""
    stream = sensor(world)
    world.upload(stream, b"21.5")
    world.run(1, peers=False)
    words = (("expert_1", "invalid", 1), ("expert_2", "valid", 2), ("expert_1", "valid", 3))
    for expert, verdict, later in words:
        said = EndorsementClaim(
            world.known(stream).id,
            *(0, 0, Verdict(verdict), bytes(32), expert, int(world.clock.now) + later),
        )
        world.clock.sleep(5)
        answer = world.post("aggregator_0", "/endorsements", world.members.endorse(said).to_json())
        assert answer.status_code == 202
        world.settle()

    pages = [world.window(stream, 0)["endorsements"]]
    path = f"/streams/{stream['stream']}/windows/0"
    pages.append(world.get("operator_3", path).json()["endorsements"])
    for page in pages:
        assert [(each["expert"], each["verdict"]) for each in page] == [w[:2] for w in words]
    checks = verify(world.committee, world.receipt(stream, 0), b"21.5")
    assert not refused(checks)
    assert checks[-1].detail == "expert_1 calls it valid, expert_2 calls it valid"


@pytest.mark.parametrize("name", [PROVER, "aggregator_0", "sequencer", "operator_1"])
def test_what_is_down_delays_a_window_and_loses_nothing(world: StreamWorld, name: str) -> None:
    stream = sensor(world)
    world.stop(name)
    if name == "operator_1":
        world.stop("operator_2")  # of four: no majority
    for data in CHUNKS:
        world.upload(stream, data)
    world.run(2, peers=False)
    assert world.states(stream) == [{PROVER: "closed"}.get(name, "proven")]

    for down in (name, "operator_2"):
        world.resume(down)
    world.run(2, peers=False)

    check_whole(world, stream, CHUNKS)


def test_a_prover_that_is_away_is_asked_once_a_second_whatever_waits(world: StreamWorld) -> None:
    world.stop(PROVER)
    streams = [world.make(name, mode="message") for name in ("sensor-1", "sensor-2", "sensor-3")]
    for stream in streams:
        world.upload(stream, b"21.5")
    over(world)

    for asked in (1, 2):
        step(world)
        step(world)
        assert steps(world, "prove") == {"unreachable": asked}
        over(world)

    world.resume(PROVER)
    world.run(2, peers=False)
    for stream in streams:
        check_whole(world, stream, [b"21.5"])


def test_a_prover_that_is_busy_is_asked_for_every_window(world: StreamWorld) -> None:
    world.impersonate(PROVER, too_busy)
    for name in ("sensor-1", "sensor-2", "sensor-3"):
        world.upload(world.make(name, mode="message"), b"21.5")
    over(world)

    step(world)
    step(world)

    assert steps(world, "prove") == {"bad_answer": 3}


def too_busy(_environ: object, start: Callable[..., object]) -> list[bytes]:
    start("503 Service Unavailable", [("Content-Type", "application/problem+json")])
    return [b'{"title": "busy"}']


@pytest.mark.parametrize("state", ["accepted", "closed", "proven", "submitted", "certified"])
def test_a_crash_at_any_moment_changes_nothing(world: StreamWorld, state: str) -> None:
    stream, before = sensor(world), None
    for data in CHUNKS[:2]:
        world.upload(stream, data)
    if state != "accepted":
        over(world)
        world.stop(PROVER if state == "closed" else "aggregator_0")
        step(world)
        world.resume(PROVER)
        if state != "proven":
            world.resume("aggregator_0")
        if state == "submitted":
            world.clock.sleep(1.1)
            step(world)
        if state == "certified":
            world.run(1, peers=False)
        before = world.row(stream, 0)

    world.restart(STREAMS)

    world.resume("aggregator_0")
    assert world.look(stream)["chunks"] == 2
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


def test_an_aggregator_that_forgets_is_told_again(world: StreamWorld) -> None:
    stream = sensor(world)
    world.upload(stream, b"21.5")
    over(world)
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
    over(world)
    world.stop("aggregator_0")
    world.settle()
    assert world.states(stream) == ["proven"]


def test_a_refuted_proof_is_made_anew(world: StreamWorld) -> None:
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


def test_a_stream_whose_window_is_refuted_takes_nothing_more(world: StreamWorld) -> None:
    stream = sensor(world)
    proven(world, stream)

    world.refute(stream, InvalidReason.HEADER)
    world.resume("aggregator_0")
    world.run(1, peers=False)

    assert world.states(stream) == ["invalid"]
    assert "invalid (header)" in world.look(stream)["stopped"]
    answer = refused_upload(world, stream)
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (409, "stream-stopped")


def refused_upload(world: StreamWorld, stream: Made) -> requests.Response:
    url = f"http://streams:5300/streams/{stream['stream']}/data"
    headers = {"Authorization": f"Bearer {stream['token']}"}
    return world.session("owner").post(url, data=b"more", headers=headers)


def test_two_services_with_one_key_do_not_both_get_their_window(
    world: StreamWorld, tmp_path: Path
) -> None:
    """A copy of the service's folder at work beside it: the ledger takes one, the other stops."""
    stream = sensor(world)
    (tmp_path / "copy").mkdir()
    with StreamWorld(tmp_path / "copy", world.members, verify_at_end=False) as copy:
        copy.clock.now = world.clock.now
        copy._random.seed(2)
        twin = same_stream(world, copy, stream)
        copy.upload(twin, b"another")
        copy.run(1, peers=False)
        event = copy.window(twin, 0)["event"]
    world.upload(stream, b"21.5")
    world.submit(event)
    world.run(1, peers=False)

    assert "another window 0" in world.look(stream)["stopped"]


def same_stream(world: StreamWorld, copy: StreamWorld, stream: Made) -> Made:
    [row] = world.components(STREAMS).store.streams()
    copy.components(STREAMS).store.add_stream(row)
    copy.restart(STREAMS)
    return stream


def test_a_busy_stream_has_its_windows_closed_in_turns(world: StreamWorld) -> None:
    world.stop(PROVER)
    busy, other = (world.make(name, mode="message", window_chunks=1) for name in ("busy", "other"))
    for number in range(20):
        world.upload(busy, b"%d" % number)
    world.upload(other, b"21.5")

    for closed in (8, 16, 20):
        step(world)
        assert (len(world.states(busy)), len(world.states(other))) == (closed, 1)

    world.resume(PROVER)
    world.run(5, peers=False)
    check_whole(world, busy, [b"%d" % number for number in range(20)])


def test_windows_that_wait_bound_what_is_taken(tmp_path: Path) -> None:
    with StreamWorld(tmp_path, make_members()) as world:
        world.run(1, peers=False)
        world.waiting = 2
        world.restart(STREAMS)
        stream = sensor(world)
        world.stop(PROVER)
        for data in CHUNKS[:2]:
            world.upload(stream, data)
            over(world)
            step(world)

        answer = refused_upload(world, stream)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")

        world.resume(PROVER)
        world.run(2, peers=False)
        world.upload(stream, CHUNKS[2])
        world.run(1, peers=False)
        check_whole(world, stream, CHUNKS)


def test_windows_that_nobody_has_closed_yet_bound_it_too(tmp_path: Path) -> None:
    with StreamWorld(tmp_path, make_members()) as world:
        world.run(1, peers=False)
        world.waiting = 2
        world.restart(STREAMS)
        stream = sensor(world, window_chunks=1)
        for data in CHUNKS[:2]:
            world.upload(stream, data)

        assert world.states(stream) == []
        assert refused_upload(world, stream).status_code == 429
        world.run(2, peers=False)
        check_whole(world, stream, CHUNKS[:2])


def test_data_goes_when_its_time_is_over_and_receipts_do_not(world: StreamWorld) -> None:
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
    assert "no longer kept" in world.ask(stream, "/chunks/0/receipt?proof=1").json()["detail"]


def test_a_stream_whose_ledger_has_begun_anew_stops(world: StreamWorld) -> None:
    """Its windows are gone from the ledger: nothing that follows them could be certified."""
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
        assert "begun anew" in anew.look(stream)["stopped"]
    world.start(STREAMS)
