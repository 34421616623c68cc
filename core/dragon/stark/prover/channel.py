"""The prover's side of the transcript (section 8)."""

from __future__ import annotations

import numpy as np

from dragon.stark.hashchain import HashChain
from dragon.stark.prover.kernels import chains
from dragon.stark.prover.kernels.jit import Words
from dragon.stark.prover.montgomery import digest_words, wire

_WORD_BYTES = 8


def drawn_elements(state: bytes, count: int) -> Words:
    """The first `count` elements of F that a hash chain draws after a mix (section 2).

    `state` is the state of the chain after the mix.
    """
    elements = np.empty(count + chains.SPARE, dtype=np.uint64)
    chains.draw_elements(digest_words(state), elements, count)
    return elements[:count]


class ProverChannel:
    """Collects the proof. Every item that is sent is mixed into the hash chain."""

    def __init__(self, seed: bytes) -> None:
        self._chain = HashChain(seed)
        self._sent: list[bytes] = []

    @property
    def state(self) -> bytes:
        """The state of the hash chain, 32 bytes."""
        return self._chain.state

    def send(self, item: bytes) -> None:
        """Append an item to the proof, and mix it."""
        self._sent.append(item)
        self._chain.mix(item)

    def send_elements(self, numbers: Words) -> None:
        """Send elements of K, three numbers each. Each element is a separate item."""
        encoded = wire(numbers)
        for at in range(0, len(encoded), 24):
            self.send(encoded[at : at + 24])

    def append(self, opening: bytes) -> None:
        """Append an opening to the proof. From the query phase on, nothing is mixed."""
        self._sent.append(opening)

    def draw_extensions(self, count: int) -> Words:
        """Draw `count` elements of K, three numbers each. Call it once between two sends."""
        return drawn_elements(self.state, 3 * count)

    def draw_queries(self, count: int, bound: int) -> list[int]:
        """Draw `count` numbers below `bound`, a power of two. Call it directly after a send."""
        raw = self._chain.draw(_WORD_BYTES * count)
        return [
            int.from_bytes(raw[at : at + _WORD_BYTES], "big") % bound
            for at in range(0, len(raw), _WORD_BYTES)
        ]

    def proof(self) -> bytes:
        """Everything that was sent and appended."""
        return b"".join(self._sent)
