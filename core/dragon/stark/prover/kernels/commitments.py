"""Leaves, trees and openings of committed tables (section 7).

A tree is one array, level by level from the leaves up. In a level of c nodes, word j of node t is
at level_start + j·pitch + t with pitch = max(c, 32). Sixteen parents can therefore read their
children without a bounds check at the end of a level.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dragon.stark.prover.kernels import blake2s, chains
from dragon.stark.prover.kernels.blake2s import BLOCK_WORDS, DIGEST_WORDS, MESSAGES
from dragon.stark.prover.kernels.chains import SALT_WORDS
from dragon.stark.prover.kernels.jit import Indices, Words, Words32, inline, kernel

MIN_PITCH: Final = 2 * MESSAGES
_PLACE: Final = 2 * MESSAGES  # words that one number takes in sixteen messages


@inline
def _blocks(size: int) -> int:
    return (size + 63) // 64


@kernel("void(uint64[::1], int64, int64, uint32[::1], uint32[::1], uint32[::1], int64, int64)")
def hash_rows(
    columns: Words, rows: int, width: int, salt_chain: Words32, salts: Words32, tree: Words32,
    first: int, last: int,
) -> None:  # fmt: skip
    """Hash the leaves of a table with rows of 64 bytes or more: one row per leaf.

    Rows are salted if `salts` is not empty; it receives word j of the salt of row r at j·rows + r.
    Handles groups first … last - 1, of sixteen rows each.
    """
    salted = salts.size > 0
    size = 8 * width + (4 * SALT_WORDS if salted else 0)
    message = np.zeros(MESSAGES * BLOCK_WORDS * _blocks(size), np.uint32)
    scratch = np.zeros(MESSAGES * BLOCK_WORDS, np.uint32)
    state = np.empty(MESSAGES * DIGEST_WORDS, np.uint32)
    pitch = max(rows, MIN_PITCH)
    for group in range(first, last):
        row = group * MESSAGES
        if salted:
            chains.put_salts(salt_chain, row, scratch, state)
            for j in range(SALT_WORDS):
                blake2s.put_words(state, MESSAGES * j, message, _PLACE * width + MESSAGES * j)
                blake2s.put_words(state, MESSAGES * j, salts, j * rows + row)
        for column in range(width):
            blake2s.put_numbers(columns, column * rows + row, message, _PLACE * column)
        blake2s.digest(state, message, size)
        for j in range(DIGEST_WORDS):
            blake2s.put_words(state, MESSAGES * j, tree, j * pitch + row)


@kernel("void(uint64[::1], int64, int64, int64, uint32[::1], int64, int64)")
def hash_stretches(
    columns: Words, rows: int, width: int, stretch: int, tree: Words32, first: int, last: int
) -> None:
    """Hash leaves of `stretch` consecutive rows each. Rows may have any length.

    In a FRI layer the columns are the three coordinates of the elements, and a leaf is a row or a
    package of rows. Handles groups first … last - 1, of sixteen leaves each.
    """
    leaves = rows // stretch
    size = 8 * width * stretch
    numbers = np.zeros(MESSAGES, np.uint64)
    message = np.zeros(MESSAGES * BLOCK_WORDS * _blocks(size), np.uint32)
    state = np.empty(MESSAGES * DIGEST_WORDS, np.uint32)
    pitch = max(leaves, MIN_PITCH)
    for group in range(first, last):
        leaf = group * MESSAGES
        count = min(MESSAGES, leaves - leaf)
        for k in range(stretch):
            for c in range(width):
                at = c * rows + leaf * stretch + k
                for t in range(count):
                    numbers[t] = columns[at + t * stretch]
                blake2s.put_numbers(numbers, 0, message, _PLACE * (width * k + c))
        blake2s.digest(state, message, size)
        for j in range(DIGEST_WORDS):
            blake2s.put_words(state, MESSAGES * j, tree, j * pitch + leaf)


@kernel("void(uint32[::1], int64, int64, int64, int64)")
def hash_levels(tree: Words32, leaves: int, part: int, parts: int, last_level: int) -> None:
    """Hash levels of the tree.

    If `parts` > 1: one part of the levels up to `last_level`; each of these levels must have at
    least sixteen nodes per part. If `parts` = 1: all levels above `last_level`.
    """
    message = np.zeros(MESSAGES * BLOCK_WORDS, np.uint32)
    state = np.empty(MESSAGES * DIGEST_WORDS, np.uint32)
    start, level, nodes = 0, 0, leaves
    while nodes > 1:
        pitch = max(nodes, MIN_PITCH)
        above = start + DIGEST_WORDS * pitch
        above_pitch = max(nodes // 2, MIN_PITCH)
        level += 1
        nodes //= 2
        if (parts > 1) == (level <= last_level):
            share = max(nodes // parts, 1)
            for node in range(part * share, (part + 1) * share, MESSAGES):
                for j in range(DIGEST_WORDS):
                    blake2s.put_pairs(
                        tree, start + j * pitch + 2 * node, message,
                        MESSAGES * j, MESSAGES * (j + DIGEST_WORDS),
                    )  # fmt: skip
                blake2s.digest(state, message, 64)
                for j in range(DIGEST_WORDS):
                    blake2s.put_words(state, MESSAGES * j, tree, above + j * above_pitch + node)
        start = above


@kernel("int64(uint32[::1], int64, int64[::1], uint32[::1])")
def open_leaves(tree: Words32, leaves: int, opened: Indices, hashes: Words32) -> int:
    """Write the hashes that authenticate the leaves `opened`, and return their number.

    `opened` is ascending and distinct. For each level from the leaves, left to right, the sibling
    of each known node is written unless it is known as well (section 7.3).
    """
    known = opened.copy()
    count, found, start, nodes = known.size, 0, 0, leaves
    while nodes > 1:
        pitch = max(nodes, MIN_PITCH)
        parents, i = 0, 0
        while i < count:
            node = known[i]
            if i + 1 < count and known[i + 1] == node ^ 1:
                i += 1
            else:
                for j in range(DIGEST_WORDS):
                    hashes[DIGEST_WORDS * found + j] = tree[start + j * pitch + (node ^ 1)]
                found += 1
            known[parents] = node >> 1
            parents += 1
            i += 1
        start += DIGEST_WORDS * pitch
        nodes //= 2
        count = parents
    return found
