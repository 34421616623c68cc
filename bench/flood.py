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
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from py_arkworks_bls12381 import G2Point

from dragon import errors
from dragon.encoding import canonical
from dragon.log import refused_events
from dragon.log.batch_verification import BatchVerifier
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.refused_events import Reason, Refusal
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol import bls, event
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event
from dragon.protocol.state import State, Verify, transition
from dragon.storage.database import Database
from fixtures import Members, make_members
from timing import show, verdict

GOAL = 1.0  # processors at 1 MB/s, with nine events in a batch
MEGABYTE = 1_000_000
BATCHES_TOGETHER = 32  # as the follower does it


def forged_events(committee: Committee, node: str, first: int) -> Iterator[Event]:
    """Make forged status events of a node without end. No two have the same claim or signature.

    Args:
        first: number of the first event's round; the following ones are in later rounds.
    """
    point, others = G2Point(), sorted(committee.keys.keys() - {node})
    signers = tuple(others[: committee.quorum("status")])
    key = bls.aggregate_keys(committee.keys[signer] for signer in signers).raw
    for number in itertools.count(first):
        point = point + G2Point()
        claim = StatusClaim(node, Status.DOWN, committee.rounds.start(number))
        signature = bytes(point.to_compressed_bytes())
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
        with self._database.write() as connection:
            refused_events.record(connection, self._refusals(batches, None))

    def _refusals(
        self, batches: Sequence[ProvenBatch], verify: Verify[Event] | None
    ) -> list[Refusal]:
        refusals, state = [], State()
        for batch in batches:
            for place, item in enumerate(event.decode_batch(batch.body)):
                try:
                    decoded = event.decode_item(item)
                    transition(
                        state, decoded, self._committee, root_at=lambda _: b"", verify=verify
                    )
                except errors.DragonError as error:
                    text = event.excerpt(item)
                    refusals.append(Refusal.of(batch.index, place, Reason.of(error), text))
        return refusals


def measure(take: Callable[..., object], batches: Sequence[ProvenBatch]) -> tuple[float, float]:
    """Return processor seconds and seconds per megabyte."""
    size = sum(len(batch.body) for batch in batches) / MEGABYTE
    begun, used = time.perf_counter(), time.process_time()
    for start in range(0, len(batches), BATCHES_TOGETHER):
        take(*batches[start : start + BATCHES_TOGETHER])
    return (time.process_time() - used) / size, (time.perf_counter() - begun) / size


def main(*, batches: int = 128) -> None:
    members = make_members(4, targets=1)
    repeated = flood(members, 1, 9)[0].body
    floods = {
        "9 events in a batch": flood(members, batches, 9),
        "1 event in a batch": flood(members, 4 * batches, 1),
        "one batch repeated": proven(itertools.repeat(repeated, 8 * batches)),
    }
    rows = []
    for name, forged in floods.items():
        with tempfile.TemporaryDirectory() as folder:
            database = Database(Path(folder) / "operator.db", LOG_SCHEMA)
            log = Log(database, members.committee)
            now = measure(log.take, forged)
            events = sum(log.refusals().values())
            before = measure(Before(database, members).take, forged[: batches // 2])
            database.close()
        size = sum(len(batch.body) for batch in forged) / MEGABYTE
        judged = f"< {GOAL}: {verdict(now[0] < GOAL)}" if name == next(iter(floods)) else ""
        rows.append(
            (
                *(name, f"{before[0]:.2f}", f"{now[0]:.2f}", f"{before[0] / now[0]:.1f}"),
                *(f"{1 / now[1]:.2f}", f"{events / size / now[1]:.0f}", judged),
            )
        )
    columns = ("flood", "0.1: cores", "cores", "times less", "MB/s", "events/s", "goal")
    note = "cores: processor seconds per megabyte; MB/s, events/s: with the machine's processors."
    show("A flood of forged events", columns, rows, note)


if __name__ == "__main__":
    main()
