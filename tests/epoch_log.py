"""A log in a file that passes handovers, with the lineage of its committees, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from committees import Members, make_members, secret
from dragon.encoding import canonical
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.event import Event
from dragon.protocol.handover import Handover
from dragon.protocol.lineage import Lineage
from dragon.protocol.log_entry import LogEntry
from dragon.storage.database import Database
from epochs import hand_over, successor


@dataclass
class EpochLog:
    """The log, and all committees that have held in it."""

    log: Log
    path: Path
    epochs: list[Members]
    handovers: list[Handover] = field(default_factory=list)

    @property
    def newest(self) -> Members:
        return self.epochs[-1]

    def take(self, *events: Event) -> list[LogEntry]:
        """Apply one batch of these events; none of them is refused."""
        index = self.log.position.index + 1
        body = canonical([event.to_json() for event in events]).decode()
        position = Position(index, f"{index:032x}")
        entries = self.log.take(ProvenBatch(index, body, 0, "{}", position))
        assert len(entries) == len(events), self.log.refusals()
        return entries

    def status(self, status: Status, round_: int, node_id: str = "target_1") -> LogEntry:
        [entry] = self.take(self.newest.status(node_id, status, round_))
        return entry

    def certify_log(self, round_: int, members: Members | None = None) -> Certificate:
        """Return a checkpoint of the log as it is, which is not applied."""
        signing, head = members or self.newest, self.log.head()
        claim = CheckpointClaim(head.size, head.root, signing.committee.rounds.start(round_))
        return signing.certify(claim, signing.secrets)

    def checkpoint(self, round_: int) -> Certificate:
        certified = self.certify_log(round_)
        self.take(certified)
        return certified

    def hand_over(self, round_: int, *before: Event, **changes: Any) -> Handover:
        """Hand over to the next committee; `before` are events that its handover does not cover."""
        seated_by = self.handovers[-1] if self.handovers else None
        following = successor(self.newest, seated_by, **changes)
        head, at = self.log.head(), self.newest.committee.rounds.start(round_)
        made = hand_over(self.newest, following, size=head.size, root=head.root, timestamp=at)
        self.log.offer(following.committee)
        self.take(*before, made)
        self.epochs.append(following)
        self.handovers.append(made)
        return made

    def lineage(self, epoch: int | None = None) -> Lineage:
        """Return the lineage up to an epoch, by default the newest, with its newest checkpoint."""
        last = self.newest.committee.epoch if epoch is None else epoch
        committee = self.epochs[last].committee
        found = [
            entry.event
            for entry in self.log.entries()
            if isinstance(entry.event.claim, CheckpointClaim)
            and entry.event.committee_id == committee.id
        ]
        checkpoint = found[-1] if found else None
        assert checkpoint is None or isinstance(checkpoint, Certificate)
        committees = tuple(each.committee for each in self.epochs[: last + 1])
        return Lineage(committees, tuple(self.handovers[:last]), checkpoint)


@contextmanager
def opened(path: Path, members: Members | None = None) -> Iterator[EpochLog]:
    """Open an empty log of a network, by default of four operators and a target."""
    founding = members or make_members(4, targets=1)
    database = Database(path, LOG_SCHEMA)
    try:
        yield EpochLog(Log(database, founding.committee), path, [founding])
    finally:
        database.close()


def pass_three_handovers(made: EpochLog) -> None:
    """Four become five, one rotates, one leaves; each committee certifies a change."""
    made.status(Status.UP, 1)
    made.checkpoint(3)
    made.status(Status.DOWN, 5)
    made.hand_over(10, add=["operator_5"])
    made.status(Status.UP, 11)
    made.checkpoint(16)
    made.hand_over(20, rotate={"operator_2": secret("operator_2 again")})
    made.status(Status.DOWN, 21)
    made.checkpoint(30)
    made.hand_over(40, drop=["operator_1"])
    made.status(Status.UP, 41)
    made.checkpoint(45)
