"""A reader's rules: a cursor and a page in, proven batches and the next cursor out.

Nothing here talks to anyone. Whatever a gateway serves, either every batch that comes out has been
chained by us to what we knew and covered by a verified proof, or a named refusal says why not.
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

MAX_PAGE_BATCHES: Final = 200_000  # empty batches take no bytes of a page, but memory of ours


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to `GET …/batches/finalized?after=`, well formed and not yet verified."""

    batches: tuple[str, ...]
    first_chaining_hash: str
    proofs: tuple[Proof, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """One batch, chained to those before it and not yet proven."""

    index: int
    body: str
    chaining_hash: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a reader stands, and what it holds beyond that without a proof."""

    index: int = 0  # of the last proven batch taken
    chaining_hash: str | None = ""  # None: joined in the middle, not known before a first proof
    proof_index: int | None = 0  # of the last proof; None: not known, the next one's link is free
    proof_time: int = 0
    pending: tuple[Link, ...] = ()

    @classmethod
    def at(cls, position: Position) -> Self:
        """Continue at a position that was kept. One that is only an index joins there."""
        if position.index and not position.chaining_hash:
            return cls.join(position.index)
        return cls(
            position.index, position.chaining_hash, position.proof_index, position.proof_time
        )

    @classmethod
    def join(cls, index: int) -> Self:
        """Start behind batch `index` knowing nothing of it.

        The chain is taken from the first page and believed once a proof confirms it. The parent
        link of the very first proof has nothing it could be compared with: it is only checked not
        to lie beyond `index`, which would mean a proof was withheld. Every later link is checked.
        """
        if index < 0:
            raise ValueError("a reader begins behind batch 0 at the earliest")
        return cls(index, None, None) if index else cls()

    @property
    def next_after(self) -> int:
        """What to ask for. A reader that joins asks for its own batch again, for the chain."""
        if self.pending:
            return self.pending[-1].index
        return self.index if self.chaining_hash is not None else self.index - 1

    @property
    def tip(self) -> str | None:
        return self.pending[-1].chaining_hash if self.pending else self.chaining_hash

    def without_pending(self) -> Self:
        return replace(self, pending=())


def decode_page(value: object) -> Page:
    """Raises MalformedPage or MalformedProof, and nothing else."""
    if not isinstance(value, dict):
        raise MalformedPage("a page is a JSON object")
    batches, proofs = value.get("batches"), value.get("finalized_signatures")
    if not isinstance(batches, list) or not all(isinstance(body, str) for body in batches):
        raise MalformedPage("batches is a list of texts", member="batches")
    if not 0 < len(batches) <= MAX_PAGE_BATCHES or not isinstance(proofs, list):
        raise MalformedPage("a page has some batches, and a list of proofs")
    first = check_digest(value.get("first_chaining_hash"))
    return Page(tuple(batches), first, tuple(decode_proof(proof) for proof in proofs))


def read(
    cursor: Cursor, page: Page, *, app: str, nodes: NodeList
) -> tuple[list[ProvenBatch], Cursor]:
    """Take the page that was asked for with `cursor.next_after`.

    Every proof is verified, so that every batch's time is proven along with its place. Batches
    behind the last proof come back pending in the new cursor. A refused page delivers nothing.

    Raises:
        PageError, FinalityError: the leaf that says what is wrong.
    """
    # (1) The batches follow from what we have, and the proofs lie among them in order.
    links = [*cursor.pending, *_chain(cursor, page)]
    _check_order(page, first=cursor.next_after + 1, last=links[-1].index)

    # (2) Segment by segment: our chain, a quorum's signature, the link to the proof before.
    proven: list[ProvenBatch] = []
    start = links[0].index
    for proof in page.proofs:
        link = links[proof.index - start]
        _check_proof(cursor, proof, link, app=app, nodes=nodes)
        segment = links[cursor.index + 1 - start : proof.index + 1 - start]
        proven += _deliver(cursor, proof, segment)
        cursor = Cursor(proof.index, link.chaining_hash, proof.index, proof.timestamp)

    # (3) The rest waits for a proof.
    rest = links[cursor.index + 1 - start :] if page.proofs else links
    return proven, replace(cursor, pending=tuple(rest))


def _chain(cursor: Cursor, page: Page) -> list[Link]:
    try:
        first = _first_hash(cursor.tip, page)
        hashes = list(accumulate(page.batches[1:], extend, initial=first))
    except UnicodeEncodeError:
        raise MalformedPage("a batch holds half a character") from None
    indices = count(cursor.next_after + 1)
    return [Link(*link) for link in zip(indices, page.batches, hashes, strict=False)]


def _first_hash(tip: str | None, page: Page) -> str:
    if tip is None:
        return page.first_chaining_hash
    computed = extend(tip, page.batches[0])
    if computed != page.first_chaining_hash:
        raise FirstHashMismatch("the page does not follow from what was read before")
    return computed


def _check_order(page: Page, *, first: int, last: int) -> None:
    indices = [proof.index for proof in page.proofs]
    if any(after <= before for before, after in pairwise(indices)):
        raise ProofsOutOfOrder("the proofs of a page ascend")
    if indices and not (first <= indices[0] and indices[-1] <= last):
        raise ProofOutsidePage("a proof lies outside its page", first=first, last=last)


def _check_proof(cursor: Cursor, proof: Proof, link: Link, *, app: str, nodes: NodeList) -> None:
    """The signature before the link: what is refused for its link is known to be genuine."""
    if proof.chaining_hash != link.chaining_hash:
        raise ChainMismatch("the batches are not those that were signed", index=proof.index)
    proof.verify(app=app, chaining_hash=link.chaining_hash, nodes=nodes)
    _check_parent(cursor, proof)
    if proof.timestamp < cursor.proof_time:
        raise TimeDecreased("a proof is earlier than the one before", index=proof.index)


def _check_parent(cursor: Cursor, proof: Proof) -> None:
    known = cursor.proof_index
    facts = {"index": proof.index, "parent_index": proof.parent_index}
    latest = cursor.index if cursor.chaining_hash is None else known
    if latest is not None and proof.parent_index > latest:
        raise WithheldProof("the proof before this one was not shown", **facts)
    if known is not None and proof.parent_index < known:
        raise SegmentRewritten("a proof overlaps what was proven before", **facts)


def _deliver(cursor: Cursor, proof: Proof, segment: list[Link]) -> Iterator[ProvenBatch]:
    text = proof.to_text()
    for link in segment:
        at_proof = link.index == proof.index
        position = Position(
            link.index,
            link.chaining_hash,
            proof.index if at_proof else proof.parent_index,
            proof.timestamp if at_proof else cursor.proof_time,
        )
        yield ProvenBatch(link.index, link.body, proof.timestamp, text, position)
