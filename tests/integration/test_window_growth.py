"""Windows of a simulated fleet grow while others wait for proofs, and shrink again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from committees import make_members
from stream_simulation import PROVER, STREAMS, StreamWorld

Made = Mapping[str, Any]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[StreamWorld]:
    with StreamWorld(tmp_path, make_members()) as made:
        made.run(1, peers=False)
        yield made


def send(world: StreamWorld, *streams: Made) -> None:
    """A message for each stream, and the time of its window."""
    for stream in streams:
        world.upload(stream, b"21.5")
    world.clock.sleep(1.1)
    world.step_pipeline()
    world.step_pipeline()


def counts(world: StreamWorld, stream: Made) -> list[int]:
    """The chunks of all closed windows."""
    return [window["count"] for window in world.get_stream(stream, "/windows")["windows"]]


def test_a_window_behind_three_others_grows(world: StreamWorld) -> None:
    stream = world.make("one", mode="message")
    world.stop(PROVER)
    for _ in range(6):
        send(world, stream)
    assert counts(world, stream) == [1, 1, 1]

    world.resume(PROVER)
    world.run(3, peers=False)

    assert counts(world, stream) == [1, 1, 1, 3]
    send(world, stream)
    assert counts(world, stream) == [1, 1, 1, 3, 1]


def test_with_many_windows_in_the_service_a_stream_has_one(world: StreamWorld) -> None:
    streams = [world.make(f"sensor-{number}", mode="message") for number in range(5)]
    world.stop(PROVER)
    for _ in range(5):
        send(world, *streams)

    found = [counts(world, stream) for stream in streams]
    assert all(len(each) <= 2 for each in found)  # one, and what was closed in the same step

    world.resume(PROVER)
    world.run(4, peers=False)

    assert all(sum(counts(world, stream)) == 5 for stream in streams)
    assert all(set(world.states(stream)) == {"certified"} for stream in streams)


def test_windows_of_a_stopped_stream_delay_no_other(world: StreamWorld) -> None:
    stopped = world.make("stopped", mode="message", window_chunks=1)
    stream = world.make("one", mode="message")
    world.stop(PROVER)
    send(world, *[stopped] * 6)
    components = world.components(STREAMS)
    components.streams.stop(world.known(stopped), "a test")
    for _ in range(6):
        send(world, stream)

    assert world.states(stopped) == ["closed"] * 6
    assert counts(world, stream) == [1, 1, 1]


def test_a_window_that_waits_for_the_ledger_delays_no_other(world: StreamWorld) -> None:
    stream = world.make("one", mode="message")
    send(world, stream)
    awaited = world.components(STREAMS).pipeline.submitter.awaited
    pipeline = world.components(STREAMS).pipeline
    assert pipeline.backlog(world.known(stream).id).stream == 1

    awaited.update(world.known(stream).id, 0, is_certified=True)

    assert pipeline.backlog(world.known(stream).id).stream == 0
