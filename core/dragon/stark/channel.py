"""The verifier's inputs: the proof, and the challenges drawn from it (section 8)."""

from __future__ import annotations

from dragon.stark import extension as ext
from dragon.stark.extension import Element
from dragon.stark.hashchain import DIGEST_BYTES, HashChain
from dragon.stark.refusal import ProofRefused, Reason


class ProofReader:
    """Reads a proof item by item, from the front."""

    def __init__(self, proof: bytes) -> None:
        self.proof = proof
        self.offset = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes. Raises ProofRefused (proof_too_short)."""
        start, self.offset = self.offset, self.offset + size
        if self.offset > len(self.proof):
            message = f"the proof has {len(self.proof)} bytes; at least {self.offset} are needed"
            raise ProofRefused(Reason.PROOF_TOO_SHORT, message)
        return self.proof[start : self.offset]

    def end(self) -> None:
        """Check that all bytes were read. Raises ProofRefused (trailing_bytes)."""
        if left := len(self.proof) - self.offset:
            raise ProofRefused(Reason.TRAILING_BYTES, f"{left} bytes follow the end of the proof")


class VerifierChannel:
    """The transcript up to the query phase: every item received is mixed into the hash chain."""

    def __init__(self, seed: bytes, reader: ProofReader) -> None:
        self.chain = HashChain(seed)
        self._reader = reader

    def receive(self, size: int) -> bytes:
        """Read one item of `size` bytes, and mix it. Raises ProofRefused (proof_too_short)."""
        sent = self._reader.take(size)
        self.chain.mix(sent)
        return sent

    def receive_digest(self) -> bytes:
        """Read one hash."""
        return self.receive(DIGEST_BYTES)

    def receive_element(self) -> Element:
        """Read one element of K."""
        return self.receive_elements(1)[0]

    def receive_elements(self, count: int) -> list[Element]:
        """Read `count` elements of K that were sent as one item.

        Raises ProofRefused (proof_too_short, non_canonical).
        """
        return ext.decode(self.receive(count * ext.ELEMENT_BYTES))
