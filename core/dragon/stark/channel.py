"""The two streams a verifier reads: the proof, and the challenges it determines (section 8)."""

from __future__ import annotations

from dragon.stark import extension as ext
from dragon.stark.extension import Element
from dragon.stark.hashchain import DIGEST_BYTES, HashChain
from dragon.stark.refusal import ProofRefused, Reason


class ProofReader:
    """The bytes of a proof, taken from the front one item after the other."""

    def __init__(self, proof: bytes) -> None:
        self._proof = proof
        self.offset = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes. Raises ProofRefused (proof_too_short)."""
        start, self.offset = self.offset, self.offset + size
        if self.offset > len(self._proof):
            raise ProofRefused(Reason.PROOF_TOO_SHORT, "the proof ends too early")
        return self._proof[start : self.offset]

    def end(self) -> None:
        """Raises ProofRefused (trailing_bytes): something is left."""
        if left := len(self._proof) - self.offset:
            raise ProofRefused(Reason.TRAILING_BYTES, f"{left} bytes follow the proof")


class VerifierChannel:
    """The transcript up to the query phase: whatever is received is mixed into the challenges."""

    def __init__(self, seed: bytes, reader: ProofReader) -> None:
        self.chain = HashChain(seed)
        self._reader = reader

    def receive(self, size: int) -> bytes:
        sent = self._reader.take(size)
        self.chain.mix(sent)
        return sent

    def receive_digest(self) -> bytes:
        return self.receive(DIGEST_BYTES)

    def receive_element(self) -> Element:
        return self.receive_elements(1)[0]

    def receive_elements(self, count: int) -> list[Element]:
        """`count` elements of K that were sent as one item.

        Raises ProofRefused (proof_too_short, non_canonical).
        """
        return ext.decode(self.receive(count * ext.ELEMENT_BYTES))
