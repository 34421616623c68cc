"""Streams with readings on a simulated clock: crashes, refuted proofs and retention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from committees import make_members
from dragon.protocol.claims.window import InvalidReason
from dragon.protocol.streams.receipt_verification import refused, verify
from dragon.stark.commitment import committed_reading
from dragon_stream.proof_request import ProofRequest
from local_streams import COLD_CHAIN
from stream_simulation import PROVER, STREAMS, StreamWorld

Made = Mapping[str, Any]
MESSAGES: Final = [b"4.00", b"4.50", b"5.00", b"5.5 ", b"door open", b"5.5"]
# Windows of two; the third one has a message without a number.
STATEMENTS: Final = ["readings", "readings", "blocks"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[StreamWorld]:
    with StreamWorld(tmp_path, make_members()) as made:
        made.run(1, peers=False)
        yield made


def truck(world: StreamWorld, **settings: Any) -> Made:
    return world.make("truck", readings=COLD_CHAIN, window_chunks=2, **settings)


def upload(world: StreamWorld, stream: Made, messages: list[bytes]) -> None:
    for data in messages:
        world.upload(stream, data)


def check_whole(world: StreamWorld, stream: Made) -> None:
    """Every window is certified with its statement, and every receipt with proof and data holds."""
    windows = world.get_stream(stream, "/windows")["windows"]
    assert [each["state"] for each in windows] == ["certified"] * len(STATEMENTS)
    assert [each["statement"] for each in windows] == STATEMENTS
    for sequence, data in enumerate(MESSAGES):
        receipt = world.receipt(stream, sequence)
        assert not refused(verify(world.committee, receipt, data))
        assert receipt.proven is not None
        carries = 2 <= sequence < 4
        assert (receipt.proven.previous is not None) is carries


def rows(world: StreamWorld, stream: Made) -> list[Any]:
    return [world.row(stream, number) for number in range(len(STATEMENTS))]


@pytest.mark.parametrize("state", ["accepted", "closed", "proven", "certified"])
def test_a_crash_at_any_moment_changes_no_window(world: StreamWorld, state: str) -> None:
    stream, before = truck(world), []
    upload(world, stream, MESSAGES)
    if state != "accepted":
        world.stop(PROVER if state == "closed" else "aggregator_0")
        world.step_pipeline()
        world.resume(PROVER)
        world.clock.sleep(0.2)
        if state == "certified":
            world.resume("aggregator_0")
            world.run(3, peers=False)
        before = rows(world, stream)

    world.restart(STREAMS)

    world.resume("aggregator_0")
    world.run(4, peers=False)
    check_whole(world, stream)
    for old, new in zip(before, rows(world, stream), strict=False):
        kept = ("header", "signature", "chunks", "digests", "readings", "statement")
        assert [getattr(new, name) for name in kept] == [getattr(old, name) for name in kept]


def test_a_start_between_two_windows_carries_the_last_reading(world: StreamWorld) -> None:
    stream = truck(world)
    upload(world, stream, MESSAGES[:2])
    world.step_pipeline()
    world.restart(STREAMS)
    upload(world, stream, MESSAGES[2:4])
    world.step_pipeline()
    world.restart(STREAMS)
    upload(world, stream, MESSAGES[4:])
    world.run(4, peers=False)

    check_whole(world, stream)


def test_a_refuted_proof_is_replaced_by_one_of_the_same_statement(world: StreamWorld) -> None:
    stream = truck(world)
    upload(world, stream, MESSAGES[:2])
    world.stop("aggregator_0")
    world.step_pipeline()
    world.clock.sleep(0.2)
    world.step_pipeline()
    [first] = [world.row(stream, 0)]
    known = world.known(stream)
    asked = ProofRequest.of(world.components(STREAMS).store, known.keys, first)

    world.refute(stream, InvalidReason.STARK)
    world.resume("aggregator_0")
    world.run(2, peers=False)

    second = world.row(stream, 0)
    assert world.states(stream) == ["certified"]
    assert (second.header, second.readings) == (first.header, first.readings)
    assert second.proof not in {None, first.proof}
    again = ProofRequest.of(world.components(STREAMS).store, known.keys, second)
    assert again == asked


def test_after_its_retention_a_chunk_can_still_be_disclosed(world: StreamWorld) -> None:
    stream = truck(world, retention_seconds=60)
    upload(world, stream, MESSAGES[:2])
    world.run(1, peers=False)

    world.clock.sleep(3600)
    world.run(1, peers=False)
    upload(world, stream, MESSAGES[2:4])
    world.clock.sleep(3600)
    world.run(2, peers=False)

    deleted = world.session("owner").get(
        f"http://streams:5300/streams/{stream['stream']}/chunks/1/data",
        headers={"Authorization": f"Bearer {stream['token']}"},
    )
    assert "was deleted" in deleted.json()["detail"]
    receipt = world.receipt(stream, 1, proof=False)
    assert receipt.opening is not None
    assert committed_reading(receipt.opening) == 450
    assert not refused(verify(world.committee, receipt, MESSAGES[1]))
    listed = world.get_stream(stream, "/chunks", stream["token"])["chunks"]
    assert [each["length"] for each in listed] == [len(data) for data in MESSAGES[:4]]
