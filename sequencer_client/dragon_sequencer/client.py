"""The client: events out, proven batches in, from a network that is not trusted.

    zellular = SequencerClient.connect("dragon", "nodes.json")
    zellular.send([event])
    for batch, index in zellular.batches(after=last_index):
        events = json.loads(batch)

Gateways are interchangeable, because what they serve is proven: one that fails, lies or stands
still is left for the next. Only what two of them prove against us is taken for a contradiction.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import requests
import structlog

from dragon.encoding import Json
from dragon.errors import LedgerUnavailable
from dragon.log.ledger import Position, ProvenBatch
from dragon.net.session import make_session
from dragon_sequencer.chain import Cursor
from dragon_sequencer.errors import FinalityError, GatewayError
from dragon_sequencer.finality import Proof
from dragon_sequencer.gateway import MAX_ANSWER_BYTES
from dragon_sequencer.gateway_pool import Gateways, Patience
from dragon_sequencer.ledger_reader import Follower
from dragon_sequencer.nodes import NodeList
from dragon_sequencer.packing import MAX_BATCH_BYTES, encode, pack
from dragon_sequencer.submission import Sender

__all__ = ["Patience", "SequencerClient"]
_PATIENCE: Final = Patience()
_log = structlog.stdlib.get_logger(__name__)


class SequencerClient:
    """Sends to and reads from one app of a Zellular network. One reader and one sender per client.

    It keeps no position: whoever reads keeps it, durably, with what it did.
    """

    def __init__(
        self,
        app: str,
        nodes: NodeList,
        *,
        session: requests.Session,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
        rng: random.Random,
        gateways: Sequence[str] | None = None,
        patience: Patience = _PATIENCE,
        max_batch_bytes: int = MAX_BATCH_BYTES,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._app, self._nodes, self._patience = app, nodes, patience
        self._session, self._monotonic, self._sleep = session, monotonic, sleep
        self._max_batch_bytes = max_batch_bytes
        session.trust_env = False
        readers = gateways or nodes.sockets()
        posting = gateways or nodes.sockets("posting") or readers
        self._gateways = Gateways.at(readers, session, monotonic, rng, max_answer_bytes)
        self._follower = Follower(app, nodes, self._gateways, patience, monotonic=monotonic)
        senders = Gateways.at(posting, session, monotonic, rng, max_answer_bytes)
        self._sender = Sender(app, senders, patience, monotonic=monotonic, sleep=sleep)

    @classmethod
    def connect(
        cls,
        app: str,
        nodes: NodeList | Path | str,
        *,
        threshold_percent: float = 67,
        gateways: Sequence[str] | None = None,
        session: requests.Session | None = None,
        ca: Path | None = None,
        patience: Patience = _PATIENCE,
        max_batch_bytes: int = MAX_BATCH_BYTES,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> Self:
        """A client with the real clock. `nodes` is a list, which has its threshold, or its file;
        `ca` holds the authorities that gateways over https are believed by, else the system's."""
        if not isinstance(nodes, NodeList):
            nodes = NodeList.load(nodes, threshold_percent=threshold_percent)
        return cls(
            app,
            nodes,
            session=session or make_session(ca),
            monotonic=time.monotonic,
            sleep=time.sleep,
            rng=random.SystemRandom(),
            gateways=gateways,
            patience=patience,
            max_batch_bytes=max_batch_bytes,
            max_answer_bytes=max_answer_bytes,
        )

    def close(self) -> None:
        self._session.close()

    def send(self, events: Sequence[Mapping[str, Json]]) -> None:
        """Hand in the events, in order, packed into as few batches as they fit in.

        Returns once gateways have taken them all, which is *not* durable: a batch can vanish, come
        twice or out of order. Watch for it in the log and send it again if it does not appear.

        Raises:
            EventTooLarge, InvalidEncoding: nothing was sent.
            SubmissionRefused: no gateway will ever take this batch; earlier ones were taken.
            LedgerUnavailable: nobody took it in time; earlier ones were taken.
        """
        batches = pack(events, max_batch_bytes=self._max_batch_bytes)
        self._sender.begin(map(encode, events))
        deadline = self._monotonic() + self._patience.send_seconds
        for accepted, batch in enumerate(batches):
            self._sender.submit(batch, deadline=deadline, accepted=accepted)

    def poll(self, after: Position) -> Sequence[ProvenBatch]:
        """The next proven batches after a position; none if there are none yet.

        A position that is only an index joins there, as `batches(after=N)` does.

        Raises:
            LedgerUnavailable: no gateway gave a usable answer.
            LedgerContradiction: the network's history no longer contains `after`.
        """
        return self._follower.advance(Cursor.at(after))[0]

    def segments(self, after: int | Position = 0) -> Iterator[ProvenBatch]:
        """Every proven batch from there on, without end. Waits through outages.

        Raises:
            LedgerContradiction: the network's history no longer contains what was read.
        """
        cursor = Cursor.at(after) if isinstance(after, Position) else Cursor.join(after)
        while True:
            pause = self._patience.poll_pause
            try:
                proven, cursor = self._follower.advance(cursor)
            except LedgerUnavailable as error:
                _log.warning("ledger_unavailable", detail=str(error))
                proven, pause = [], self._patience.retry_pause
            yield from proven
            if not proven:
                self._sleep(pause)

    def batches(self, after: int = 0) -> Iterator[tuple[str, int]]:
        """(batch, index) of every proven batch behind index `after`, without end."""
        for batch in self.segments(after):
            yield batch.body, batch.index

    def finalized_last(self) -> Proof | None:
        """The newest finality proof, verified; None before the first.

        Raises:
            LedgerUnavailable: no gateway shows a genuine one.
        """
        failure: Exception | None = None
        for gateway in self._gateways.circle():
            try:
                proof = gateway.newest(self._app, seconds=self._patience.request_seconds)
                if proof:
                    proof.verify(
                        app=self._app, chaining_hash=proof.chaining_hash, nodes=self._nodes
                    )
            except (GatewayError, FinalityError) as error:
                failure = error
                self._gateways.leave(gateway, error.name)
            else:
                return proof
        raise LedgerUnavailable("no gateway shows its newest batch") from failure

    def last_finalized_index(self) -> int:
        """Raises LedgerUnavailable, as `finalized_last` does."""
        proof = self.finalized_last()
        return proof.index if proof else 0
