"""Reads the ledger through gateways that may fail, lie or stop.

All batches are proven, so any gateway can be used. After an invalid page the next gateway is asked.
History has changed if any gateway serves a quorum's signature for another chaining hash than the
one that was read: no gateway can forge it. The ledger counts as set back if all gateways are behind
the reader for a while, without such a proof.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Final

import structlog

from dragon.errors import LedgerContradiction, LedgerRewound, LedgerUnavailable
from dragon.log.ledger import FinalityRule, KeptPositions, Position, ProvenBatch
from dragon_sequencer.chain import Cursor, read
from dragon_sequencer.errors import (
    FinalityError,
    FirstHashMismatch,
    GatewayError,
    PageError,
    ProofOutOfReach,
)
from dragon_sequencer.finality import Proof
from dragon_sequencer.gateway import Gateway
from dragon_sequencer.gateway_pool import GatewayPool, Timeouts
from dragon_sequencer.nodes import NodeLists
from dragon_sequencer.page import MAX_KEPT_BYTES, Page, held_bytes
from dragon_sequencer.proof_batch import verify_each
from dragon_sequencer.signatures import Entropy

MAX_PENDING_PAGES: Final = 1000  # pages that are read one after the other, in search of a proof
MAX_PENDING_REQUEST_TIMES: Final = (
    3  # begin of the last of them, as a multiple of `request_seconds`
)
# A slow gateway must not decide how fast the ledger is read: its pages are compared with what was
# read only again after this many times the seconds that the last comparison took.
CHECK_AGAIN_AFTER: Final = 20
# If no gateway shows a proof in time, the next search may take twice as long, at most this factor:
# one segment may hold millions of empty batches.
MAX_PATIENCE: Final = 8
NO_PROOF: Final = Proof(0, 0, "", 0, "", "", (), 0)  # stands for a ledger without batches
_log = structlog.stdlib.get_logger(__name__)


class LedgerReader:
    """Reads the ledger of one app step by step. The caller keeps the position."""

    def __init__(
        self,
        app: str,
        nodes: NodeLists,
        gateways: GatewayPool,
        timeouts: Timeouts,
        *,
        monotonic: Callable[[], float],
        entropy: Entropy,
    ) -> None:
        self._app, self._lists, self._entropy = app, nodes, entropy
        self.nodes = nodes  # those that count at the position that is read
        self._newest_proof: Proof | None = None  # that was read and verified
        # The last question to `holds_under`, and its answer.
        self._held: tuple[tuple[Proof, frozenset[bytes], int] | None, bool] = None, False
        self._gateways, self._timeouts, self._monotonic = gateways, timeouts, monotonic
        self._compared_at: float | None = None
        self._patience = 1
        self._claims_more: Gateway | None = None  # it showed a newer proof, but no page yet
        self._check_again_at: dict[str, float] = {}  # by URL
        self._behind_since: float | None = None
        self._rewound: LedgerRewound | None = None

    def holds_under(self, node_lists: Collection[bytes], threshold_percent: int) -> bool:
        """Whether the newest proof that was read holds under one of these node lists.

        Any thread may ask.
        """
        proof, (asked, held) = self._newest_proof, self._held
        if proof is None:
            return False
        question = proof, frozenset(node_lists), threshold_percent
        if asked != question:  # each question costs a pairing
            try:
                self._verify(proof, self._lists.only(node_lists, threshold_percent))
            except FinalityError:
                held = False
            else:
                held = True
            self._held = question, held
        return held

    def advance(
        self,
        cursor: Cursor,
        kept: KeptPositions | None = None,
        rule: FinalityRule | None = None,
    ) -> tuple[list[ProvenBatch], Cursor]:
        """Read the next batches from the first gateway with a valid answer.

        Args:
            cursor: where to read on.
            kept: finds earlier positions of the caller, which the ledger must still contain.
            rule: which proofs count; by default those under any of the node lists.

        Returns the proven batches, possibly none, and the cursor after them.

        Raises:
            LedgerUnavailable: no gateway gave a valid answer.
            LedgerContradiction: the network's history no longer contains what was read.
        """
        self.nodes = self._lists.by_rule(rule)
        failure = LedgerUnavailable("no gateway is configured")
        out_of_reach = False
        for gateway in self._gateways.circle():
            begun = self._monotonic()
            try:
                proven, following = self._read(gateway, cursor)
            except (GatewayError, PageError, FinalityError) as error:
                self._gateways.leave(gateway, error.name)
                out_of_reach |= isinstance(error, ProofOutOfReach)
                if isinstance(error, FirstHashMismatch) and cursor.chaining_hash:
                    # The page may be damaged, so the batch that was read is looked at again.
                    self._check_history(gateway, Position(cursor.index, cursor.chaining_hash))
                failure = LedgerUnavailable(
                    f"no gateway gave a valid answer: {error}", **error.facts
                )
            else:
                self._patience = 1
                self._note_answer(gateway, cursor, following, kept, begun)
                return proven, following
        self._patience = min(2 * self._patience, MAX_PATIENCE) if out_of_reach else 1
        raise failure

    def _read(self, gateway: Gateway, cursor: Cursor) -> tuple[list[ProvenBatch], Cursor]:
        """Read pages up to the first one with a proof of a new batch.

        Returns the proven batches, and the cursor after them.
        """
        following = cursor
        for page, proven, following in self._pages(gateway, cursor):
            if page.proof and proven:
                self._newest_proof = page.proof
            if proven or (page.proof and not following.pending):
                return proven, following.without_pending()
        if not following.pending:
            return [], cursor
        raise ProofOutOfReach(
            f"no proof follows the batches after {cursor.index}",
            after=cursor.index,
            read_to=following.next_after,
        )

    def _pages(
        self, gateway: Gateway, cursor: Cursor
    ) -> Iterator[tuple[Page, list[ProvenBatch], Cursor]]:
        """Each page after the cursor, what it proves, and the cursor after it."""
        most = MAX_PENDING_REQUEST_TIMES * self._timeouts.request_seconds
        ends = self._monotonic() + most * self._patience
        for _ in range(MAX_PENDING_PAGES):
            left = MAX_KEPT_BYTES - sum(held_bytes(link.body) for link in cursor.pending)
            page = gateway.page(
                self._app,
                cursor.next_after,
                seconds=self._timeouts.request_seconds,
                keep_bytes=0 if cursor.beyond else left,
            )
            if page is None:
                return
            proven, cursor = read(cursor, page, app=self._app, nodes=self.nodes)
            yield page, proven, cursor
            if self._monotonic() > ends:
                return

    def _check_history(self, gateway: Gateway, known: Position) -> None:
        """Compare what a gateway proves at a position with what was read there.

        Raises LedgerContradiction: the nodes signed another history.
        """
        begun = self._monotonic()
        if begun < self._check_again_at.get(gateway.url, begun):
            return
        with suppress(GatewayError, PageError, FinalityError):
            self._compare_history(gateway, known)
        now = self._monotonic()
        self._check_again_at[gateway.url] = now + CHECK_AGAIN_AFTER * (now - begun)

    def _compare_history(self, gateway: Gateway, known: Position) -> None:
        first: Page | None = None
        for page, _, _ in self._pages(gateway, Cursor.join(known.index)):
            first = first or page
            if page.proof and first.first_chaining_hash != known.chaining_hash:
                raise _contradiction(known)
            if page.proof:
                return

    def _note_answer(
        self,
        gateway: Gateway,
        cursor: Cursor,
        following: Cursor,
        kept: KeptPositions | None,
        begun: float,
    ) -> None:
        """After a valid answer, check whether this gateway or the whole ledger has stopped."""
        now = self._monotonic()
        if following != cursor:
            self._behind_since = self._rewound = self._claims_more = None
            if now - begun > self._timeouts.slow_seconds:
                # One batch after the other, each in time, would be progress too, but never enough.
                self._gateways.leave(gateway, "slow")
            else:
                self._gateways.use(gateway)
            return
        if self._claims_more is gateway:
            self._claims_more = None
            self._gateways.leave(gateway, "shows_less_than_it_says")
            return
        due = self._compared_at is None or now - self._compared_at >= self._timeouts.compare_seconds
        if due:
            self._compared_at = now
            self._rewound = None
            self._compare(gateway, cursor, kept, now)
        if self._rewound is not None:
            raise self._rewound

    def _compare(
        self, gateway: Gateway, cursor: Cursor, kept: KeptPositions | None, now: float
    ) -> None:
        """Leave a gateway that is behind others, and detect a ledger that was set back."""
        newest = self._newest(cursor)
        for other, proof in newest.items():
            if proof is not None:
                self._check_newest(other, proof, cursor, kept)
        ahead = [other for other, proof in newest.items() if proof and proof.index > cursor.index]
        self._choose(gateway, ahead)
        reachable = [proof.index for proof in newest.values() if proof]
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

    def _choose(self, gateway: Gateway, ahead: list[Gateway]) -> None:
        """Leave a gateway that shows nothing while others, or itself, prove newer batches."""
        if gateway in ahead:
            self._claims_more = gateway  # the batch may just have come: it is asked once more
        elif ahead:
            _log.warning("gateway_left", gateway=gateway.url, reason="stands_still")
            self._gateways.use(ahead[0])

    def _newest(self, cursor: Cursor) -> dict[Gateway, Proof | None]:
        """The newest proof of each gateway; None if it is not available.

        Those ahead of the cursor are verified: a gateway that only claims more must not attract the
        reader. A gateway without batches has the index 0.
        """
        found = {gateway: self._shown(gateway) for gateway in self._gateways.circle()}
        ahead = {
            other: proof for other, proof in found.items() if proof and _is_after(proof, cursor)
        }
        failures = verify_each(
            tuple(ahead.values()), app=self._app, nodes=self.nodes, entropy=self._entropy
        )
        for gateway, failure in zip(ahead, failures, strict=True):
            found[gateway] = None if failure else ahead[gateway]
        for gateway, proof in found.items():
            if proof and self._newest_proof is None and _is_at(proof, cursor):
                found[gateway] = self._newest_proof = self._valid(proof)  # read before the start
        return found

    def _shown(self, gateway: Gateway) -> Proof | None:
        """What a gateway shows as its newest proof, not verified; None if it does not answer."""
        try:
            proof = gateway.newest(self._app, seconds=self._timeouts.state_request_seconds)
        except (GatewayError, FinalityError):
            return None
        return proof or NO_PROOF

    def _valid(self, proof: Proof) -> Proof | None:
        with suppress(FinalityError):
            self._verify(proof, self.nodes)
            return proof
        return None

    def _verify(self, proof: Proof, nodes: NodeLists) -> None:
        proof.verify(app=self._app, chaining_hash=proof.chaining_hash, nodes=nodes)

    def _check_newest(
        self, gateway: Gateway, proof: Proof, cursor: Cursor, kept: KeptPositions | None
    ) -> None:
        """Compare a gateway that is not ahead with what was read up to its newest batch.

        Raises LedgerContradiction: the nodes signed another history.
        """
        known = _known_at(proof.index, cursor, kept)
        if known is None or (known.index == proof.index and _agrees(proof, known)):
            return
        if known.index < proof.index:
            self._check_history(gateway, known)
            return
        with suppress(FinalityError):
            self._verify(proof, self.nodes)
            raise _contradiction(known)


def _is_after(proof: Proof, cursor: Cursor) -> bool:
    return proof.index > cursor.index


def _is_at(proof: Proof, cursor: Cursor) -> bool:
    """Whether a proof is for the last batch that was read."""
    return cursor.index > 0 and (proof.index, proof.chaining_hash) == (
        cursor.index,
        cursor.chaining_hash,
    )


def _known_at(index: int, cursor: Cursor, kept: KeptPositions | None) -> Position | None:
    """The newest known position at or before `index`; None if there is none, or if it is newer."""
    if index > cursor.index:
        return None  # reading on will show whether it follows
    if index == cursor.index:
        known = Position(index, cursor.chaining_hash or "")
    else:
        known = (kept and kept(index)) or Position()
    return known if known.index and known.chaining_hash else None


def _agrees(proof: Proof, known: Position) -> bool:
    return proof.chaining_hash == known.chaining_hash


def _contradiction(known: Position) -> LedgerContradiction:
    return LedgerContradiction(
        f"the ledger no longer contains what was read up to batch {known.index}: the nodes have "
        "signed another history",
        index=known.index,
        chaining_hash=known.chaining_hash,
    )
