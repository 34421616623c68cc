"""Following the ledger through gateways that may fail, lie or stand still.

What a gateway serves is proven, so that any of them will do. A page that does not hold sends us to
the next one. That history itself has changed is only believed when a quorum's signatures say so at
two gateways (or twice at the only one), or when for a while nobody is as far as we are.
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
from dragon_sequencer.gateway_pool import Gateways, Patience
from dragon_sequencer.nodes import NodeList

MAX_PENDING_CHARACTERS: Final = 16 << 20  # of batches held while their proof is looked for
PENDING_REQUESTS: Final = 3  # times the patience of one, in which a proof has to follow
_OVERHEAD: Final = 200  # what a batch costs beside its characters; an empty one is not free
MAX_PENDING_PAGES: Final = 1000
_log = structlog.stdlib.get_logger(__name__)


class Follower:
    """Reads one app's ledger, step by step. Remembers gateways, and no position."""

    def __init__(
        self,
        app: str,
        nodes: NodeList,
        gateways: Gateways,
        patience: Patience,
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self._app, self._nodes = app, nodes
        self._gateways, self._patience, self._monotonic = gateways, patience, monotonic
        self._compared_at: float | None = None
        self._behind_since: float | None = None
        self._rewound: LedgerRewound | None = None

    def advance(self, cursor: Cursor) -> tuple[list[ProvenBatch], Cursor]:
        """One step of a reader, at the first gateway whose answer holds.

        Raises:
            LedgerUnavailable, LedgerContradiction: as `SequencerClient.poll` says.
        """
        circle = self._gateways.circle()
        contradictions, failure = 0, LedgerUnavailable("no gateway is known")
        for gateway in circle if len(circle) > 1 else circle * 2:
            try:
                proven, following, _ = self._read(gateway, cursor)
            except (GatewayError, PageError, FinalityError) as error:
                self._gateways.leave(gateway, error.name)
                contradictions += self._contradicts(gateway, cursor, error)
                failure = LedgerUnavailable(f"no gateway is of use now: {error}", **error.facts)
                if contradictions == 2:
                    raise _contradiction(cursor, "gateways prove another history") from error
            else:
                self._note_progress(gateway, cursor, following)
                return proven, following
        raise failure

    def _read(
        self, gateway: Gateway, cursor: Cursor
    ) -> tuple[list[ProvenBatch], Cursor, Page | None]:
        """A page and, as long as no proof covers it, what follows; and the first page itself."""
        first, held = None, 0
        ends = self._monotonic() + PENDING_REQUESTS * self._patience.request_seconds
        for _ in range(MAX_PENDING_PAGES):
            after, seconds = cursor.next_after, self._patience.request_seconds
            page = gateway.page(self._app, after, seconds=seconds)
            if page is None and first is None:
                return [], cursor, None
            if page is None:
                break
            first = first or page
            proven, cursor = read(cursor, page, app=self._app, nodes=self._nodes)
            if page.proofs:
                return proven, cursor.without_pending(), first
            held += sum(len(body) + _OVERHEAD for body in page.batches)
            if held > MAX_PENDING_CHARACTERS or self._monotonic() > ends:
                break
        raise ProofOutOfReach("no proof follows these batches", after=cursor.index, held=held)

    def _contradicts(self, gateway: Gateway, cursor: Cursor, error: Exception) -> bool:
        """Whether a quorum's signature, and not only this gateway, speaks against the cursor.

        A page that does not fit may have been spoiled on its way. So ask for our own batch once
        more: if a proof confirms another chaining hash for it than ours, history was rewritten.
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
        """After a good answer: has the ledger stood still here, and is it so everywhere?"""
        if following != cursor:
            self._behind_since = self._rewound = None
            self._gateways.use(gateway)
            return
        now = self._monotonic()
        due = self._compared_at is None or now - self._compared_at >= self._patience.compare_every
        if due:
            self._compared_at = now
            self._rewound = None
            self._compare(gateway, cursor, now)
        if self._rewound is not None:
            raise self._rewound

    def _compare(self, gateway: Gateway, cursor: Cursor, now: float) -> None:
        """Leave a gateway that stands still while others go on; notice a ledger that went back."""
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
        if now - self._behind_since >= self._patience.rewound_after:
            self._rewound = LedgerRewound(
                f"no gateway is further than {max(reachable)}, and {cursor.index} were read",
                index=cursor.index,
            )

    def _finalized_index(self, gateway: Gateway) -> int:
        """−1: it does not say."""
        try:
            return gateway.finalized_index(self._app, seconds=self._patience.glance_seconds)
        except GatewayError:
            return -1


def _contradiction(cursor: Cursor, why: str) -> LedgerContradiction:
    return LedgerContradiction(
        f"the ledger has changed behind us: {why}",
        index=cursor.index,
        chaining_hash=cursor.chaining_hash,
    )
