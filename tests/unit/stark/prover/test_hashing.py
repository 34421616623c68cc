"""BLAKE2s in sixteen lanes, against `hashlib`: draws, salts, nonces, leaves, trees, openings."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from dragon.stark.field import P, R
from dragon.stark.hashchain import HashChain, blake2s_256, grinding_prefix, is_valid_nonce
from dragon.stark.prover.channel import ProverChannel, drawn_elements
from dragon.stark.prover.montgomery import integers
from dragon.stark.prover.prover import smallest_nonce
from dragon.stark.prover.tables import LayerTable, RowTable
from dragon.stark.prover.threads import ThreadTeam


def numbers(count: int, seed: int) -> list[int]:
    source = random.Random(seed)
    return [0, 1, P - 1, *(source.randrange(P) for _ in range(count))][:count]


def plain_tree(leaves: Sequence[bytes]) -> list[bytes]:
    """The nodes; node 1 is the root (section 7.3)."""
    nodes = [b""] * len(leaves) + list(leaves)
    for v in range(len(leaves) - 1, 0, -1):
        nodes[v] = blake2s_256(nodes[2 * v] + nodes[2 * v + 1])
    return nodes


def plain_siblings(nodes: Sequence[bytes], opened: Sequence[int]) -> bytes:
    """The queue algorithm of section 7.3."""
    queue, result = [len(nodes) // 2 + leaf for leaf in opened], b""
    while queue[0] != 1:
        v = queue.pop(0)
        queue.append(v // 2)
        if queue[0] == v ^ 1:
            queue.pop(0)
        else:
            result += nodes[v ^ 1]
    return result


def wire(row: Sequence[int]) -> bytes:
    return b"".join(number.to_bytes(8, "big") for number in row)


@pytest.mark.parametrize("count", [1, 3, 120, 1000])
def test_elements_are_drawn_as_the_hash_chain_draws_them(count: int) -> None:
    chain = HashChain(b"seed")
    chain.mix(b"Trace")

    drawn = drawn_elements(chain.state, count)

    assert integers(drawn) == [chain.base() for _ in range(count)]


def test_queries_are_drawn_as_the_hash_chain_draws_numbers() -> None:
    channel, chain = ProverChannel(b"seed"), HashChain(b"seed")
    channel.send(b"item")
    chain.mix(b"item")

    assert channel.draw_queries(7, 512) == [chain.number(512) for _ in range(7)]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("bits", [1, 5, 10])
def test_the_nonce_is_the_smallest_valid_one(bits: int, threads: int) -> None:
    for label in (b"a", b"b", b"c"):
        state = blake2s_256(label)
        with ThreadTeam(threads) as team:
            nonce = smallest_nonce(grinding_prefix(state, bits), bits, team)

        valid = [is_valid_nonce(state, bits, n.to_bytes(8, "big")) for n in range(nonce + 1)]
        assert valid == [False] * nonce + [True]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("width", "rows", "salted"),
    [(13, 512, True), (15, 1024, True), (2, 64, True), (12, 64, False), (2, 64, False)],
)
def test_commitments_and_openings_of_row_tables(
    width: int, rows: int, salted: bool, threads: int
) -> None:
    columns = numbers(width * rows, width)
    chain = HashChain(b"zero-knowledge seed")
    chain.mix(b"Salts")
    state = chain.state if salted else None
    opened = sorted(random.Random(rows).sample(range(rows), 9))

    with ThreadTeam(threads) as team:
        table = RowTable(np.array(columns, dtype=np.uint64), rows, state, team)
    opening = table.opening(np.array(opened))

    raw = [wire(columns[row::rows]) for row in range(rows)]
    salts, package = [b""] * rows, 1
    if salted:
        salts = [salt(chain, row) for row in range(rows)]
    else:
        package = max(1, 64 // (8 * width))
    leaves = [
        blake2s_256(b"".join(raw[at + k] + salts[at + k] for k in range(package)))
        for at in range(0, rows, package)
    ]
    nodes = plain_tree(leaves)
    touched = sorted({row // package for row in opened})
    completed = [r for t in touched for r in range(t * package, (t + 1) * package)]
    expected = b"".join(raw[row] for row in opened)
    expected += b"".join(salts[row] for row in opened)
    expected += b"".join(raw[row] for row in completed if row not in opened)
    assert table.root == nodes[1]
    assert opening == expected + plain_siblings(nodes, touched)


def salt(chain: HashChain, row: int) -> bytes:
    copy = chain.copy()
    copy.mix(row.to_bytes(8, "big"))
    return copy.draw(16)


@pytest.mark.parametrize(("size", "width"), [(512, 8), (64, 2), (2, 2), (32, 16), (64, 64)])
def test_commitments_and_openings_of_fri_layers(size: int, width: int) -> None:
    columns = numbers(3 * size, size)
    elements = [wire([columns[c * size + i] for c in range(3)]) for i in range(size)]
    known = sorted(random.Random(width).sample(range(size), min(5, size // 2)))

    table = LayerTable(np.array(columns, dtype=np.uint64), width, ThreadTeam(1))
    opening = table.opening(np.array(known))

    rows = [b"".join(elements[at : at + width]) for at in range(0, size, width)]
    package = 2 if width == 2 and len(rows) > 1 else 1
    leaves = [blake2s_256(b"".join(rows[at : at + package])) for at in range(0, len(rows), package)]
    nodes = plain_tree(leaves)
    opened = sorted({i // width for i in known})
    touched = sorted({row // package for row in opened})
    cells = [i for row in opened for i in range(row * width, (row + 1) * width) if i not in known]
    rest = [row for t in touched for row in range(t * package, (t + 1) * package)]
    expected = b"".join(elements[i] for i in cells)
    expected += b"".join(rows[row] for row in rest if row not in opened)
    assert table.root == nodes[1]
    assert opening == expected + plain_siblings(nodes, touched)


def test_the_montgomery_form_of_one_is_r() -> None:
    assert integers(np.array([R], dtype=np.uint64)) == [1]
