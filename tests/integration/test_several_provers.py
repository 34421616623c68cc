"""A stream service with two provers: one that fails delays no window, and is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dragon_sequencer.client import SequencerClient
from dragon_stream.provers import TRIAL_PAUSE_SECONDS
from simulation import Made
from stream_simulation import PROVER, STREAMS, StreamWorld

SECOND = "zkp_api_2"
FIRST_HOST, SECOND_HOST = "prover:5200", "prover-2:5201"


class TwoProvers(StreamWorld):
    """A world with a second prover."""

    def __post_init__(self) -> None:
        self.prover_urls = (f"http://{FIRST_HOST}", f"http://{SECOND_HOST}")
        super().__post_init__()
        self.names |= {SECOND_HOST: SECOND}
        self.start(SECOND)

    def _make(self, name: str, client: SequencerClient) -> Made:
        return self._make_prover(name) if name == SECOND else super()._make(name, client)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TwoProvers]:
    with TwoProvers(tmp_path) as made:
        made.run(1, peers=False)
        yield made


def proofs(world: StreamWorld) -> dict[tuple[str, str], float]:
    """The requested proofs, by prover and outcome."""
    (family,) = world.components(STREAMS).pipeline.provers.counter.collect()
    return {
        (sample.labels["prover"], sample.labels["outcome"]): sample.value
        for sample in family.samples
    }


def windows(world: StreamWorld, stream: dict[str, str], count: int) -> list[str]:
    """Close that many windows, and return the states of all windows after two rounds."""
    for number in range(count):
        world.upload(stream, f"reading {number}".encode())
        world.run(1, peers=False)
    world.run(2, peers=False)
    return world.states(stream)


def test_a_window_is_certified_while_one_of_two_provers_is_down(world: TwoProvers) -> None:
    stream = dict(world.make("sensor", mode="message"))
    world.stop(PROVER)
    assert windows(world, stream, 3) == ["certified"] * 3
    assert proofs(world) == {(FIRST_HOST, "unreachable"): 1, (SECOND_HOST, "done"): 3}

    ready = world.get(STREAMS, "/readyz")
    assert (ready.status_code, ready.json()["reasons"]) == (200, [])
    (fault,) = ready.json()["degraded"]
    assert fault.startswith(f"prover: {FIRST_HOST}: no answer")


def test_a_prover_that_comes_back_is_used_again(world: TwoProvers) -> None:
    stream = dict(world.make("sensor", mode="message"))
    world.stop(PROVER)
    windows(world, stream, 1)
    world.resume(PROVER)
    world.run(1, peers=False)
    assert world.get(STREAMS, "/readyz").json()["degraded"] == []

    world.clock.sleep(TRIAL_PAUSE_SECONDS)
    assert windows(world, stream, 2) == ["certified"] * 3
    assert proofs(world)[FIRST_HOST, "done"] >= 1


def test_the_service_is_not_ready_if_all_provers_are_down(world: TwoProvers) -> None:
    stream = dict(world.make("sensor", mode="message"))
    world.stop(PROVER)
    world.stop(SECOND)
    assert windows(world, stream, 2) == ["closed"] * 2
    ready = world.get(STREAMS, "/readyz")
    assert ready.status_code == 503
    named = [each for each in ready.json()["reasons"] if each.startswith("prover: ")]
    assert [each.split(": ")[1] for each in named] == [FIRST_HOST, SECOND_HOST]
    assert ready.json()["degraded"] == []

    world.resume(SECOND)
    assert windows(world, stream, 1) == ["certified"] * 3
    assert world.get(STREAMS, "/readyz").status_code == 200
