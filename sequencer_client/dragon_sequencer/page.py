"""Pages of batches, decoded while they arrive.

A network limits the bytes of the batches on a page, but neither their number nor the length of the
JSON. So a page may be longer than a reader can hold: only its first batches are kept, of the others
only hashes, which lead to a finality proof that covers the kept ones.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Final

import xxhash

from dragon_sequencer.errors import MalformedPage, ProofsOutOfOrder
from dragon_sequencer.finality import Proof, check_digest, decode_proof
from dragon_sequencer.json_stream import JsonFault, JsonStream

MAX_PAGE_BATCHES: Final = 1_000_000  # batches read from one page; others are requested later
MAX_KEPT_BYTES: Final = 12 << 20  # memory for batches that wait for their proof or are returned
MAX_PROOF_TIMES: Final = 30_000  # stated times of a page; later batches get that of its last proof
MAX_PROOFS_PER_BATCH: Final = 16  # a new leader may finalize a batch again
BATCH_OVERHEAD_BYTES: Final = 400  # memory of a batch besides its text: hash, index, position
DIGEST_BYTES: Final = 16  # of XXH128


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to `GET …/batches/finalized?after=`: well formed, not verified."""

    batches: tuple[str, ...]
    first_chaining_hash: str  # empty if the answer was longer than the reader's limit
    proof: Proof | None = None  # the last one that was read
    times: tuple[tuple[int, int], ...] = ()  # index and time of the proofs, by ascending index
    further: bytes = b""  # XXH128 of each batch after `batches`; their texts were not kept

    def __len__(self) -> int:
        """The number of batches that can be chained."""
        return len(self.batches) + len(self.further) // DIGEST_BYTES


def decode_page(
    stream: JsonStream, *, after: int, max_bytes: int, keep_bytes: int = MAX_KEPT_BYTES
) -> tuple[Page | None, bool]:
    """Read a page; None if the value is null.

    Reading ends early, with a usable page, at a proof of all kept batches, or after `max_bytes`.

    Args:
        stream: the answer, at the page.
        after: the index that was asked for; the first batch has the next one.
        max_bytes: bytes of the answer to read. The stream must allow for one more batch or proof.
        keep_bytes: memory for batches. The first one is kept in any case if this is positive.

    Returns:
        The page, and whether it was read to its end.

    Raises:
        MalformedPage, MalformedProof, ProofsOutOfOrder: as named.
    """
    reading = _Reading(stream, after, max_bytes, keep_bytes)
    try:
        if stream.peek() != b"n":
            return reading.page(), reading.is_whole
        if stream.value() is None:
            return None, True
        raise MalformedPage("a page must be a JSON object")
    except JsonFault as fault:
        raise MalformedPage(f"the page cannot be read: {fault}") from None


@dataclass(slots=True)
class _Reading:
    """What was read of a page so far."""

    stream: JsonStream
    after: int
    max_bytes: int
    keep_bytes: int
    batches: list[str] = field(default_factory=list)
    further: bytearray = field(default_factory=bytearray)
    first: str = ""
    times: list[tuple[int, int]] = field(default_factory=list)
    proof: Proof | None = None
    has_proofs: bool = False
    is_whole: bool = True

    def page(self) -> Page:
        for name in self.stream.members():
            if name == "batches":
                self._batches()
            elif name == "first_chaining_hash":
                self.first = check_digest(self.stream.value())
            elif name == "finalized_signatures":
                self._proofs()
            else:
                self.stream.value()
            if not self.is_whole:
                break
        if not self.batches and not self.further:
            raise MalformedPage("a page must have at least one batch", member="batches")
        if self.is_whole and not (self.first and self.has_proofs):
            raise MalformedPage("a page must have a first_chaining_hash and finalized_signatures")
        batches, times = tuple(self.batches), tuple(self.times)
        return Page(batches, self.first, self.proof, times, bytes(self.further))

    def _batches(self) -> None:
        left = self.keep_bytes
        for count, body in enumerate(self.stream.strings()):
            if left > 0:
                self.batches.append(body)
                left -= held_bytes(body)
            elif count < MAX_PAGE_BATCHES:
                self.further += _digest(body)
            if self._is_spent():
                return

    def _proofs(self) -> None:
        self.has_proofs = True
        for count, _ in enumerate(self.stream.items(), start=1):
            if self.first and count > MAX_PROOFS_PER_BATCH * self._count():
                raise MalformedPage("a page has more proofs than its batches can have")
            proof = decode_proof(self.stream.value())
            if self._is_beyond(proof):
                self.is_whole = False
                return
            self._note(proof)
            if self._covers_kept(proof) or self._is_spent():
                self.is_whole = False
                return

    def _note(self, proof: Proof) -> None:
        before = self.proof.index if self.proof else 0
        if proof.index < before:
            raise ProofsOutOfOrder("the indices of the proofs of a page must ascend")
        if proof.index > before and len(self.times) < MAX_PROOF_TIMES:
            self.times.append((proof.index, proof.timestamp))
        self.proof = proof

    def _is_spent(self) -> bool:
        self.is_whole = self.stream.size < self.max_bytes
        return not self.is_whole

    def _count(self) -> int:
        return len(self.batches) + len(self.further) // DIGEST_BYTES

    def _covers_kept(self, proof: Proof) -> bool:
        """Whether no later proof is needed. A node sends the proofs after the batches."""
        return bool(self.first and self.further) and proof.index >= self.after + len(self.batches)

    def _is_beyond(self, proof: Proof) -> bool:
        """Whether the proof is for a batch after the last one that was hashed."""
        count = self._count()
        return bool(self.first) and count >= MAX_PAGE_BATCHES and proof.index > self.after + count


def _digest(body: str) -> bytes:
    try:
        return xxhash.xxh3_128_digest(body.encode())
    except UnicodeEncodeError:
        raise MalformedPage("a batch contains a lone surrogate") from None


def held_bytes(body: str) -> int:
    """Memory that a batch takes until it is applied."""
    return sys.getsizeof(body) + BATCH_OVERHEAD_BYTES
