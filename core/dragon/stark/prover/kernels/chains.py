"""Bulk operations on hash chains (section 2): field elements, salts, and the smallest nonce."""

from __future__ import annotations

from typing import Final

import numpy as np

from dragon.stark.field import P
from dragon.stark.prover.kernels import blake2s
from dragon.stark.prover.kernels.blake2s import BLOCK_WORDS, DIGEST_WORDS, MESSAGES
from dragon.stark.prover.kernels.jit import Words, Words32, inline, kernel

ELEMENT_WORDS: Final = 2
SALT_WORDS: Final = 4
SPARE: Final = 4 * MESSAGES  # elements that `draw_elements` may write beyond `count`
_COUNTER_AT: Final = 14 * MESSAGES
_MASK: Final = np.uint64(2**62 - 1)  # p has 62 bits
_PRIME: Final = np.uint64(P)
_HALF: Final = np.uint64(32)


@inline
def put_state(chain: Words32, message: Words32) -> None:
    for j in range(DIGEST_WORDS):
        blake2s.put_word(chain[j], message, MESSAGES * j)


@inline
def _word(state: Words32, block: int, k: int) -> np.uint64:
    high = np.uint64(blake2s.swapped(state[MESSAGES * 2 * k + block]))
    return (high << _HALF) | np.uint64(blake2s.swapped(state[MESSAGES * (2 * k + 1) + block]))


@kernel("int64(uint32[::1], uint64[::1], int64)")
def draw_elements(chain: Words32, elements: Words, count: int) -> int:
    """Draw the first `count` elements of a chain after a mix: 62-bit words below p.

    An accepted word is the Montgomery form. `elements` must have room for `SPARE` more elements,
    which are overwritten. Returns the number of elements found: `count` or a few more.
    """
    message = np.zeros(MESSAGES * BLOCK_WORDS, np.uint32)
    state = np.empty(MESSAGES * DIGEST_WORDS, np.uint32)
    put_state(chain, message)
    found, counter = 0, 0
    while found < count:
        blake2s.put_counters(counter, message, _COUNTER_AT)
        blake2s.digest(state, message, 64)
        for block in range(MESSAGES):
            for k in range(4):
                word = _word(state, block, k) & _MASK
                elements[found] = word
                found += int(word < _PRIME)
        counter += MESSAGES
    return found


@inline
def put_salts(chain: Words32, row: int, message: Words32, state: Words32) -> None:
    """Compute the salts of sixteen rows into the first four words of `state` (section 11)."""
    put_state(chain, message)
    blake2s.put_counters(row, message, MESSAGES * DIGEST_WORDS)
    for j in range(DIGEST_WORDS + ELEMENT_WORDS, BLOCK_WORDS):
        blake2s.put_word(np.uint32(0), message, MESSAGES * j)
    blake2s.digest(state, message, 40)
    for j in range(DIGEST_WORDS):
        blake2s.put_words(state, MESSAGES * j, message, MESSAGES * j)
    blake2s.put_counters(0, message, MESSAGES * DIGEST_WORDS)
    for j in range(DIGEST_WORDS, BLOCK_WORDS):
        blake2s.put_word(np.uint32(0), message, MESSAGES * j)
    blake2s.digest(state, message, 64)


@kernel("int64(uint32[::1], int64, int64, int64)")
def find_nonce(prefix: Words32, bits: int, first: int, last: int) -> int:
    """The smallest valid nonce in first … last - 1, or -1. Both are multiples of sixteen."""
    message = np.zeros(MESSAGES * BLOCK_WORDS, np.uint32)
    state = np.empty(MESSAGES * DIGEST_WORDS, np.uint32)
    put_state(prefix, message)
    shift = np.uint64(64 - bits)
    for start in range(first, last, MESSAGES):
        blake2s.put_counters(start, message, MESSAGES * DIGEST_WORDS)
        blake2s.digest(state, message, 40)
        for k in range(MESSAGES):
            if _word(state, k, 0) >> shift == np.uint64(0):
                return start + k
    return -1
