"""Signatures of nodes, verified singly and together, and what is remembered of them."""

from __future__ import annotations

import dataclasses
import functools
import os
import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc import optimized_bn128 as oracle

from dragon_sequencer import bn254, errors, finality, pairing, signatures
from dragon_sequencer.bn254 import G2
from dragon_sequencer.signatures import FACTOR_BYTES, Signatures, Signed
from dragon_sequencer.tower import R
from examples import examples

pytestmark = pytest.mark.usefixtures("computed_anew", "either_arithmetic")

SECRETS = {"a": 1_000_003, "b": 1_000_004, "c": 1_000_005, "d": 1_000_006}
ABSENT = [frozenset[str](), frozenset({"a"}), frozenset({"d"})]


@functools.cache
def key_without(nonsigners: frozenset[str]) -> G2:
    total = sum(secret for name, secret in SECRETS.items() if name not in nonsigners)
    return bn254.public_key(total)


class Counted:
    """A source of random bytes that records how many were drawn."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self.drawn: list[int] = []

    def __call__(self, size: int) -> bytes:
        self.drawn.append(size)
        return self._random.randbytes(size)


@pytest.fixture
def checked() -> Signatures:
    return Signatures(lambda absent: key_without(frozenset(absent)))


@pytest.fixture
def pairings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of pairs in each product that is computed."""
    done: list[int] = []
    original = pairing.is_one

    def counting(pairs: list[Any]) -> bool:
        done.append(len(pairs))
        return original(pairs)

    monkeypatch.setattr(pairing, "is_one", counting)
    return done


@functools.cache
def signed(number: int, absent: frozenset[str] = ABSENT[0], *, error: int = 0) -> Signed:
    message = finality.digest(str(number)).encode()  # neighbouring messages may share a point
    secrets = [secret for name, secret in SECRETS.items() if name not in absent]
    made = bn254.sign([*secrets, error] if error else secrets, message)
    return Signed(message, bn254.encode_signature(made), absent, 0, number)


FALSE = {
    "another message": (signed(1, error=1), errors.BadFinalitySignature),
    "other signers": (
        dataclasses.replace(signed(2), nonsigners=frozenset({"a"})),
        errors.BadFinalitySignature,
    ),
    "off the curve": (dataclasses.replace(signed(3), signature="1 1 1"), errors.SignatureOffCurve),
    "not a signature": (
        dataclasses.replace(signed(4), signature="0"),
        errors.MalformedSignature,
    ),
}


def fault(checked: Signatures, one: Signed) -> type[Exception] | None:
    try:
        checked.check(one)
    except errors.FinalityError as error:
        return type(error)
    return None


# One signature


@pytest.mark.parametrize("absent", ABSENT)
def test_a_signature_of_these_signers_is_valid(absent: frozenset[str], checked: Signatures) -> None:
    checked.check(signed(7, absent))


@pytest.mark.parametrize("name", FALSE)
def test_a_false_signature_is_refused_by_name(name: str, checked: Signatures) -> None:
    one, refusal = FALSE[name]

    for _ in range(2):  # nothing was remembered
        with pytest.raises(refusal):
            checked.check(one)
    assert checked.remembered == 0


def test_signers_whose_keys_cancel_are_refused() -> None:
    checked = Signatures(lambda _: None)

    with pytest.raises(errors.BadFinalitySignature, match="infinity"):
        checked.check(signed(1))
    (failure, other) = checked.check_each([signed(1), signed(2)], os.urandom)
    assert "infinity" in str(failure)
    assert isinstance(other, errors.BadFinalitySignature)


# Memory


def test_a_valid_signature_is_verified_once(checked: Signatures, pairings: list[int]) -> None:
    for _ in range(3):
        checked.check(signed(1))
    assert checked.check_each([signed(1), signed(1)], Counted()) == (None, None)

    assert pairings == [2]


@pytest.mark.parametrize(
    "changes",
    [
        {"message": b"0" * 32},
        {"signature": bn254.encode_signature(bn254.G1_GENERATOR)},
        {"nonsigners": frozenset({"b"})},
    ],
)
def test_what_is_remembered_says_nothing_about_other_statements(
    changes: dict[str, Any], checked: Signatures
) -> None:
    checked.check(signed(1))

    with pytest.raises(errors.BadFinalitySignature):
        checked.check(dataclasses.replace(signed(1), **changes))
    assert checked.check_each([dataclasses.replace(signed(1), **changes)], Counted()) != (None,)


def test_the_memory_for_signatures_is_bounded(
    checked: Signatures, pairings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signatures, "MAX_REMEMBERED", 3)
    for number in (1, 2, 3, 1, 4):  # 2 was used longest ago
        checked.check(signed(number))
    done = len(pairings)

    assert checked.remembered == 3
    for number in (3, 1, 4):
        checked.check(signed(number))
    assert len(pairings) == done == 4
    checked.check(signed(2))
    assert len(pairings) == 5


def test_a_batch_fills_no_more_memory_than_is_allowed(
    checked: Signatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signatures, "MAX_REMEMBERED", 3)

    assert checked.check_each([signed(number) for number in range(5)], Counted()) == (None,) * 5
    assert checked.remembered == 3


def test_the_memory_for_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "MAX_SIGNER_SETS", 2)
    summed: list[frozenset[str]] = []

    def summing(nonsigners: Iterable[str]) -> G2 | None:
        summed.append(frozenset(nonsigners))
        return key_without(frozenset(nonsigners))

    checked = Signatures(summing)
    for number, absent in enumerate([*ABSENT[:2], *ABSENT[:2], ABSENT[2], ABSENT[0]]):
        checked.check(signed(number, absent))

    assert summed == [*ABSENT, ABSENT[0]]


def test_the_memory_for_points_is_bounded() -> None:
    bn254.hash_to_curve.cache_clear()
    for number in range(300):
        bn254.hash_to_curve(b"%d" % number)

    info = bn254.hash_to_curve.cache_info()
    assert info.currsize == info.maxsize == 256


# Several signatures


def test_valid_signatures_take_one_product_with_one_pair_for_each_set_of_signers(
    checked: Signatures, pairings: list[int]
) -> None:
    several = [signed(number, ABSENT[number % 3]) for number in range(7)]
    entropy = Counted()

    assert checked.check_each(several, entropy) == (None,) * 7
    assert pairings == [4]
    assert entropy.drawn == [7 * FACTOR_BYTES]


@pytest.mark.parametrize("name", FALSE)
@pytest.mark.parametrize("place", [0, 2, 3])
def test_a_batch_names_the_false_one(name: str, place: int, checked: Signatures) -> None:
    one, refusal = FALSE[name]
    several = [signed(number, ABSENT[number % 2]) for number in (11, 12, 13)]
    several.insert(place, one)

    found = checked.check_each(several, Counted())

    assert [type(each) for each in found if each] == [refusal]
    assert found[place] is not None
    assert checked.remembered == 3


def test_the_named_one_says_its_index(checked: Signatures) -> None:
    _, failure = checked.check_each([signed(5), signed(6, error=1)], Counted())

    assert failure is not None
    assert failure.facts["index"] == 6


def test_errors_of_two_signatures_do_not_cancel_out(checked: Signatures) -> None:
    """The sum of the signatures is that of two valid ones: only the factors tell them apart."""
    pair = [signed(1), signed(2)]
    points = [bn254.decode_signature(one.signature) for one in pair]
    shifted = [
        bn254.add_g1(points[0], bn254.G1_GENERATOR),
        bn254.add_g1(points[1], bn254.negate_g1(bn254.G1_GENERATOR)),
    ]
    forged = [
        dataclasses.replace(one, signature=bn254.encode_signature(point))
        for one, point in zip(pair, shifted, strict=True)
        if point
    ]
    assert bn254.add_g1(*points) == bn254.add_g1(*shifted)

    found = checked.check_each([*forged, signed(3)], Counted())

    assert [type(each) for each in found] == [errors.BadFinalitySignature] * 2 + [type(None)]
    assert checked.remembered == 1


def test_swapped_signatures_are_both_named(checked: Signatures) -> None:
    one, other = signed(1), signed(2)
    swapped = [
        dataclasses.replace(one, signature=other.signature),
        dataclasses.replace(other, signature=one.signature),
    ]

    found = checked.check_each(swapped, Counted())

    assert [type(each) for each in found] == [errors.BadFinalitySignature] * 2


def test_equal_signatures_are_verified_once(checked: Signatures, pairings: list[int]) -> None:
    entropy = Counted()

    assert checked.check_each([signed(1)] * 4, entropy) == (None,) * 4
    assert pairings == [2]
    assert entropy.drawn == []  # a single one needs no factor


def test_nothing_is_verified_of_nothing(checked: Signatures, pairings: list[int]) -> None:
    assert checked.check_each([], Counted()) == ()
    assert pairings == []


def test_random_bytes_must_be_whole(checked: Signatures) -> None:
    with pytest.raises(ValueError, match="entropy"):
        checked.check_each([signed(1), signed(2)], lambda size: bytes(size - 1))


CASES = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(ABSENT), st.sampled_from([0, 0, 0, 1, R - 1])),
    max_size=5,
)


@settings(max_examples=examples(15), deadline=None)
@given(CASES, st.integers(0, 1 << 64))
def test_a_batch_finds_what_single_checks_find(
    cases: list[tuple[int, frozenset[str], int]], seed: int
) -> None:
    several = [signed(number, absent, error=error) for number, absent, error in cases]
    together, singly = (
        Signatures(lambda absent: key_without(frozenset(absent))),
        Signatures(lambda absent: key_without(frozenset(absent))),
    )

    found = together.check_each(several, Counted(seed))

    assert [each and type(each) for each in found] == [fault(singly, each) for each in several]
    assert together.remembered == singly.remembered


@pytest.mark.parametrize("error", [0, 1])
def test_an_independent_library_agrees_on_a_batch(error: int, checked: Signatures) -> None:
    several = [signed(1), signed(2, ABSENT[1], error=error)]
    drawn = Counted(3)(2 * FACTOR_BYTES)
    factors = [int.from_bytes(drawn[:FACTOR_BYTES]), int.from_bytes(drawn[FACTOR_BYTES:])]

    product, total = oracle.FQ12.one(), oracle.Z1
    for one, factor in zip(several, factors, strict=True):
        key = key_without(one.nonsigners)
        weighted = oracle.multiply(in_oracle(bn254.hash_to_curve(one.message)), factor)
        twisted = (oracle.FQ2(list(key[0])), oracle.FQ2(list(key[1])), oracle.FQ2.one())
        product *= oracle.pairing(twisted, weighted, final_exponentiate=False)
        signature = in_oracle(bn254.decode_signature(one.signature))
        total = oracle.add(total, oracle.multiply(signature, factor))
    product *= oracle.pairing(oracle.G2, oracle.neg(total), final_exponentiate=False)

    expected = oracle.final_exponentiate(product) == oracle.FQ12.one()
    assert expected == (not error)
    assert (checked.check_each(several, lambda _: drawn) == (None, None)) == expected


def in_oracle(point: bn254.G1) -> Any:
    return oracle.FQ(point[0]), oracle.FQ(point[1]), oracle.FQ.one()


@pytest.mark.parametrize("error", [0, 1])
def test_a_factor_of_zero_lets_nothing_pass(error: int, pairings: list[int]) -> None:
    """A source of entropy that is broken costs time: each signature is verified alone."""
    pair = [signed(1), signed(2, error=error)]

    for drawn in (bytes, lambda size: b"\1" + bytes(size - 1)):
        found = Signatures(lambda absent: key_without(frozenset(absent))).check_each(pair, drawn)
        assert [failure is None for failure in found] == [True, not error]
    assert pairings == [2, 2] * 2


def test_signatures_that_cancel_each_other_are_told_apart(checked: Signatures) -> None:
    """With equal factors, a signature and its opposite add up to infinity."""
    one = signed(1)
    opposite = bn254.negate_g1(bn254.decode_signature(one.signature))
    false = dataclasses.replace(one, signature=bn254.encode_signature(opposite))

    found = checked.check_each([one, false], lambda size: b"\1" * size)

    assert [failure and type(failure) for failure in found] == [None, errors.BadFinalitySignature]
