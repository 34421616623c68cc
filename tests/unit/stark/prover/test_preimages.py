"""Preimages as numbers for kernels: the same limbs, hashes and rows as in plain Python."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragon.errors import WrongWitness
from dragon.stark import field
from dragon.stark.commitment import opening_limbs
from dragon.stark.field import P
from dragon.stark.prover.montgomery import integers, words
from dragon.stark.prover.preimages import Preimages
from dragon.stark.prover.threads import ThreadTeam
from dragon.stark.rescue import rescue_hash
from plaintraces import blocks_rows

ELEMENTS = [1, 2, 3, P - 1, 0, 1 << 60, 7, 8]
TEAM = ThreadTeam(1)

secrets = st.binary(min_size=60, max_size=60) | st.lists(
    st.integers(0, P - 1), min_size=8, max_size=8
)


@settings(deadline=None)
@given(st.lists(secrets, max_size=5))
def test_openings_and_elements_are_the_preimages_in_their_order(
    given: list[bytes | list[int]],
) -> None:
    expected = [opening_limbs(each) if isinstance(each, bytes) else each for each in given]

    preimages = Preimages.of(given)

    assert list(preimages) == expected
    assert preimages.encode() == field.encode(chain.from_iterable(expected))


@pytest.mark.parametrize("hashed_before", [True, False])
def test_padding_repeats_the_first_preimage_everywhere(hashed_before: bool) -> None:
    given = [ELEMENTS, bytes(range(60)), b"\xff" * 60]
    plain = [ELEMENTS, *map(opening_limbs, given[1:]), *[ELEMENTS] * 5]
    preimages = Preimages.of(given)
    if hashed_before:
        preimages.outputs(TEAM)

    padded = preimages.padded(8)

    outputs = [rescue_hash(each) for each in plain]
    assert len(padded) == 8
    assert list(padded) == plain
    assert padded.encode() == field.encode(chain.from_iterable(plain))
    assert integers(padded.outputs(TEAM)) == [*chain.from_iterable(outputs)]
    assert integers(padded.rows(TEAM)) == [*chain.from_iterable(blocks_rows(plain))]


def test_rows_belong_to_the_caller_and_are_computed_again() -> None:
    preimages = Preimages.of([ELEMENTS, bytes(60)]).padded(4)
    first = preimages.rows(TEAM)
    kept = first.copy()
    first.fill(0)

    assert np.array_equal(preimages.rows(TEAM), kept)


def test_one_element_of_some_preimages() -> None:
    assert Preimages.of([ELEMENTS, [9] * 8, [5] * 8]).elements(3, 0, 2) == [P - 1, 9]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (b"short", "opening 1 does not have 60 bytes"),
        ([1] * 7, "preimage 1 is not eight elements"),
        ([*[1] * 7, P], "preimage 1 is not eight elements"),
        ([-1, *[1] * 7], "preimage 1 is not eight elements"),
    ],
)
def test_a_malformed_secret_is_refused_by_its_place(wrong: bytes | list[int], message: str) -> None:
    with pytest.raises(WrongWitness, match=message) as refused:
        Preimages.of([ELEMENTS, wrong])
    assert refused.value.facts == {"number": 1}


def test_wiping_overwrites_the_numbers() -> None:
    numbers = words(ELEMENTS)
    preimages = Preimages(numbers)
    preimages.outputs(TEAM)

    preimages.wipe()

    assert not numbers.any()
    assert list(preimages) == [[0] * 8]
