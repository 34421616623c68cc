"""Rescue in lanes, against the plain permutation and the published vectors."""

from __future__ import annotations

import random

import numpy as np
import pytest

import starkvectors as vectors
from dragon.errors import WrongWitness
from dragon.stark.commitment import commit
from dragon.stark.field import P
from dragon.stark.prover.blocks import hash_many
from dragon.stark.prover.kernels import rescue
from dragon.stark.prover.montgomery import integers, rescue_constants, words
from dragon.stark.prover.preimages import hashes
from dragon.stark.prover.threads import ThreadTeam
from dragon.stark.rescue import WIDTH, permutation_states, rescue_hash

EDGES = [[0] * 8, [P - 1] * 8, [1, 2, 3, 4, 5, 6, 7, 8], [P - 1, 0, 1, P - 2, 2, 0, 0, P - 1]]


def preimages(count: int) -> list[list[int]]:
    source = random.Random(count)
    fill = [[source.randrange(P) for _ in range(8)] for _ in range(count)]
    return (EDGES + fill)[:count]


# Groups of eight are hashed in parallel, the rest one by one.
@pytest.mark.parametrize("count", [1, 4, 8, 17])
@pytest.mark.parametrize("threads", [1, 2])
def test_bulk_hashes_equal_single_hashes(count: int, threads: int) -> None:
    inputs = preimages(count)

    with ThreadTeam(threads) as team:
        found = integers(hashes(words(x for each in inputs for x in each), team))

    assert found == [x for each in inputs for x in rescue_hash(each)]


def test_hashes_equal_the_published_vectors() -> None:
    cases = vectors.ziggy("rescue_kat.json")["rescue_hash"]
    inputs = [vectors.bases(case["input"]) for case in cases]

    found = integers(hashes(words(x for each in inputs for x in each), ThreadTeam(1)))

    assert found == [x for case in cases for x in vectors.bases(case["output"])]


def test_the_rows_of_a_trace_are_the_middles_of_the_rounds() -> None:
    inputs = preimages(9)
    rows = np.zeros(9 * 16 * WIDTH, dtype=np.uint64)
    outputs = np.empty(9 * 4, dtype=np.uint64)

    secret = words(x for each in inputs for x in each)
    rescue.hash_many(secret, rescue_constants(), outputs, rows, 16, 0, 9)

    table = rows.reshape(9, 16, WIDTH)
    for b, preimage in enumerate(inputs):
        states = permutation_states([*preimage, 0, 0, 0, 0])
        for r in range(16):
            middle = list(states[2 * r - 1]) if 1 <= r <= 10 else [0] * WIDTH
            assert integers(table[b, r]) == middle


def test_the_rows_of_a_chain_follow_section_11() -> None:
    chain = [[P - 1, 0, 1, 2], *(preimage[:4] for preimage in preimages(6))]
    rows = np.empty(2 * 32 * WIDTH, dtype=np.uint64)

    rescue.chain_rows(words(x for word in chain for x in word), rescue_constants(), rows, 2)

    table = [integers(row) for row in rows.reshape(64, WIDTH)]
    left = chain[0]
    for number, word in enumerate(chain[1:]):
        batch, k = divmod(number, 3)
        state = [*left, *word, 0, 0, 0, 0]
        if k == 0:
            assert table[32 * batch] == state
        states = permutation_states(state)
        for r in range(10):
            assert table[32 * batch + 1 + 10 * k + r] == list(states[2 * r + 1])
        left = list(states[20][:4])
        if k == 2:
            assert table[32 * batch + 31] == list(states[20])


def test_bulk_commitments_equal_those_of_the_plain_module() -> None:
    published = vectors.blocks("commitments.json")["openings"]
    openings = [bytes.fromhex(case["digest"] + case["salt"]) for case in published]

    assert hash_many(openings) == [bytes.fromhex(case["commitment"]) for case in published]
    assert hash_many(openings[:2], threads=2) == [commit(opening) for opening in openings[:2]]
    assert hash_many([]) == []


def test_an_opening_of_another_length_is_refused_by_its_number() -> None:
    secret = b"\xab" * 59

    with pytest.raises(WrongWitness) as refused:
        hash_many([bytes(60), secret])

    assert refused.value.facts == {"number": 1}
    assert "ab" * 4 not in str(refused.value)
