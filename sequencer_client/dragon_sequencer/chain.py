"""Verification of pages: a cursor and a page in, proven batches and the next cursor out.

Pure functions, without network access. Every returned batch was chained to what the reader knew
before and is covered by a verified proof; otherwise an error names the reason.

Only the last proof of a page is verified: it covers all batches before it. The network may sign
several proofs of one batch, with different times and parents, because a new leader finalizes again.
So neither the time nor the parent of a proof says anything about the history; only the chaining
hash does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, count
from typing import Self

from dragon.log.ledger import Position, ProvenBatch
from dragon_sequencer.errors import (
    ChainMismatch,
    FirstHashMismatch,
    MalformedPage,
    ProofOutsidePage,
)
from dragon_sequencer.finality import Proof, digest, extend
from dragon_sequencer.nodes import NodeList, NodeLists
from dragon_sequencer.page import DIGEST_BYTES, Page


@dataclass(frozen=True, slots=True)
class Link:
    """One batch, chained to those before it, not proven."""

    index: int
    body: str
    chaining_hash: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """A reader's position, and the batches after it that are not proven yet."""

    index: int = 0  # of the last proven batch
    chaining_hash: str | None = ""  # None: unknown after joining, until the first proof
    pending: tuple[Link, ...] = ()
    beyond: Position | None = None  # last chained batch, if texts after `pending` were not kept

    @classmethod
    def at(cls, position: Position) -> Self:
        """Continue at a stored position. A position with an index only is joined there."""
        if position.index and not position.chaining_hash:
            return cls.join(position.index)
        return cls(position.index, position.chaining_hash)

    @classmethod
    def join(cls, index: int) -> Self:
        """Start after batch `index` without knowing its chaining hash.

        The chaining hash is taken from the first page and confirmed by the first proof.
        """
        if index < 0:
            raise ValueError(f"a reader cannot begin after batch {index}; the earliest is batch 0")
        return cls(index, None) if index else cls()

    @property
    def next_after(self) -> int:
        """The parameter of the next request. After joining, the own batch is requested as well."""
        if self.beyond:
            return self.beyond.index
        if self.pending:
            return self.pending[-1].index
        return self.index if self.chaining_hash is not None else self.index - 1

    @property
    def tip(self) -> str | None:
        """The chaining hash of the last batch, proven or not; None if unknown."""
        if self.beyond:
            return self.beyond.chaining_hash
        return self.pending[-1].chaining_hash if self.pending else self.chaining_hash

    def without_pending(self) -> Self:
        return replace(self, pending=(), beyond=None)


def read(
    cursor: Cursor, page: Page, *, app: str, nodes: NodeList | NodeLists
) -> tuple[list[ProvenBatch], Cursor]:
    """Verify the page that was requested with `cursor.next_after`.

    A cursor with `beyond` needs a page of which no batches were kept.

    Returns:
        The proven batches, and the new cursor. Batches after the last proof are pending in it.

    Raises:
        PageError, FinalityError: the subclass names the reason; no batch of the page is used.
    """
    if cursor.beyond and page.batches:
        raise ValueError("the batches of this page would follow others that were not kept")

    # (1) The batches follow the known ones, and the proofs lie among them.
    links = [*cursor.pending, *_chain(cursor, page)]
    last = cursor.next_after + len(page)
    _check_range(page, first=cursor.next_after + 1, last=last)

    # (2) Without a proof, all batches wait.
    if page.proof is None:
        beyond = Position(last, _hash_at(last, cursor, page, links)) if page.further else None
        return [], replace(cursor, pending=tuple(links), beyond=beyond or cursor.beyond)

    # (3) A quorum signed the last proof for exactly these batches.
    _check_proof(page.proof, _hash_at(page.proof.index, cursor, page, links), app=app, nodes=nodes)
    proven = [link for link in links if link.index <= page.proof.index]
    waiting = links[len(proven) :]
    batches = list(_prove(page, page.proof, (link for link in proven if link.index > cursor.index)))
    if proven:
        cursor = Cursor(proven[-1].index, proven[-1].chaining_hash)
    return batches, replace(cursor, pending=tuple(waiting), beyond=None)


def _chain(cursor: Cursor, page: Page) -> list[Link]:
    _check_first(cursor.tip, page)
    if not page.batches:
        return []
    try:
        first = page.first_chaining_hash
        if cursor.tip is not None:
            first = extend(cursor.tip, page.batches[0])
        hashes = accumulate(page.batches[1:], extend, initial=first)
        indices = count(cursor.next_after + 1)
        return [Link(*link) for link in zip(indices, page.batches, hashes, strict=False)]
    except UnicodeEncodeError:
        raise MalformedPage("a batch contains a lone surrogate") from None


def _check_first(tip: str | None, page: Page) -> None:
    if tip is None and not page.first_chaining_hash:
        raise MalformedPage("a reader can only join at a page that it can read to its end")
    if tip is None or not page.first_chaining_hash:
        return
    try:
        first = digest(page.batches[0]) if page.batches else page.further[:DIGEST_BYTES].hex()
    except UnicodeEncodeError:
        raise MalformedPage("a batch contains a lone surrogate") from None
    if digest(tip + first) != page.first_chaining_hash:
        raise FirstHashMismatch("the page does not follow the batches that were read before")


def _hash_at(index: int, cursor: Cursor, page: Page, links: list[Link]) -> str:
    """The chaining hash at a batch of the page."""
    kept_to = cursor.next_after + len(page.batches)
    if index <= kept_to:
        return links[index - kept_to - 1].chaining_hash
    tip = links[-1].chaining_hash if page.batches else cursor.tip
    for at in range(0, (index - kept_to) * DIGEST_BYTES, DIGEST_BYTES):
        tip = digest(f"{tip}{page.further[at : at + DIGEST_BYTES].hex()}")
    return tip or ""


def _check_range(page: Page, *, first: int, last: int) -> None:
    if page.proof and not (first <= page.times[0][0] and page.proof.index <= last):
        raise ProofOutsidePage("a proof is for a batch outside its page", first=first, last=last)


def _check_proof(
    proof: Proof, chaining_hash: str, *, app: str, nodes: NodeList | NodeLists
) -> None:
    if proof.chaining_hash != chaining_hash:
        raise ChainMismatch("the batches are not the ones that were signed", index=proof.index)
    proof.verify(app=app, chaining_hash=chaining_hash, nodes=nodes)


def _prove(page: Page, proof: Proof, links: Iterator[Link]) -> Iterator[ProvenBatch]:
    """Batches with the verified proof, and the stated time of the first proof that covers each."""
    text = proof.to_text()
    for link in links:
        at = bisect_left(page.times, (link.index, 0))
        time = page.times[at][1] if at < len(page.times) else proof.timestamp
        yield ProvenBatch(
            link.index, link.body, time, text, Position(link.index, link.chaining_hash)
        )
