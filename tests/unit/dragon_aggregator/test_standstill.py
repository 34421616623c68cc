"""While the ledger stands still, an aggregator goes on, and nothing that it collected is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from committees import make_members
from dragon.encoding import Json
from dragon.errors import LedgerUnavailable
from dragon.log.downtime import settled_claim
from dragon.log.ledger import FinalityRule, KeptPositions, Position, ProvenBatch
from dragon.protocol.claims.status import Status
from dragon_aggregator.outbox import MAX_PENDING_PER_KEY
from dragon_sequencer.client import SequencerClient
from simulation import Made, World

TARGET, AGGREGATOR = "target_1", "aggregator_0"


class Gate:
    """An aggregator's client of the sequencing network, whose gateways may refuse submissions."""

    def __init__(self, world: Watched, client: SequencerClient) -> None:
        self._world, self._client = world, client

    def send(self, events: Sequence[dict[str, Json]]) -> None:
        if self._world.refusing:
            raise LedgerUnavailable("the gateways refuse")
        self._world.requests.append([str(event["kind"]) for event in events])
        self._client.send(events)

    def poll(
        self, after: Position, kept: KeptPositions | None = None, rule: FinalityRule | None = None
    ) -> Sequence[ProvenBatch]:
        return self._client.poll(after, kept, rule)


class Watched(World):
    """A world whose only target answers or not, and whose gateways accept or refuse."""

    def __post_init__(self) -> None:
        self.refusing = False
        self.requests: list[list[str]] = []  # kinds of the events in each request
        super().__post_init__()

    def _make_aggregator(self, name: str, client: Any) -> Made:
        return super()._make_aggregator(name, cast(SequencerClient, Gate(self, client)))

    def set_target(self, *, up: bool) -> None:
        def app(_: Any, start: Any) -> list[bytes]:
            start("200 OK" if up else "503 Down", [("Content-Length", "0")])
            return [b""]

        self.wires.mount("target-1:80", app)

    def run_until(self, time: float) -> None:
        while self.clock.now < time:
            self.run()

    def totals(self, begin: int, end: int) -> tuple[int, int]:
        """Seconds down and unknown, as every log has them."""
        claims = {
            settled_claim(self.components(name).log, TARGET, (begin, end), self.clock.now)
            for name in self.with_a_log()
        }
        assert len(claims) == 1
        claim = claims.pop()
        return claim.seconds_down, claim.seconds_unknown


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Watched]:
    with Watched(tmp_path, make_members(targets=1)) as made:
        made.set_target(up=True)
        made.run(3)
        assert set(made.statuses("operator_1").values()) == {"up"}
        assert len(made.checkpoints("operator_1")) == 1
        yield made


def waiting(world: World) -> list[tuple[str, str]]:
    """Kind and status of what waits in the outbox."""
    claims = [entry.event.claim for entry in world.components(AGGREGATOR).outbox.pending()]
    return [(claim.KIND, str(getattr(claim, "status", ""))) for claim in claims]


def test_outbox_keeps_through_a_standstill_and_sends_by_timestamp(world: Watched) -> None:
    """All gateways refuse; a checkpoint and three changes wait longer than `max_age`."""
    begun = world.clock.now
    world.refusing = True
    for up in (False, True, False):
        world.run(5)
        world.set_target(up=up)
    world.run_until(begun + world.committee.rounds.max_age + 60)
    kept = waiting(world)
    world.restart(AGGREGATOR)
    world.run(2)
    assert waiting(world) == kept

    world.requests.clear()
    world.refusing = False
    world.run(1)

    assert kept == [
        ("status", "down"),
        ("status", "up"),
        ("checkpoint", ""),
        ("status", "down"),
    ]
    assert world.requests[0] == ["status", "status", "checkpoint", "status"], "at once, in order"
    log = world.components("operator_1").log
    applied = [entry.event.claim for entry in log.entries()]
    applied = [claim for claim in applied if claim.timestamp >= begun]
    assert [claim.KIND for claim in applied[: len(kept)]] == world.requests[0]
    assert not waiting(world)


@pytest.mark.parametrize(
    ("accepting", "restart", "rounds_before", "seconds"),
    [(False, False, 4, 100), (True, False, 4, 100), (True, True, 4, 100), (True, True, 20, 200)],
)
def test_an_outage_within_a_standstill_is_exact_or_unknown(
    world: Watched, accepting: bool, restart: bool, rounds_before: int, seconds: int
) -> None:
    """A target is down for ten seconds. `max_age` is 60 s and `unknown_after` 120 s.

    If the gateways accept `down` first, they refuse `up`. The log then says that the target was
    down for ten seconds, or that the time is unknown, but never that it was down all the time.
    """
    begun = world.clock.now
    world.network.set_faults(stalled=True)
    world.refusing = not accepting
    world.run(rounds_before)
    world.set_target(up=False)
    world.run(2)
    world.refusing = True
    world.set_target(up=True)
    world.run(3)
    if restart:
        world.restart(AGGREGATOR)
    world.run_until(begun + seconds)

    world.network.set_faults(stalled=False)
    world.refusing = False
    end = int(world.clock.now)
    rounds = world.committee.rounds
    world.run_until(end + rounds.max_age + 14 * rounds.seconds)

    down, unknown = world.totals(int(begun), end)
    if seconds == 100:
        assert (down, unknown) == (10, 0)
    else:
        assert down == 0
        assert unknown >= seconds - rounds.checkpoint_every


def test_outbox_lane_is_bounded(world: Watched) -> None:
    """A target has flapped through a long standstill: 64 events wait, and none is collected."""
    world.network.set_faults(stalled=True)
    components = world.components(AGGREGATOR)
    for number in range(MAX_PENDING_PER_KEY):
        status = Status.UP if number % 2 else Status.DOWN
        certified = world.journaled(world.members.status(TARGET, status, 4 + number))
        components.outbox.add(certified, not_before=0.0)
    world.clock.now = float(world.committee.rounds.start(4 + MAX_PENDING_PER_KEY))
    world.set_target(up=False)
    world.run(2)
    held = components.outbox.claims(TARGET)
    asked = [each.claim for each in components.monitor.recent[-1].attestation_rounds]

    world.network.set_faults(stalled=False)
    world.run(2)

    assert MAX_PENDING_PER_KEY == 64
    assert len(held) == MAX_PENDING_PER_KEY
    assert all(claim.KIND == "checkpoint" for claim in asked)
    assert components.outbox.claims(TARGET) == []
    assert world.components("operator_1").log.state.status(TARGET) is Status.DOWN
