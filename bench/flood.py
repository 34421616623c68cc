"""One log that reads a flood of forged events: how much of a processor 1 MB/s takes.

Every event is well-formed and applicable and has a right aggregate key. Its signature is a point of
the subgroup, but made on something else. Anyone can make such events in microseconds and put them
onto the ledger. The flood has nine events in a batch, or one, or it repeats one batch. No claim is
repeated otherwise, so no hash to the curve is cached.

The reference is version 0.1, which verified all signatures together and then each one alone, within
its transaction.

Goal: with nine events in a batch, 1 MB/s takes less than one processor.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeAlias

from pyblst import BlstP2Element

from dragon import errors
from dragon.encoding import canonical
from dragon.log import refused_events
from dragon.log.batch_verification import BatchVerifier
from dragon.log.follower import BATCHES_PER_TRANSACTION
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.refusal_reason import Reason
from dragon.log.refused_events import Refusal
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol import bls, event
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event
from dragon.protocol.state import State
from dragon.protocol.transition import Verify, transition
from dragon.storage.database import Database
from fixtures import Members, make_members
from timing import show, verdict

Row: TypeAlias = tuple[str, ...]

GOAL: Final = 1.0  # processors at 1 MB/s, with nine events in a batch
MEGABYTE: Final = 1_000_000
BATCHES_TOGETHER: Final = BATCHES_PER_TRANSACTION


def forged_events(committee: Committee, node: str, first: int) -> Iterator[Event]:
    """Make forged status events of a node without end. No two have the same claim or signature.

    Args:
        first: number of the first event's round; the following ones are in later rounds.
    """
    first_point = BlstP2Element.hash_to_group(b"the first forged signature", bls.SIGNATURE_DST)
    point, others = first_point, sorted(committee.keys.keys() - {node})
    signers = tuple(others[: committee.quorum("status")])
    key = bls.aggregate_keys(committee.keys[signer] for signer in signers).raw
    for number in itertools.count(first):
        point = point + first_point
        claim = StatusClaim(node, Status.DOWN, committee.rounds.start(number))
        signature = point.compress()
        yield Certificate(claim, signers, signature, key, committee.id)


def bodies(forged: Iterator[Event], events: int) -> Iterator[str]:
    """Make bodies of batches with this number of events each, without end."""
    while True:
        together = itertools.islice(forged, events)
        yield canonical([one.to_json() for one in together]).decode()


def flood(members: Members, batches: int, events: int) -> list[ProvenBatch]:
    """Make batches with this number of forged events each."""
    forged = forged_events(members.committee, members.committee.targets[0].id, 1)
    return proven(itertools.islice(bodies(forged, events), batches))


def proven(texts: Iterator[str]) -> list[ProvenBatch]:
    """Make the batches of a ledger with these bodies."""
    return [
        ProvenBatch(index, text, 0, "{}", Position(index, f"{index:032x}"))
        for index, text in enumerate(texts, start=1)
    ]


class Before:
    """Refuses a flood as version 0.1 did."""

    def __init__(self, database: Database, members: Members) -> None:
        self._database, self._committee = database, members.committee

    def take(self, *batches: ProvenBatch) -> None:
        with self._database.write():
            verifier = BatchVerifier(os.urandom)
            self._refusals(batches, verifier)
            if verifier.verify():
                raise SystemExit("a forged signature is valid")
        with self._database.transaction() as cursor:
            refused_events.record(cursor, self._refusals(batches, None))

    def _refusals(
        self, batches: Sequence[ProvenBatch], verify: Verify[Event] | None
    ) -> list[Refusal]:
        refusals, state = [], State.of(self._committee)
        for batch in batches:
            for place, item in enumerate(event.decode_batch(batch.body)):
                try:
                    decoded = event.decode_item(item)
                    transition(state, decoded, root_at=lambda _: b"", verify=verify)
                except errors.DragonError as error:
                    text = event.excerpt(item)
                    refusals.append(Refusal.of(batch.index, place, Reason.of(error), text))
        return refusals


class Waits(threading.Thread):
    """Writes to a database again and again, and records the longest wait for its lock."""

    def __init__(self, database: Database) -> None:
        super().__init__(daemon=True)
        self._database, self._stop_now = database, threading.Event()
        self.longest = 0.0  # seconds

    def run(self) -> None:
        while not self._stop_now.wait(0.02):
            begun = time.perf_counter()
            with self._database.write():
                self.longest = max(self.longest, time.perf_counter() - begun)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_now.set()
        self.join()


@dataclass(frozen=True, slots=True)
class Measured:
    """What a megabyte of a flood costs."""

    cores: float  # processor seconds
    seconds: float
    longest_wait: float  # seconds, of another writer of the same file


def measure(
    database: Database, take: Callable[..., object], batches: Sequence[ProvenBatch]
) -> Measured:
    size = sum(len(batch.body) for batch in batches) / MEGABYTE
    with Waits(database) as waits:
        begun, used = time.perf_counter(), time.process_time()
        for start in range(0, len(batches), BATCHES_TOGETHER):
            take(*batches[start : start + BATCHES_TOGETHER])
        used, took = time.process_time() - used, time.perf_counter() - begun
    return Measured(used / size, took / size, waits.longest)


def row(name: str, members: Members, forged: Sequence[ProvenBatch], goal: float | None) -> Row:
    """Measure one flood, and a part of it as version 0.1 did it."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "operator.db", LOG_SCHEMA)
        log = Log(database, members.committee)
        now = measure(database, log.take, forged)
        part = forged[: 2 * BATCHES_TOGETHER]
        before = measure(database, Before(database, members).take, part)
        database.close()
    return (
        *(name, f"{before.cores:.2f}", f"{now.cores:.2f}", f"{before.cores / now.cores:.1f}"),
        *(f"{1 / now.seconds:.2f}", f"{before.longest_wait:.2f}", f"{now.longest_wait:.2f}"),
        "" if goal is None else f"< {goal}: {verdict(now.cores < goal)}",
    )


def main(*, batches: int = 128) -> None:
    members = make_members(4, targets=1)
    repeated = flood(members, 1, 9)[0].body
    rows = [
        row("9 events in a batch", members, flood(members, batches, 9), GOAL),
        row("1 event in a batch", members, flood(members, 4 * batches, 1), None),
        row("repeated batch", members, proven(itertools.repeat(repeated, 8 * batches)), None),
    ]
    columns = ("flood", "cores, 0.1", "cores", "ratio", "MB/s", "wait, 0.1", "wait", "goal")
    note = (
        "cores: processor seconds per megabyte. MB/s: with the processors of this machine.\n"
        "wait: the longest wait of another writer of the same file, in seconds."
    )
    show("A flood of forged events", columns, rows, note)


if __name__ == "__main__":
    main()
