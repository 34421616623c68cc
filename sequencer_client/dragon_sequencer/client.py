"""The client of a Zellular network: sends events and reads proven batches, trusting no gateway.

    zellular = SequencerClient.connect("dragon", "nodes.json")
    zellular.send([event])
    for batch, index in zellular.batches(after=last_index):
        events = json.loads(batch)

All batches are proven, so gateways are interchangeable: one that fails, lies or stops is replaced
by the next. Only another history that a quorum of nodes has signed counts as a contradiction.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import requests
import structlog

from dragon.encoding import Json
from dragon.errors import LedgerUnavailable
from dragon.log.ledger import FinalityRule, KeptPositions, Position, ProvenBatch
from dragon.net.session import Limits, make_session
from dragon_sequencer.chain import Cursor
from dragon_sequencer.errors import FinalityError, GatewayError
from dragon_sequencer.finality import Proof
from dragon_sequencer.gateway import EXTRA_BYTES, MAX_ANSWER_BYTES, MIN_BYTES_PER_SECOND
from dragon_sequencer.gateway_pool import GatewayPool, Timeouts
from dragon_sequencer.ledger_reader import LedgerReader
from dragon_sequencer.nodes import NodeList, NodeLists
from dragon_sequencer.packing import MAX_BATCH_BYTES, encode, pack
from dragon_sequencer.signatures import Entropy
from dragon_sequencer.submission import Sender

__all__ = ["SequencerClient", "Timeouts"]
_TIMEOUTS: Final = Timeouts()
_log = structlog.stdlib.get_logger(__name__)


class SequencerClient:
    """Sends to and reads from one app of a Zellular network.

    One thread may read and one may send. The client keeps no position: the reader must store it
    durably, together with what it did with the batches.

    `rng` only chooses gateways and pauses. `entropy` returns this number of random bytes that no
    gateway can predict, for the verification of several proofs together.
    """

    def __init__(
        self,
        app: str,
        nodes: NodeList | NodeLists,
        *,
        session: requests.Session,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
        rng: random.Random,
        entropy: Entropy = secrets.token_bytes,
        gateways: Sequence[str] | None = None,
        timeouts: Timeouts = _TIMEOUTS,
        max_batch_bytes: int = MAX_BATCH_BYTES,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._app, self._timeouts = app, timeouts
        self._session, self._monotonic, self._sleep = session, monotonic, sleep
        self._max_batch_bytes = max_batch_bytes
        session.trust_env = False
        readers = gateways or nodes.sockets()
        posting = gateways or nodes.sockets("posting") or readers
        self._gateways = GatewayPool.of_urls(readers, session, monotonic, rng, max_answer_bytes)
        lists = NodeLists(nodes.alternatives)
        self._reader = LedgerReader(
            *(app, lists, self._gateways, timeouts), monotonic=monotonic, entropy=entropy
        )
        senders = GatewayPool.of_urls(posting, session, monotonic, rng, max_answer_bytes)
        self._sender = Sender(app, senders, timeouts, monotonic=monotonic, sleep=sleep)

    @classmethod
    def connect(
        cls,
        app: str,
        nodes: NodeList | NodeLists | Path | str,
        *,
        threshold_percent: float = 67,
        gateways: Sequence[str] | None = None,
        session: requests.Session | None = None,
        ca: Path | None = None,
        timeouts: Timeouts = _TIMEOUTS,
        max_batch_bytes: int = MAX_BATCH_BYTES,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> Self:
        """A client with the real clock and network.

        Args:
            app: the app's name on the network.
            nodes: the node list, or its file; or several lists, see `nodes.NodeLists`.
            threshold_percent: stake that must sign a proof; only used if `nodes` is a file.
            gateways: URLs to read from and send to, instead of the nodes' own.
            session: HTTP session; by default one with strict deadlines.
            ca: file of the authorities for HTTPS gateways; by default the system's.
            timeouts: how long to wait.
            max_batch_bytes: the network's limit for a batch.
            max_answer_bytes: bytes read of one answer. The largest page of a network has six
                times its `bandwidth` setting, divided by its number of nodes, plus 10 MB for
                proofs; the default fits a network of one node with default settings. Longer
                pages are read in part. It does not determine the memory: see `page.MAX_KEPT_BYTES`.
        """
        if not isinstance(nodes, NodeList | NodeLists):
            nodes = NodeList.load(nodes, threshold_percent=threshold_percent)
        return cls(
            app,
            nodes,
            session=session or make_session(ca, _limits(max_answer_bytes)),
            monotonic=time.monotonic,
            sleep=time.sleep,
            rng=random.SystemRandom(),
            gateways=gateways,
            timeouts=timeouts,
            max_batch_bytes=max_batch_bytes,
            max_answer_bytes=max_answer_bytes,
        )

    def close(self) -> None:
        """Close the HTTP session."""
        self._session.close()

    def send(self, events: Sequence[Mapping[str, Json]]) -> None:
        """Submit events in order, packed into as few batches as possible.

        Returns when gateways accepted all batches, which is *not* durable: a batch can be lost,
        repeated or reordered. Look for it in the log and send it again if it does not appear.

        Raises:
            EventTooLarge, InvalidEncoding: nothing was sent.
            SubmissionRefused: two gateways, or the only one, will never accept a batch; earlier
                ones were accepted.
            LedgerUnavailable: no gateway accepted a batch in time; earlier ones were accepted.
        """
        batches = pack(events, max_batch_bytes=self._max_batch_bytes)
        self._sender.begin(map(encode, events))
        deadline = self._monotonic() + self._timeouts.send_seconds
        for accepted, batch in enumerate(batches):
            self._sender.submit(batch, deadline=deadline, accepted=accepted)

    def poll(
        self,
        after: Position,
        kept: KeptPositions | None = None,
        rule: FinalityRule | None = None,
    ) -> Sequence[ProvenBatch]:
        """The next proven batches after a position; empty if there are none yet.

        A position with an index only is joined there, as by `batches(after=N)`.

        Args:
            after: the last batch that was read.
            kept: earlier positions that the caller still knows, so that a history that was
                replaced by a shorter one is noticed.
            rule: which proofs count; by default those under any of the node lists.

        Raises:
            LedgerUnavailable: no gateway gave a valid answer.
            LedgerContradiction: the network's history no longer contains `after`.
        """
        return self._reader.advance(Cursor.at(after), kept, rule)[0]

    def holds_under(self, node_lists: Collection[bytes], threshold_percent: int) -> bool:
        """Whether the newest proof that was read holds under one of these node lists.

        Args:
            node_lists: SHA-256 of each.
            threshold_percent: of the stake that must have signed.
        """
        return self._reader.holds_under(node_lists, threshold_percent)

    def segments(self, after: int | Position = 0) -> Iterator[ProvenBatch]:
        """Every proven batch after that index or position, without end. Waits during outages.

        Raises:
            LedgerContradiction: the network's history no longer contains what was read.
        """
        cursor = Cursor.at(after) if isinstance(after, Position) else Cursor.join(after)
        while True:
            pause = self._timeouts.poll_seconds
            try:
                proven, cursor = self._reader.advance(cursor)
            except LedgerUnavailable as error:
                _log.warning("ledger_unavailable", detail=str(error))
                proven, pause = [], self._timeouts.retry_seconds
            yield from proven
            if not proven:
                self._sleep(pause)

    def batches(self, after: int = 0) -> Iterator[tuple[str, int]]:
        """The text and index of every proven batch after index `after`, without end."""
        for batch in self.segments(after):
            yield batch.body, batch.index

    def finalized_last(self, known: int = 0) -> Proof | None:
        """The newest finality proof; None if there is no batch.

        Args:
            known: index of a batch that was read and proven. Only a proof of a later one is
                verified: that there is none can never be proven, as with an empty page.

        Raises:
            LedgerUnavailable: no gateway served a valid proof.
        """
        failure: Exception | None = None
        for gateway in self._gateways.circle():
            try:
                proof = gateway.newest(self._app, seconds=self._timeouts.request_seconds)
                if proof and proof.index > known:
                    proof.verify(
                        app=self._app, chaining_hash=proof.chaining_hash, nodes=self._reader.nodes
                    )
            except (GatewayError, FinalityError) as error:
                failure = error
                self._gateways.leave(gateway, error.name)
            else:
                return proof
        raise LedgerUnavailable("no gateway served a valid proof of its newest batch") from failure

    def last_finalized_index(self, known: int = 0) -> int:
        """The index of the newest batch, or 0. `known`: as for `finalized_last`.

        Raises LedgerUnavailable.
        """
        proof = self.finalized_last(known)
        return proof.index if proof else 0


def _limits(max_answer_bytes: int) -> Limits:
    return Limits(max_answer_bytes + EXTRA_BYTES, MIN_BYTES_PER_SECOND)
