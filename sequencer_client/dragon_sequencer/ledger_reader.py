"""Reads the ledger through gateways that may fail, lie or stop.

All batches are proven, so any gateway can be used. After an invalid page the next gateway is asked.
The reader concludes that history has changed only when two gateways (or the only one, twice) serve
a quorum's signatures for another history, or when all gateways are behind the reader for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from dragon.errors import LedgerContradiction, LedgerRewound, LedgerUnavailable
from dragon.log.ledger import ProvenBatch
from dragon_sequencer.chain import Cursor, Page, read
from dragon_sequencer.errors import (
    FinalityError,
    FirstHashMismatch,
    GatewayError,
    PageError,
    ProofOutOfReach,
    SegmentRewritten,
    TimeDecreased,
)
from dragon_sequencer.gateway import Gateway
from dragon_sequencer.gateway_pool import GatewayPool, Timeouts
from dragon_sequencer.nodes import NodeList

MAX_PENDING_CHARACTERS: Final = 16 << 20  # characters of batches in memory that no proof covers yet
MAX_PENDING_PAGES: Final = 1000  # pages in memory that no proof covers yet
MAX_PENDING_REQUEST_TIMES: Final = 3  # search for a proof, as a multiple of `request_seconds`
_BATCH_OVERHEAD_CHARACTERS: Final = 200  # added for each batch, so that empty ones count too
_log = structlog.stdlib.get_logger(__name__)


class LedgerReader:
    """Reads the ledger of one app step by step. The caller keeps the position."""

    def __init__(
        self,
        app: str,
        nodes: NodeList,
        gateways: GatewayPool,
        timeouts: Timeouts,
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self._app, self._nodes = app, nodes
        self._gateways, self._timeouts, self._monotonic = gateways, timeouts, monotonic
        self._compared_at: float | None = None
        self._behind_since: float | None = None
        self._rewound: LedgerRewound | None = None

    def advance(self, cursor: Cursor) -> tuple[list[ProvenBatch], Cursor]:
        """Read the next batches from the first gateway with a valid answer.

        Returns the proven batches, possibly none, and the cursor after them.

        Raises:
            LedgerUnavailable: no gateway gave a valid answer.
            LedgerContradiction: the network's history no longer contains what was read.
        """
        circle = self._gateways.circle()
        contradictions, failure = 0, LedgerUnavailable("no gateway is configured")
        for gateway in circle if len(circle) > 1 else circle * 2:
            try:
                proven, following, _ = self._read(gateway, cursor)
            except (GatewayError, PageError, FinalityError) as error:
                self._gateways.leave(gateway, error.name)
                contradictions += self._contradicts(gateway, cursor, error)
                failure = LedgerUnavailable(
                    f"no gateway gave a valid answer: {error}", **error.facts
                )
                if contradictions == 2:
                    raise _contradiction(cursor, "gateways proved another history") from error
            else:
                self._note_progress(gateway, cursor, following)
                return proven, following
        raise failure

    def _read(
        self, gateway: Gateway, cursor: Cursor
    ) -> tuple[list[ProvenBatch], Cursor, Page | None]:
        """Read pages up to the first one with a proof.

        Returns the proven batches, the cursor after them, and the first page.
        """
        first, held = None, 0  # `held` in characters
        ends = self._monotonic() + MAX_PENDING_REQUEST_TIMES * self._timeouts.request_seconds
        for _ in range(MAX_PENDING_PAGES):
            after, seconds = cursor.next_after, self._timeouts.request_seconds
            page = gateway.page(self._app, after, seconds=seconds)
            if page is None and first is None:
                return [], cursor, None
            if page is None:
                break
            first = first or page
            proven, cursor = read(cursor, page, app=self._app, nodes=self._nodes)
            if page.proofs:
                return proven, cursor.without_pending(), first
            held += sum(len(body) + _BATCH_OVERHEAD_CHARACTERS for body in page.batches)
            if held > MAX_PENDING_CHARACTERS or self._monotonic() > ends:
                break
        raise ProofOutOfReach(
            f"no proof follows the batches after {cursor.index}", after=cursor.index, held=held
        )

    def _contradicts(self, gateway: Gateway, cursor: Cursor, error: Exception) -> bool:
        """Whether a quorum's signature, and not only this gateway, contradicts the cursor.

        A page that does not fit may have been damaged by the gateway. Therefore the last batch is
        requested again: if a proof confirms another chaining hash for it, history was rewritten.
        """
        if isinstance(error, SegmentRewritten | TimeDecreased):
            return True
        if not isinstance(error, FirstHashMismatch) or not cursor.index:
            return False
        try:
            _, joined, page = self._read(gateway, Cursor.join(cursor.index))
        except (GatewayError, PageError, FinalityError):
            return False
        if page is None or joined.chaining_hash is None:
            return False
        return page.first_chaining_hash != cursor.chaining_hash

    def _note_progress(self, gateway: Gateway, cursor: Cursor, following: Cursor) -> None:
        """After a valid answer, check whether this gateway or the whole ledger has stopped."""
        if following != cursor:
            self._behind_since = self._rewound = None
            self._gateways.use(gateway)
            return
        now = self._monotonic()
        due = self._compared_at is None or now - self._compared_at >= self._timeouts.compare_seconds
        if due:
            self._compared_at = now
            self._rewound = None
            self._compare(gateway, cursor, now)
        if self._rewound is not None:
            raise self._rewound

    def _compare(self, gateway: Gateway, cursor: Cursor, now: float) -> None:
        """Leave a gateway that is behind others, and detect a ledger that was set back."""
        newest = {other: self._finalized_index(other) for other in self._gateways.circle()}
        ahead = [other for other, index in newest.items() if index > cursor.index]
        if others := [other for other in ahead if other is not gateway]:
            _log.warning("gateway_left", gateway=gateway.url, reason="stands_still")
            self._gateways.use(others[0])
        elif ahead:
            self._gateways.leave(gateway, "shows_less_than_it_says")
        reachable = [index for index in newest.values() if index >= 0]
        if not reachable or max(reachable) >= cursor.index:
            self._behind_since = None
            return
        if self._behind_since is None:
            self._behind_since = now
        if now - self._behind_since >= self._timeouts.rewound_seconds:
            self._rewound = LedgerRewound(
                f"no gateway is further than {max(reachable)}, and {cursor.index} were read",
                index=cursor.index,
            )

    def _finalized_index(self, gateway: Gateway) -> int:
        """The gateway's newest index, or −1 if it is not available."""
        try:
            return gateway.finalized_index(self._app, seconds=self._timeouts.state_request_seconds)
        except GatewayError:
            return -1


def _contradiction(cursor: Cursor, reason: str) -> LedgerContradiction:
    return LedgerContradiction(
        f"the ledger no longer contains what was read up to batch {cursor.index}: {reason}",
        index=cursor.index,
        chaining_hash=cursor.chaining_hash,
    )
