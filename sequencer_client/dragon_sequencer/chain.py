"""Verification of pages: a cursor and a page in, proven batches and the next cursor out.

Pure functions, without network access. Every returned batch was chained to what the reader knew
before and is covered by a verified proof; otherwise an error names the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, count, pairwise
from typing import Final, Self

from dragon.log.ledger import Position, ProvenBatch
from dragon_sequencer.errors import (
    ChainMismatch,
    FirstHashMismatch,
    MalformedPage,
    ProofOutsidePage,
    ProofsOutOfOrder,
    SegmentRewritten,
    TimeDecreased,
    WithheldProof,
)
from dragon_sequencer.finality import Proof, check_digest, decode_proof, extend
from dragon_sequencer.nodes import NodeList

MAX_PAGE_BATCHES: Final = 200_000  # batches of a page; empty ones take memory, but no bytes


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to `GET …/batches/finalized?after=`: well formed, not verified."""

    batches: tuple[str, ...]
    first_chaining_hash: str
    proofs: tuple[Proof, ...]


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
    proof_index: int | None = 0  # of the last proof; None: unknown
    proof_time: int = 0
    pending: tuple[Link, ...] = ()

    @classmethod
    def at(cls, position: Position) -> Self:
        """Continue at a stored position. A position with an index only is joined there."""
        if position.index and not position.chaining_hash:
            return cls.join(position.index)
        return cls(position.index, position.chaining_hash, None)

    @classmethod
    def join(cls, index: int) -> Self:
        """Start after batch `index` without knowing its chaining hash.

        The chaining hash is taken from the first page and confirmed by the first proof. The parent
        of that proof is unknown, so the only check is that it does not lie after `index`, which
        would mean that a proof was withheld. The parents of all later proofs are checked.
        """
        if index < 0:
            raise ValueError(f"a reader cannot begin after batch {index}; the earliest is batch 0")
        return cls(index, None, None) if index else cls()

    @property
    def next_after(self) -> int:
        """The parameter of the next request. After joining, the own batch is requested as well."""
        if self.pending:
            return self.pending[-1].index
        return self.index if self.chaining_hash is not None else self.index - 1

    @property
    def tip(self) -> str | None:
        """The chaining hash of the last batch, proven or not; None if unknown."""
        return self.pending[-1].chaining_hash if self.pending else self.chaining_hash

    def without_pending(self) -> Self:
        return replace(self, pending=())


def decode_page(value: object) -> Page:
    """Read a page from JSON. Raises MalformedPage or MalformedProof, and nothing else."""
    if not isinstance(value, dict):
        raise MalformedPage("a page must be a JSON object")
    batches, proofs = value.get("batches"), value.get("finalized_signatures")
    if not isinstance(batches, list) or not all(isinstance(body, str) for body in batches):
        raise MalformedPage("batches must be a list of strings", member="batches")
    if not 0 < len(batches) <= MAX_PAGE_BATCHES or not isinstance(proofs, list):
        raise MalformedPage(
            f"a page must have 1 to {MAX_PAGE_BATCHES} batches and a list of finalized_signatures"
        )
    first = check_digest(value.get("first_chaining_hash"))
    return Page(tuple(batches), first, tuple(decode_proof(proof) for proof in proofs))


def read(
    cursor: Cursor, page: Page, *, app: str, nodes: NodeList
) -> tuple[list[ProvenBatch], Cursor]:
    """Verify the page that was requested with `cursor.next_after`.

    Every proof is verified, so the time of every batch is proven together with its place.

    Returns:
        The proven batches, and the new cursor. Batches after the last proof are pending in it.

    Raises:
        PageError, FinalityError: the subclass names the reason; no batch of the page is used.
    """
    # (1) The batches follow the known ones, and the proofs lie among them in order.
    links = [*cursor.pending, *_chain(cursor, page)]
    _check_order(page, first=cursor.next_after + 1, last=links[-1].index)

    # (2) For each segment: the chain, a quorum's signature, the link to the previous proof.
    proven: list[ProvenBatch] = []
    start = links[0].index
    for proof in page.proofs:
        link = links[proof.index - start]
        _check_proof(cursor, proof, link, app=app, nodes=nodes)
        segment = links[cursor.index + 1 - start : proof.index + 1 - start]
        proven += _prove(proof, segment)
        cursor = Cursor(proof.index, link.chaining_hash, proof.index, proof.timestamp)

    # (3) The remaining batches wait for a proof.
    rest = links[cursor.index + 1 - start :] if page.proofs else links
    return proven, replace(cursor, pending=tuple(rest))


def _chain(cursor: Cursor, page: Page) -> list[Link]:
    try:
        first = _first_hash(cursor.tip, page)
        hashes = list(accumulate(page.batches[1:], extend, initial=first))
    except UnicodeEncodeError:
        raise MalformedPage("a batch contains a lone surrogate") from None
    indices = count(cursor.next_after + 1)
    return [Link(*link) for link in zip(indices, page.batches, hashes, strict=False)]


def _first_hash(tip: str | None, page: Page) -> str:
    if tip is None:
        return page.first_chaining_hash
    computed = extend(tip, page.batches[0])
    if computed != page.first_chaining_hash:
        raise FirstHashMismatch("the page does not follow the batches that were read before")
    return computed


def _check_order(page: Page, *, first: int, last: int) -> None:
    indices = [proof.index for proof in page.proofs]
    if any(after <= before for before, after in pairwise(indices)):
        raise ProofsOutOfOrder("the indices of the proofs of a page must ascend")
    if indices and not (first <= indices[0] and indices[-1] <= last):
        raise ProofOutsidePage("a proof is for a batch outside its page", first=first, last=last)


def _check_proof(cursor: Cursor, proof: Proof, link: Link, *, app: str, nodes: NodeList) -> None:
    """Checks the signature before the link, so that a wrong link is known to be genuine."""
    if proof.chaining_hash != link.chaining_hash:
        raise ChainMismatch("the batches are not the ones that were signed", index=proof.index)
    proof.verify(app=app, chaining_hash=link.chaining_hash, nodes=nodes)
    _check_parent(cursor, proof)
    if proof.timestamp < cursor.proof_time:
        raise TimeDecreased(
            "the time of a proof is earlier than that of the previous one", index=proof.index
        )


def _check_parent(cursor: Cursor, proof: Proof) -> None:
    known = cursor.proof_index
    facts = {"index": proof.index, "parent_index": proof.parent_index}
    latest = cursor.index if cursor.chaining_hash is None else known
    if latest is not None and proof.parent_index > latest:
        raise WithheldProof("the proof before this one was withheld", **facts)
    if known is not None and proof.parent_index < known:
        raise SegmentRewritten("a proof overlaps batches that were proven before", **facts)


def _prove(proof: Proof, segment: list[Link]) -> Iterator[ProvenBatch]:
    text = proof.to_text()
    for link in segment:
        position = Position(link.index, link.chaining_hash)
        yield ProvenBatch(link.index, link.body, proof.timestamp, text, position)
