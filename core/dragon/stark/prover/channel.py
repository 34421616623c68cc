"""The prover's side of the transcript (section 8)."""

from __future__ import annotations

import numpy as np

from dragon.stark.hashchain import HashChain
from dragon.stark.prover.kernels import chains
from dragon.stark.prover.kernels.jit import Words
from dragon.stark.prover.montgomery import digest_words, wire

_WORD_BYTES = 8


def drawn_elements(state: bytes, count: int) -> Words:
    """The first `count` elements of F that a hash chain gives after a mix (section 2)."""
    elements = np.empty(count + chains.SPARE, dtype=np.uint64)
    chains.draw_elements(digest_words(state), elements, count)
    return elements[:count]


class ProverChannel:
    """Collects the proof; what is sent is mixed into the challenges."""

    def __init__(self, seed: bytes) -> None:
        self._chain = HashChain(seed)
        self._sent: list[bytes] = []

    @property
    def state(self) -> bytes:
        return self._chain.state

    def send(self, item: bytes) -> None:
        self._sent.append(item)
        self._chain.mix(item)

    def send_elements(self, numbers: Words) -> None:
        """Elements of K, three numbers each, one item each."""
        encoded = wire(numbers)
        for at in range(0, len(encoded), 24):
            self.send(encoded[at : at + 24])

    def append(self, opening: bytes) -> None:
        """From the query phase on nothing is mixed."""
        self._sent.append(opening)

    def draw_extensions(self, count: int) -> Words:
        """Elements of K, three numbers each: all that are drawn between two sends."""
        return drawn_elements(self.state, 3 * count)

    def draw_queries(self, count: int, bound: int) -> list[int]:
        """Numbers below `bound`, a power of two, right after a send."""
        raw = self._chain.draw(_WORD_BYTES * count)
        return [
            int.from_bytes(raw[at : at + _WORD_BYTES], "big") % bound
            for at in range(0, len(raw), _WORD_BYTES)
        ]

    def proof(self) -> bytes:
        return b"".join(self._sent)
