"""Openings of committed tables, as a verifier reads them (section 7).

All functions read `proof` from a given offset and return the offset behind what they read, or
`REFUSED`. They never read beyond the end of the proof.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dragon.stark.field import P
from dragon.stark.prover.kernels import blake2s
from dragon.stark.prover.kernels.blake2s import DIGEST_WORDS
from dragon.stark.prover.kernels.jit import Bytes, Indices, Number, Words, Words32, inline, kernel

REFUSED: Final = -1
BLOCK_BYTES: Final = 64
_DIGEST_BYTES: Final = 4 * DIGEST_WORDS
_ZERO: Final = np.uint8(0)


@inline
def read_number(source: Bytes, at: int) -> Number:
    """The eight bytes from `at` on, big endian. Numbers of the wire are in Montgomery form."""
    number = np.uint64(0)
    for k in range(8):
        number = (number << np.uint64(8)) | np.uint64(source[at + k])
    return number


@inline
def write_number(number: Number, target: Bytes, at: int) -> None:
    """Write eight bytes, big endian."""
    for k in range(8):
        target[at + k] = np.uint8((number >> np.uint64(56 - 8 * k)) & np.uint64(0xFF))


@inline
def read_numbers(proof: Bytes, at: int, count: int, target: Words, first: int) -> int:
    """Read field elements into `target` from `first` on; refuse those that are not below p."""
    if at + 8 * count > proof.size:
        return REFUSED
    for k in range(count):
        number = read_number(proof, at + 8 * k)
        if number >= np.uint64(P):
            return REFUSED
        target[first + k] = number
    return at + 8 * count


@inline
def hash_leaf(message: Bytes, size: int, state: Words32, digests: Bytes, place: int) -> None:
    """Hash the first `size` bytes of `message` into digest number `place`.

    `message` has room for whole blocks.
    """
    padded = max(1, (size + BLOCK_BYTES - 1) // BLOCK_BYTES) * BLOCK_BYTES
    for k in range(size, padded):
        message[k] = _ZERO
    blake2s.digest_one(state, message.view(np.uint32), size)
    source = state.view(np.uint8)
    for k in range(_DIGEST_BYTES):
        digests[_DIGEST_BYTES * place + k] = source[k]


@inline
def read_root(
    proof: Bytes, at: int, nodes: Indices, digests: Bytes, count: int, n_leaves: int, root: Bytes
) -> int:
    """Compute the Merkle root over `count` leaves and compare it with `root` (section 7.3).

    `nodes` holds the indices of the leaves, ascending, and `digests` their hashes; both are
    overwritten. Siblings are read level by level from the leaves, left to right.
    """
    message = np.empty(BLOCK_BYTES, np.uint8)
    state = np.empty(DIGEST_WORDS, np.uint32)
    for k in range(count):
        nodes[k] += n_leaves
    while nodes[0] > 1:
        parents, k = 0, 0
        while k < count:
            node = nodes[k]
            own = (node & 1) * _DIGEST_BYTES
            for j in range(_DIGEST_BYTES):
                message[own + j] = digests[_DIGEST_BYTES * k + j]
            k += 1
            if node & 1 == 0 and k < count and nodes[k] == node + 1:
                for j in range(_DIGEST_BYTES):
                    message[_DIGEST_BYTES + j] = digests[_DIGEST_BYTES * k + j]
                k += 1
            else:
                if at + _DIGEST_BYTES > proof.size:
                    return REFUSED
                for j in range(_DIGEST_BYTES):
                    message[_DIGEST_BYTES - own + j] = proof[at + j]
                at += _DIGEST_BYTES
            hash_leaf(message, BLOCK_BYTES, state, digests, parents)
            nodes[parents] = node >> 1
            parents += 1
        count = parents
    for j in range(_DIGEST_BYTES):
        if digests[j] != root[j]:
            return REFUSED
    return at


@kernel("int64(uint8[::1], int64, int64[::1], int64, int64, int64, uint8[::1], uint64[::1])")
def open_rows(
    proof: Bytes, at: int, rows: Indices, width: int, salt_bytes: int, n_rows: int, root: Bytes,
    numbers: Words,
) -> int:  # fmt: skip
    """Read opened rows of `width` numbers with one row per leaf, and check their Merkle root.

    Every row comes with `salt_bytes` of salt; the salts follow all rows. `numbers` receives the
    rows, one after the other.
    """
    count, row_bytes = rows.size, 8 * width
    salts = read_numbers(proof, at, count * width, numbers, 0)
    if salts == REFUSED or salts + count * salt_bytes > proof.size:
        return REFUSED
    size = row_bytes + salt_bytes
    message = np.empty(BLOCK_BYTES * (1 + size // BLOCK_BYTES), np.uint8)
    state = np.empty(DIGEST_WORDS, np.uint32)
    digests = np.empty(_DIGEST_BYTES * count, np.uint8)
    for k in range(count):
        for j in range(row_bytes):
            message[j] = proof[at + k * row_bytes + j]
        for j in range(salt_bytes):
            message[row_bytes + j] = proof[salts + k * salt_bytes + j]
        hash_leaf(message, size, state, digests, k)
    return read_root(proof, salts + count * salt_bytes, rows.copy(), digests, count, n_rows, root)
