"""Fields, hash chain, Rescue and table openings, against the published vectors."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import starkvectors as vectors
from dragon.stark import extension as ext
from dragon.stark import field, rescue, tables
from dragon.stark.channel import ProofReader
from dragon.stark.deep import domain_points
from dragon.stark.extension import Element
from dragon.stark.field import P
from dragon.stark.fri import check_last_layer, fold_row, row_point
from dragon.stark.hashchain import HashChain, is_valid_nonce
from dragon.stark.interpolation import interpolants_at
from dragon.stark.parameters import Parameters
from dragon.stark.reciprocals import Reciprocals
from dragon.stark.refusal import ProofRefused, Reason
from examples import examples
from starkvectors import base, bases, element

FIELD = vectors.ziggy("field_kat.json")
RANDOMNESS = vectors.ziggy("prng_kat.json")
HASHING = vectors.ziggy("rescue_kat.json")
OPENINGS = vectors.ziggy("commitment_kat.json")["cases"]

scalars = st.one_of(st.sampled_from([0, 1, 2, P - 1, P - 2]), st.integers(0, P - 1))
points = st.tuples(scalars, scalars, scalars)


# -- the base field ------------------------------------------------------------------------------


@pytest.mark.parametrize("case", FIELD["base"], ids=lambda case: case["a"])
def test_base_field_arithmetic(case: Any) -> None:
    a, b = base(case["a"]), base(case["b"])

    assert field.encode([a, b]).hex() == case["a_wire"] + case["b_wire"]
    assert field.decode(field.encode([a, b])) == [a, b]
    assert (a + b) % P == base(case["add"])
    assert a * b % P == base(case["mul"])
    assert pow(a, rescue.CUBE_ROOT_EXPONENT, P) == base(case["a_cube_root"])
    if case["inv_a"] is None:
        with pytest.raises(ZeroDivisionError):
            field.inverse(a)
    else:
        assert field.inverse(a) == base(case["inv_a"])


def test_generators_of_subgroups_equal_the_published_ones() -> None:
    for case in FIELD["subgroup_generators"]:
        assert field.root_of_unity(1 << case["log_size"]) == base(case["generator"])


def test_points_of_the_evaluation_domain_equal_the_published_ones() -> None:
    case = FIELD["evaluation_domain"]
    parameters = Parameters(field.log2(case["n_cosets"]), 38, 8, (0,), case["trace_length"])
    rows = [row for row, _ in case["points_by_commitment_row"]]

    points = domain_points(rows, parameters.lengths(16))

    assert points == [base(point) for _, point in case["points_by_commitment_row"]]


@pytest.mark.parametrize("word", [P, P + 1, 2**64 - 1])
def test_words_that_are_not_below_p_are_refused(word: int) -> None:
    with pytest.raises(ProofRefused) as refused:
        field.decode(field.encode([1]) + word.to_bytes(8, "big"))

    assert refused.value.reason is Reason.NON_CANONICAL


@given(st.lists(scalars, max_size=9), st.lists(points, max_size=4))
def test_decoding_reverses_encoding(values: list[int], extended: list[Element]) -> None:
    assert field.decode(field.encode(values)) == values
    assert ext.decode(ext.encode(extended)) == extended


@given(st.binary(min_size=16, max_size=16))
def test_an_element_has_a_single_encoding(raw: bytes) -> None:
    try:
        values = field.decode(raw)
    except ProofRefused:
        return
    assert field.encode(values) == raw


@given(st.integers(0, P - 1), st.integers(0, 70))
def test_powers_equal_repeated_multiplication(base_value: int, count: int) -> None:
    assert field.powers(base_value, count) == [pow(base_value, k, P) for k in range(count)]


@given(st.lists(st.integers(1, P - 1), max_size=9))
def test_batch_inverses_equal_single_inverses(values: list[int]) -> None:
    assert field.batch_inverse(values) == [pow(value, -1, P) for value in values]


def test_a_batch_with_a_zero_is_refused() -> None:
    with pytest.raises(ZeroDivisionError):
        field.batch_inverse([3, 0, 5])


@given(st.integers(0, 20), st.data())
def test_bit_reversal_is_its_own_inverse(bits: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, 2**bits - 1))

    assert field.bit_reverse(field.bit_reverse(index, bits), bits) == index


@pytest.mark.parametrize("size", [0, 3, 12, -4])
def test_log2_refuses_other_numbers_than_powers_of_two(size: int) -> None:
    with pytest.raises(ValueError, match="not a power of two"):
        field.log2(size)


# -- the extension field -------------------------------------------------------------------------


@pytest.mark.parametrize("case", FIELD["extension"], ids=lambda case: case["a_wire"][:20])
def test_extension_field_arithmetic(case: Any) -> None:
    a, b = element(case["a"]), element(case["b"])

    assert ext.encode([a]).hex() == case["a_wire"]
    assert ext.decode(ext.encode([a, b])) == [a, b]
    assert ext.add(a, b) == element(case["add"])
    assert ext.sub(a, b) == element(case["sub"])
    assert ext.mul(a, b) == element(case["mul"])
    assert ext.conjugate(a) == element(case["frobenius_a"])
    assert ext.power(a, 1000003) == element(case["a_pow_1000003"])
    if case["inv_a"] is None:
        with pytest.raises(ZeroDivisionError):
            ext.inverse(a)
    else:
        assert ext.inverse(a) == element(case["inv_a"])


@given(points)
def test_the_conjugate_is_the_p_th_power(z: Element) -> None:
    assert ext.conjugate(z) == ext.power(z, P)


@given(points, st.integers(0, 2**40))
def test_powers_of_an_extension_element_equal_square_and_multiply(z: Element, e: int) -> None:
    expected = ext.ONE
    for bit in f"{e:b}":
        expected = ext.mul(expected, expected)
        expected = ext.mul(expected, z) if bit == "1" else expected

    assert ext.power(z, e) == expected


@given(st.lists(st.tuples(points, points), max_size=20))
def test_inner_products_equal_sums_of_products(pairs: list[tuple[Element, Element]]) -> None:
    expected = ext.ZERO
    for a, b in pairs:
        expected = ext.add(expected, ext.mul(a, b))

    assert ext.inner_product([a for a, _ in pairs], [b for _, b in pairs]) == expected


@given(st.lists(st.tuples(points, scalars), max_size=20))
def test_packed_dot_products_equal_plain_ones(terms: list[tuple[Element, int]]) -> None:
    expected = ext.ZERO
    for factor, scalar in terms:
        expected = ext.add(expected, ext.scale(factor, scalar))

    packed = ext.pack(factor for factor, _ in terms)

    assert ext.dot(packed, [scalar for _, scalar in terms]) == expected


@given(points, scalars)
def test_reciprocals_divide_by_the_difference(u: Element, a: int) -> None:
    difference = ext.sub(u, ext.embed(a))
    if difference == ext.ZERO:
        with pytest.raises(ZeroDivisionError):
            Reciprocals(u).norm_inverses([a])
        return
    reciprocals = Reciprocals(u)

    [norm_inverse] = reciprocals.norm_inverses([a])

    quotient = ext.scale(reciprocals.cofactor(a), norm_inverse)
    assert quotient == ext.inverse(difference)


@given(st.integers(0, 4), points, st.data())
@settings(max_examples=examples(30))
def test_interpolants_agree_with_coefficients(bits: int, u: Element, data: st.DataObject) -> None:
    m = 1 << bits
    coefficients = data.draw(st.lists(scalars, min_size=m, max_size=m))
    if ext.power(u, m) == ext.ONE:
        return
    roots = field.powers(field.root_of_unity(m), m)
    column = [sum(c * pow(x, j, P) for j, c in enumerate(coefficients)) % P for x in roots]

    expected = ext.ZERO
    for coefficient in reversed(coefficients):
        expected = ext.add(ext.mul(expected, u), ext.embed(coefficient))

    assert interpolants_at([column, column], u) == [expected, expected]


@pytest.mark.parametrize("case", FIELD["fri_fold"], ids=lambda case: case["x"])
def test_a_single_fold_equals_the_published_result(case: Any) -> None:
    pair = [element(case["f_x"]), element(case["f_minus_x"])]

    folded = fold_row(pair, field.inverse(base(case["x"])), element(case["eval_point"]))

    assert folded == element(case["result"])


@given(st.integers(1, 4), points, st.integers(0, 7), st.data())
@settings(max_examples=examples(20))
def test_a_step_equals_a_sequence_of_single_folds(
    step: int, challenge: Element, row: int, data: st.DataObject
) -> None:
    width, n_rows = 1 << step, 8
    values = data.draw(st.lists(points, min_size=width, max_size=width))

    singly, size, zeta = list(values), n_rows * width, challenge
    while len(singly) > 1:
        bits, first = field.log2(size), row * len(singly)
        singly = [
            fold_row(
                singly[2 * j : 2 * j + 2],
                pow(field.root_of_unity(size), -field.bit_reverse(first + 2 * j, bits), P),
                zeta,
            )
            for j in range(len(singly) // 2)
        ]
        size, zeta = size // 2, ext.mul(zeta, zeta)

    inverse = field.inverse(row_point(row, n_rows, width))
    assert fold_row(values, inverse, challenge) == singly[0]


@pytest.mark.parametrize(
    ("bound", "size"), [(1, 2), (4, 16), (8, 32), (64, 256), (3, 256), (256, 1024), (128, 4096)]
)
def test_values_off_the_last_layer_polynomial_are_refused(bound: int, size: int) -> None:
    chain = HashChain(b"last layer")
    coefficients = chain.extensions(bound)
    indices = {chain.number(size) for _ in range(40)}
    values = {index: horner(coefficients, row_point(index, size, width=1)) for index in indices}

    check_last_layer(coefficients, size, values)

    for index in sorted(indices)[:8]:
        for position in range(3):
            spoilt = list(values[index])
            spoilt[position] = (spoilt[position] + 1) % P
            with pytest.raises(ProofRefused) as refusal:
                check_last_layer(coefficients, size, {**values, index: (*spoilt,)})
            assert refusal.value.reason is Reason.LAST_LAYER


def horner(coefficients: list[Element], x: int) -> Element:
    total = ext.ZERO
    for coefficient in reversed(coefficients):
        total = ext.add(ext.scale(total, x), coefficient)
    return total


# -- the hash chain ------------------------------------------------------------------------------


@pytest.mark.parametrize("case", RANDOMNESS["prng"], ids=lambda case: case["seed_hex"] or "empty")
def test_hash_chain_draws_and_states(case: Any) -> None:
    chain = HashChain(bytes.fromhex(case["seed_hex"]))
    assert chain.state.hex() == case["initial_state"]

    for step in case["steps"]:
        check_step(chain, step)


@pytest.mark.parametrize("before", [0, 5, 8, 13, 40])
def test_many_words_are_those_of_single_draws(before: int) -> None:
    """Also if earlier draws have left bytes over that are no whole words."""
    together, singly = HashChain(b"words"), HashChain(b"words")
    for chain in (together, singly):
        chain.draw(before)

    for count in (1, 3, 2, 11):
        drawn = [int.from_bytes(singly.draw(8), "big") for _ in range(count)]
        assert together.words(count) == drawn


def check_step(chain: HashChain, step: Any) -> None:
    match step["op"]:
        case "draw":
            assert chain.draw(step["n"]).hex() == step["out"]
        case "mix":
            chain.mix(bytes.fromhex(step["data"]))
            assert chain.state.hex() == step["state"]
        case "base_element":
            assert chain.base() == base(step["out"])
        case "extension_element":
            assert chain.extension() == element(step["out"])
        case "number":
            assert chain.number(step["upper_bound"]) == step["out"]
        case unknown:
            raise AssertionError(unknown)


def test_salts_equal_the_published_ones() -> None:
    case = RANDOMNESS["salts"]
    chain = HashChain(bytes.fromhex(case["zk_seed_hex"]))
    chain.mix(b"Salts")
    assert chain.state.hex() == case["state_after_mix"]

    for row, salt in case["salts"]:
        copy = chain.copy()
        copy.mix(row.to_bytes(8, "big"))
        assert copy.draw(tables.SALT_BYTES).hex() == salt


@pytest.mark.parametrize("case", RANDOMNESS["proof_of_work"], ids=lambda case: case["bits"])
def test_the_published_nonce_is_the_smallest_valid_one(case: Any) -> None:
    state, bits = bytes.fromhex(case["state"]), case["bits"]
    nonce = int(case["lowest_nonce"], 16)

    valid = [is_valid_nonce(state, bits, i.to_bytes(8, "big")) for i in range(min(nonce, 2000))]

    assert not any(valid)
    assert is_valid_nonce(state, bits, nonce.to_bytes(8, "big"))


# -- Rescue --------------------------------------------------------------------------------------


def test_constants_equal_those_of_the_original_programs() -> None:
    known = vectors.ziggy("rescue_constants.json")

    assert int(known["prime"]) == P
    assert numbers(rescue.round_constants()) == numbers(known["round_constants"])
    assert numbers(rescue.mds_matrix()) == numbers(known["mds_matrix"])
    assert numbers(rescue.mds_matrix_inverse()) == numbers(known["mds_matrix_inverse"])


def numbers(matrix: Any) -> list[list[int]]:
    return [[int(entry) for entry in row] for row in matrix]


def test_rescue_hashes_equal_the_published_ones() -> None:
    for case in HASHING["rescue_hash"]:
        assert rescue.rescue_hash(bases(case["input"])) == vectors.digest(case["output"])


def test_every_state_of_a_permutation_equals_the_published_one() -> None:
    case = HASHING["rescue_permutation_states"]
    inputs = [*bases(case["input"]), 0, 0, 0, 0]

    states = rescue.permutation_states(inputs)

    assert states == [bases(step["state"]) for step in case["states"]]


def test_chains_of_hashes_end_in_the_published_outputs() -> None:
    for case in HASHING["rescue_chain"]:
        state, *words = [bases(word) for word in case["witness"]]
        for word in words:
            state = list(rescue.rescue_hash([*state, *word]))
        assert state == bases(case["output"])


def test_rescue_hash_refuses_other_lengths_than_eight() -> None:
    with pytest.raises(ValueError, match="eight"):
        rescue.rescue_hash(range(7))


# -- table openings ------------------------------------------------------------------------------


@pytest.mark.parametrize("case", OPENINGS, ids=lambda case: f"{case['n_elements']}")
def test_openings_have_the_published_roots(case: Any) -> None:
    size, n_rows, rows = case["element_size"], case["n_elements"], case["queries"]
    shown = b"".join(
        bytes((7 * i + size) % 256 for i in range(row * size, (row + 1) * size)) for row in rows
    )
    rest = bytes.fromhex(case["decommitment_after_queried_elements"])
    reader = ProofReader(shown + rest)

    if case["salted"]:
        _, root = tables.read_salted(reader, rows, size, n_rows)
    else:
        _, root = tables.read_packaged(reader, rows, size, n_rows)

    reader.end()
    assert root.hex() == case["root"]


def test_a_package_has_at_least_64_bytes() -> None:
    assert [tables.package_rows(size, 1 << 10) for size in (8, 24, 48, 64, 96, 192)] == [
        2 ** math.ceil(math.log2(max(1, math.ceil(64 / size)))) for size in (8, 24, 48, 64, 96, 192)
    ]
    assert tables.package_rows(48, 1) == 1
