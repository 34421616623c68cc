"""Whatever ledger and clocks do, the outbox loses nothing that the log could still apply."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from committees import make_members
from dragon.encoding import Json, canonical
from dragon.errors import LedgerUnavailable
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol.claims.base import ordering_key
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.event import Event
from dragon.storage.database import Database
from dragon_aggregator.outbox import MAX_PENDING_PER_KEY, SCHEMA, Outbox, last_known
from dragon_aggregator.resend_schedule import ResendSchedule
from dragon_aggregator.submitter import Submitter

MEMBERS = make_members()
ROUNDS = MEMBERS.committee.rounds
NODES = ("operator_1", "operator_2")
LONGEST_BACK_OFF = 120


@cache
def certified(node_id: str, status: Status, round_: int) -> Event:
    return MEMBERS.status(node_id, status, round_)


@dataclass
class Chaos:
    """One aggregator on a ledger that refuses, stands still, loses, repeats and reorders."""

    path: Path
    rng: random.Random
    now: float = 0.0  # monotonic seconds, and true seconds since genesis
    ahead: float = 0.0  # of the wall clock
    quiet: bool = False  # the faults are over
    refusing: bool = False
    stalled: bool = False
    queue: list[dict[str, Json]] = field(default_factory=list)
    most_pending: int = 0

    def __post_init__(self) -> None:
        self.database = Database(self.path, LOG_SCHEMA, SCHEMA)
        self.log = Log(self.database, MEMBERS.committee)
        self.open()

    def open(self) -> None:
        """Start the aggregator, or start it again."""
        self.outbox = Outbox(self.database)
        schedule = ResendSchedule(
            monotonic=lambda: self.now, wall=self.wall, longest_wait=lambda: ROUNDS.seconds
        )
        self.submitter = Submitter(
            MEMBERS.committee,
            self.outbox,
            self.log,
            self,
            schedule=schedule,
            is_caught_up=self.ends,
        )

    def wall(self) -> float:
        return ROUNDS.genesis + self.now + self.ahead

    def ends(self) -> bool:
        return self.quiet or self.rng.random() < 0.8

    def send(self, events: list[dict[str, Json]]) -> None:
        if self.refusing:
            raise LedgerUnavailable("refused")
        if not self.quiet and self.rng.random() < 0.2:
            return  # accepted and lost
        self.queue += events
        if not self.quiet and self.rng.random() < 0.2:
            self.queue += events

    def collect(self) -> None:
        """What a monitor does in a round: a change of a node, and a due checkpoint."""
        number = int(self.now) // ROUNDS.seconds
        for node_id in NODES:
            last = last_known(self.outbox, self.log, node_id)
            status = self.rng.choice(list(Status))
            pending = self.outbox.claims(node_id)
            if len(pending) < MAX_PENDING_PER_KEY and (last is None or last.status is not status):
                assert last is None or last.timestamp < ROUNDS.start(number)
                wait = self.rng.choice([0.0, ROUNDS.seconds])
                event = certified(node_id, status, number)
                self.outbox.add(event, not_before=self.wall() + wait if wait else 0.0)
        mark, head = self.log.state.checkpoint, self.log.head()
        due = mark is None or ROUNDS.start(number) >= mark.timestamp + ROUNDS.checkpoint_every
        if head.size and due and (mark is None or head.size > mark.position):
            claim = CheckpointClaim(head.size, head.root, ROUNDS.start(number))
            if not self.outbox.claims(ordering_key(claim)):
                self.outbox.add(MEMBERS.certify(claim, list(MEMBERS.secrets)[:3]), not_before=0.0)

    def finalize(self) -> None:
        if self.stalled or not self.queue:
            return
        events, self.queue = self.queue, []
        if not self.quiet and self.rng.random() < 0.2:
            self.rng.shuffle(events)
        for start in range(0, len(events), 16):
            index = self.log.position.index + 1
            body = canonical(events[start : start + 16]).decode()
            self.log.take(ProvenBatch(index, body, 0, "{}", Position(index, f"{index:032x}")))

    def step(self) -> None:
        try:
            self.submitter.step()
        except LedgerUnavailable:
            assert self.refusing
        self.most_pending = max(self.most_pending, len(self.outbox.pending()))

    def disturb(self) -> None:
        if self.rng.random() < 0.1:
            self.refusing = not self.refusing
        if self.rng.random() < 0.1:
            self.stalled = not self.stalled
        if self.rng.random() < 0.1:
            self.ahead = self.rng.choice([-86_400.0, -60.0, -3.0, 0.0, 3.0, 60.0, 86_400.0])
        if self.rng.random() < 0.05:
            self.open()


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_the_outbox_empties_and_no_late_event_is_lost(
    tmp_path: Path, seed: int
) -> None:
    chaos = Chaos(tmp_path / "aggregator.db", random.Random(seed))
    for _ in range(90):
        chaos.now += ROUNDS.seconds
        chaos.disturb()
        chaos.collect()
        for _ in range(2):
            chaos.step()
            chaos.finalize()
            chaos.now += 1
        chaos.now -= 2
    newest = {node_id: last_known(chaos.outbox, chaos.log, node_id) for node_id in NODES}

    chaos.quiet, chaos.refusing, chaos.stalled = True, False, False
    for _ in range(LONGEST_BACK_OFF + 30):
        chaos.now += 1
        chaos.step()
        chaos.finalize()
    chaos.step()

    assert chaos.outbox.pending() == []
    assert not chaos.log.alarm()
    assert chaos.most_pending <= len(NODES) * MAX_PENDING_PER_KEY + 1
    assert {node_id: chaos.log.state.last(node_id) for node_id in NODES} == newest
    chaos.database.close()
