"""A service that follows a busy ledger on a simulated clock, for `bench/finality.py`.

Its finality proofs are really verified, and their processor time is measured.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dragon.encoding import canonical
from dragon.log.follower import Follower
from dragon.log.ledger import FinalityRule, KeptPositions, Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.storage.database import Database
from dragon_sequencer.client import SequencerClient
from dragon_sequencer.devnet.app import create_app
from dragon_sequencer.devnet.network import Network, Signer
from dragon_sequencer.devnet.storage import Storage
from dragon_sequencer.errors import FinalityError
from dragon_sequencer.signatures import Decoded, Entropy, Signatures, Signed
from fixtures import history, ledger_network, make_members
from wsgi import WsgiAdapter

APP: Final = "datadragon"
PER_SECOND: Final = 7.0  # certified windows of a loaded fleet on two cores
TICK_SECONDS: Final = 0.05
HOLD_SECONDS: Final = 1.0  # that a node delays an empty page


class Measured(Signatures):
    """Counts the proofs that are verified, and the processor time that they take."""

    seconds = 0.0
    proofs = 0

    def check(self, signed: Signed) -> None:
        with self._timed():
            super().check(signed)

    def check_each(
        self, several: Sequence[Signed], entropy: Entropy
    ) -> tuple[FinalityError | None, ...]:
        with self._timed():
            return super().check_each(several, entropy)

    def _decode(self, signed: Signed) -> Decoded:
        self.proofs += 1
        return super()._decode(signed)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        begun = time.process_time()
        try:
            yield
        finally:
            self.seconds += time.process_time() - begun


class Unremembered(Measured):
    """Verifies whatever it is shown."""

    def _recall(self, _: Signed) -> bool:
        return False


class Before(Unremembered):
    """The former way: each proof alone, and again whenever it is shown."""

    def check_each(self, several: Sequence[Signed], _: Entropy) -> tuple[FinalityError | None, ...]:
        return tuple(map(self._alone, several))

    def _alone(self, signed: Signed) -> FinalityError | None:
        try:
            self.check(signed)
        except FinalityError as error:
            return error
        return None


class BusyNetwork:
    """A network with four gateways and a simulated clock, to which events are sent steadily."""

    def __init__(self, signers: Sequence[Signer], bodies: Iterator[str]) -> None:
        self.now = self._due = 1_700_000_000.0
        self._bodies = bodies
        self._network = Network(
            [APP], signers, Storage(), monotonic=lambda: self.now, wall=lambda: self.now
        )
        hosts = [f"gateway-{number}:6001" for number in range(4)]
        self.urls = [f"http://{host}" for host in hosts]
        app = create_app(self._network, hold=0)
        self.session = WsgiAdapter(dict.fromkeys(hosts, app)).session()

    def sleep(self, seconds: float) -> None:
        """Let time pass: events are sent and become final."""
        ends = self.now + seconds
        while self.now < ends:
            self.now = min(ends, self.now + TICK_SECONDS)
            while self._due <= self.now:
                self._network.submit(APP, next(self._bodies))
                self._due += 1 / PER_SECOND
            self._network.finalize_due()

    def hold(self, after: int) -> None:
        """Delay a request for a page until there is a batch, as a node does."""
        ends = self.now + HOLD_SECONDS
        while self.now < ends and self._network.state()["apps"][APP]["last_locked_index"] <= after:
            self.sleep(TICK_SECONDS)


class Reader(SequencerClient):
    """A client whose requests for pages take simulated time."""

    network: BusyNetwork

    def poll(
        self,
        after: Position,
        kept: KeptPositions | None = None,
        rule: FinalityRule | None = None,
    ) -> Sequence[ProvenBatch]:
        self.network.hold(after.index)
        return super().poll(after, kept, rule)


class Until(threading.Event):
    """An event that is set at a simulated time. Waiting for it lets time pass."""

    def __init__(self, network: BusyNetwork, ends: float) -> None:
        super().__init__()
        self._network, self._ends = network, ends

    def wait(self, timeout: float | None = None) -> bool:
        self._network.sleep(timeout or 0.0)
        return self.is_set()

    def is_set(self) -> bool:
        return self._network.now >= self._ends


def follow(kind: type[Measured], pause: float, seconds: float) -> tuple[Measured, float]:
    """Follow a busy ledger. Returns the proofs, and the mean delay of an event, in seconds."""
    nodes, signers = ledger_network()
    members = make_members(4, targets=20)
    events = history(members, int(PER_SECOND * (seconds + 10)))
    network = BusyNetwork(signers, (canonical([one.to_json()]).decode() for one in events))
    nodes.signatures = measured = kind(nodes.aggregate_key)
    reader = Reader(
        *(APP, nodes),
        session=network.session,
        monotonic=lambda: network.now,
        sleep=network.sleep,
        rng=random.Random(7),  # noqa: S311 - a simulation
        gateways=network.urls,
    )
    reader.network = network
    begun = network.now
    delays: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "log.db", LOG_SCHEMA)
        log = Log(database, members.committee)
        follower = Follower(log, reader, monotonic=lambda: network.now, gather_seconds=pause)
        follower.subscribe(
            lambda entries: delays.extend(
                network.now - begun - (entry.ledger_index - 1) / PER_SECOND for entry in entries
            )
        )
        follower.run(Until(network, network.now + seconds))
        database.close()
    return measured, sum(delays) / len(delays)
