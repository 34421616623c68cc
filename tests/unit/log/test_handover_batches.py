"""All logs come to the same entries, however they group the batches that hand over."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from committees import Members, make_members, secret
from dragon.encoding import canonical
from dragon.log.follower import Follower
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event
from dragon.protocol.handover import Handover
from dragon.storage.database import Database
from epochs import hand_over, successor

FIRST = make_members(4, targets=2)
ROUNDS = FIRST.committee.rounds
BAD = FIRST.secrets["operator_1"].sign(bytes(32))


class Story:
    """A ledger that is written against one log, which reads each batch alone."""

    def __init__(self, log: Log, rng: random.Random) -> None:
        self.log, self.rng = log, rng
        self.batches: list[ProvenBatch] = []
        self.files: dict[bytes, Committee] = {}
        self.members: dict[bytes, Members] = {FIRST.committee.id: FIRST}
        self.old: list[Event] = []
        self.round = 1

    @property
    def holding(self) -> Members:
        return self.members[self.log.committee.id]

    def write(self) -> None:
        """Write a batch of random events, each made for the log as it is before the batch."""
        makers: list[Callable[[], Event]] = [
            *[self._status] * 4,
            *[self._forged] * 2,
            *[self._handover] * 3,
            self._unaccepted,
            self._unfit,
            self._checkpoint,
            self._old,
        ]
        events: list[Event] = []
        for _ in range(self.rng.randint(1, 4)):
            made = self.rng.choice(makers)()
            events.append(made)
            following = isinstance(made, Handover) and self.members.get(made.claim.next)
            if following and self.rng.random() < 0.7:  # in one batch with what the next one signs
                status = self.rng.choice([Status.UP, Status.DOWN])
                events.append(following.status("target_2", status, self.round))
        self.old += events
        self.round += self.rng.randint(0, 3)
        index = len(self.batches) + 1
        body = canonical([each.to_json() for each in events]).decode()
        self.batches.append(ProvenBatch(index, body, 0, "{}", Position(index, f"{index:032x}")))
        for each in self.files.values():
            self.log.offer(each)
        self.log.take(self.batches[-1])

    def _status(self) -> Event:
        node = self.rng.choice(["target_1", "target_2", "operator_3"])
        return self.holding.status(node, self.rng.choice([Status.UP, Status.DOWN]), self.round)

    def _forged(self) -> Event:
        made = self.rng.choice([self._status, self._handover])()
        if isinstance(made, Handover):
            return dataclasses.replace(
                made, certificate=dataclasses.replace(made.certificate, signature=BAD)
            )
        return dataclasses.replace(made, signature=BAD)

    def _handover(self) -> Handover:
        following = self._following()
        return self._signed(following)

    def _following(self) -> Members:
        state = self.log.state
        seated_by = self.log.entry(state.handover.position).event if state.handover else None
        key = f"operator_2 {self.round} {len(self.members)}"
        made = successor(
            self.holding,
            seated_by,  # type: ignore[arg-type]
            rotate={"operator_2": secret(key)},
        )
        return self._known(made)

    def _known(self, members: Members) -> Members:
        self.members[members.committee.id] = members
        self.files[members.committee.id] = members.committee
        return members

    def _signed(self, following: Members) -> Handover:
        head = self.log.head()
        at = ROUNDS.start(self.round)
        return hand_over(self.holding, following, size=head.size, root=head.root, timestamp=at)

    def _unaccepted(self) -> Event:
        made = self._handover()
        return dataclasses.replace(
            made, acceptance=dataclasses.replace(made.acceptance, signature=BAD)
        )

    def _unfit(self) -> Event:
        made = self._following()
        other = dataclasses.replace(made.committee, name="another")
        return self._signed(self._known(Members(other, made.secrets)))

    def _checkpoint(self) -> Event:
        head = self.log.head()
        claim = CheckpointClaim(head.size, head.root, ROUNDS.start(self.round))
        return self.holding.certify(claim, self.holding.secrets)

    def _old(self) -> Event:
        return self.rng.choice(self.old) if self.old else self._status()


class Reader:
    """Another log of the same ledger: other groups, files that come late, and restarts."""

    def __init__(
        self, path: Path, story: Story, rng: random.Random, pinned: Sequence[Committee] = ()
    ) -> None:
        self.path, self.story, self.rng, self.pinned = path, story, rng, pinned
        self.open()

    def open(self) -> None:
        self.database = Database(self.path, LOG_SCHEMA)
        newest = self.pinned[-1] if self.pinned else FIRST.committee
        self.log = Log(self.database, newest, pinned=self.pinned)

    def close(self) -> None:
        self.database.close()

    def poll(self, after: Position, *_: object) -> Sequence[ProvenBatch]:
        return self.story.batches[after.index : after.index + self.rng.randint(1, 9)]

    def find(self, committee_id: bytes) -> Committee | None:
        return self.story.files[committee_id] if self.rng.random() < 0.5 else None

    def read(self) -> None:
        while self.log.position.index < len(self.story.batches):
            if self.rng.random() < 0.1:
                self.database.close()
                self.open()
            if self.rng.random() < 0.2 and self.story.files:
                self.log.offer(self.rng.choice(list(self.story.files.values())))
            Follower(self.log, self, monotonic=lambda: 0.0, files=self.find).step()
            assert self.log.alarm() is None


def begin_late(path: Path, story: Story, rng: random.Random) -> Reader:
    """A log that begins at a checkpoint in the middle of the story, with the files up to it."""
    held = [each.committee for each in story.log.committees()]
    marks = [mark for mark in story.log.state.marks if mark.is_checkpoint]
    mark = rng.choice(marks)
    claim = story.log.entry(mark.position).event.claim
    assert isinstance(claim, CheckpointClaim)
    reader = Reader(path, story, rng, pinned=held)
    # What comes from another operator has no place in the ledger's hash chain.
    entries = story.log.entries(-1, claim.size)
    reader.log.begin_at(claim, [dataclasses.replace(each, chaining_hash="") for each in entries])
    return reader


@pytest.mark.parametrize("seed", range(4))
def test_logs_agree_however_they_group_handovers(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    with closing(Database(tmp_path / "one.db", LOG_SCHEMA)) as database:
        story = Story(Log(database, FIRST.committee), rng)
        while len(story.batches) < 18 or story.log.state.checkpoint is None:
            story.write()
        for number in range(2):
            reader = Reader(tmp_path / f"reader-{number}.db", story, rng)
            with closing(reader):
                reader.read()
                assert reader.log.head() == story.log.head()
                assert reader.log.state == story.log.state
                assert reader.log.refusals() == story.log.refusals()
        late = begin_late(tmp_path / "late.db", story, rng)
        with closing(late):
            late.read()
            assert late.log.head() == story.log.head()
            assert late.log.state == story.log.state
