"""Spot checks: the request's form, the draw, and the probability of finding false numbers."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragon import errors
from dragon.encoding import canonical
from dragon.protocol.streams.spot_check import (
    MAX_REQUEST_BYTES,
    SpotCheckRequest,
    draw,
    found_probability,
)

REQUEST = SpotCheckRequest(bytes(range(32)), 3, 17, 20, 1_764_000_000, bytes(range(100, 132)))
ROOT = hashlib.sha256(b"a root").digest()


# -- the request -----------------------------------------------------------------------------------


def test_a_request_is_decoded_from_its_bytes() -> None:
    assert SpotCheckRequest.decode(REQUEST.encode()) == REQUEST


def test_the_encoding_of_a_request_never_changes() -> None:
    assert REQUEST.encode() == (
        b'{"chunks":20,"first":3,"kind":"spot-check-request","last":17,'
        b'"nonce":"0x6465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f80818283",'
        b'"stream":"0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",'
        b'"timestamp":1764000000}'
    )


@pytest.mark.parametrize(
    ("member", "value", "refusal"),
    [
        ("kind", "spot-check-answer", "unknown_value"),
        ("stream", "0x00", "invalid_hex"),
        ("first", 18, "integer_out_of_range"),  # behind the last window
        ("chunks", 0, "integer_out_of_range"),
        ("chunks", 1001, "integer_out_of_range"),
        ("timestamp", "now", "wrong_type"),
        ("nonce", "0x" + "00" * 31, "invalid_hex"),
        ("more", 1, "unknown_member"),
    ],
)
def test_a_malformed_request_is_refused(member: str, value: Any, refusal: str) -> None:
    with pytest.raises(errors.InvalidEncoding) as refused:
        SpotCheckRequest.decode(canonical({**REQUEST.to_json(), member: value}))

    assert refused.value.name == refusal


def test_a_long_request_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(errors.TooLarge):
        SpotCheckRequest.decode(REQUEST.encode() + b" " * MAX_REQUEST_BYTES)


# -- the draw --------------------------------------------------------------------------------------


def independent_draw(request: SpotCheckRequest, root: bytes, total: int) -> list[int]:
    """The draw as docs/spec/protocol.md describes it, written a second time."""
    encoded = hashlib.sha256(canonical(request.to_json())).digest()
    seed = hashlib.sha256(b"DataDragon spot check\0" + encoded + root).digest()
    found: list[int] = []
    counter = 0
    while len(found) < min(request.chunks, total):
        word = int.from_bytes(hashlib.sha256(seed + counter.to_bytes(8, "big")).digest()[:8], "big")
        counter += 1
        if word // total < 2**64 // total and word % total not in found:
            found.append(word % total)
    return sorted(found)


def test_known_answers_of_the_draw() -> None:
    assert draw(REQUEST, ROOT, 10**6)[:3] == (1892, 7002, 119515)
    assert draw(replace(REQUEST, chunks=5), ROOT, 7) == (0, 2, 3, 5, 6)


@given(st.integers(1, 2000), st.integers(1, 40), st.binary(min_size=32, max_size=32))
def test_the_draw_is_the_described_one(total: int, chunks: int, nonce: bytes) -> None:
    request = replace(REQUEST, chunks=chunks, nonce=nonce)

    drawn = draw(request, ROOT, total)

    assert list(drawn) == independent_draw(request, ROOT, total)
    assert len(set(drawn)) == len(drawn) == min(chunks, total)
    assert all(0 <= each < total for each in drawn)


def test_with_few_chunks_all_of_them_are_drawn() -> None:
    assert draw(REQUEST, ROOT, 20) == tuple(range(20))
    assert draw(REQUEST, ROOT, 1) == (0,)


@pytest.mark.parametrize(
    "other",
    [
        {"nonce": bytes(32)},
        {"timestamp": REQUEST.timestamp + 1},
        {"stream": bytes(32)},
        {"first": 4},
        {"last": 18},
    ],
)
def test_every_member_of_the_request_changes_the_draw(other: dict[str, Any]) -> None:
    assert draw(replace(REQUEST, **other), ROOT, 10**9) != draw(REQUEST, ROOT, 10**9)


def test_the_root_changes_the_draw() -> None:
    assert draw(REQUEST, bytes(32), 10**9) != draw(REQUEST, ROOT, 10**9)


def test_words_beyond_the_last_multiple_are_skipped() -> None:
    """With a total of 2^63 + 1 a remainder of all words would prefer small numbers by far."""
    total = 2**63 + 1

    drawn = draw(replace(REQUEST, chunks=1000), ROOT, total)

    # Words are rejected with probability 1/2; without that, 3 of 4 numbers would be below 2^62.
    assert 400 < sum(each < total // 2 for each in drawn) < 600
    assert list(drawn) == independent_draw(replace(REQUEST, chunks=1000), ROOT, total)


def test_every_subset_is_about_equally_likely() -> None:
    request, times = replace(REQUEST, chunks=2), 6000
    roots = (hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(times))

    counts = Counter(draw(request, root, 4) for root in roots)

    assert set(counts) == set(combinations(range(4), 2))
    expected = times / 6
    chi_squared = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_squared < 20.5  # five degrees of freedom: exceeded with probability 0.001


# -- the probability -------------------------------------------------------------------------------


def test_one_false_number_is_found_with_probability_k_of_n() -> None:
    assert found_probability(4000, 40, 1) == Fraction(40, 4000)


@given(st.integers(1, 60), st.data())
def test_a_share_is_found_at_least_as_often_as_with_independent_draws(
    total: int, data: st.DataObject
) -> None:
    drawn = data.draw(st.integers(0, total))
    wrong = data.draw(st.integers(0, total))

    found = found_probability(total, drawn, wrong)

    assert 1 - (1 - Fraction(wrong, total)) ** drawn <= found <= 1


def test_the_probability_is_that_of_all_subsets_counted() -> None:
    subsets = list(combinations(range(9), 4))
    hits = sum(any(each < 3 for each in subset) for subset in subsets)

    assert found_probability(9, 4, 3) == Fraction(hits, len(subsets))


@pytest.mark.parametrize(("total", "drawn", "wrong"), [(5, 6, 1), (5, 1, 6), (5, -1, 0)])
def test_an_impossible_question_is_refused(total: int, drawn: int, wrong: int) -> None:
    with pytest.raises(ValueError, match="from 0 to total"):
        found_probability(total, drawn, wrong)


def test_a_lying_owner_is_caught_as_often_as_stated() -> None:
    """Three false numbers among 60, ten drawn: with roots of a fixed seed, as often as computed."""
    total, wrong, times = 60, {7, 21, 22}, 4000
    source = random.Random(18)
    request = replace(REQUEST, chunks=10)

    caught = sum(
        not wrong.isdisjoint(draw(replace(request, nonce=source.randbytes(32)), ROOT, total))
        for _ in range(times)
    )

    expected = float(found_probability(total, 10, len(wrong)))
    deviation = (expected * (1 - expected) / times) ** 0.5
    assert abs(caught / times - expected) < 4 * deviation
