"""The signature scheme: published vectors, comparison with `py_ecc`, and refused input."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc.bls import g2_primitives
from py_ecc.bls.ciphersuites import G2ProofOfPossession
from py_ecc.bls.point_compression import decompress_G1, decompress_G2
from py_ecc.bls.typing import G1Compressed, G2Compressed
from py_ecc.optimized_bls12_381 import G1, G2, add, is_inf, multiply, neg

from committees import make_members
from dragon.encoding import canonical
from dragon.errors import InvalidPoint, UnprovenKey
from dragon.protocol import bls, multiplication
from dragon.protocol.bls import PublicKey, SecretKey
from dragon.protocol.committee import Committee
from examples import examples

pytestmark = pytest.mark.usefixtures("computed_anew")

Oracle: Any = G2ProofOfPossession  # an independent implementation of the ciphersuite
VECTORS = Path(__file__).parents[2] / "vectors" / "bls"
HASH_TO_G2: dict[str, Any] = json.loads((VECTORS / "hash_to_g2.json").read_text())
SIGNATURES: dict[str, Any] = json.loads((VECTORS / "signatures.json").read_text())

FIELD = int(
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf"
    "6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab",
    16,
)
PARAMETER = -0xD201000000010000  # of the curve; the cofactors follow from it
G1_COFACTOR = (PARAMETER - 1) ** 2 // 3
G2_COFACTOR = (
    sum(factor * PARAMETER**power for power, factor in enumerate([13, -4, -4, 6, -4, 0, 5, -4, 1]))
    // 9
)
COMPRESSED, INFINITY, GREATER = 0x80, 0x40, 0x20  # the flags in the first byte of a point

SECRET = SecretKey.generate(b"the first secret of these tests.")
OTHER = SecretKey.generate(b"another secret for these tests..")
MESSAGE = b"a message of any length"
KEY, SIGNATURE = SECRET.public_key().raw, SECRET.sign(MESSAGE)


# -- published vectors -----------------------------------------------------------------------------


@pytest.mark.parametrize("case", HASH_TO_G2["vectors"], ids=lambda case: case["msg"][:16] or "-")
def test_messages_hash_to_the_points_of_rfc_9380(case: dict[str, Any]) -> None:
    point = bls.hash_to_curve(case["msg"].encode(), HASH_TO_G2["dst"].encode())

    x0, x1 = case["x"]
    greater = int(case["y"][1], 16) > (FIELD - 1) // 2
    raw = bytearray.fromhex(x1 + x0)
    raw[0] |= COMPRESSED | (GREATER if greater else 0)
    assert point.compress() == raw


@pytest.mark.parametrize("case", SIGNATURES["sign"])
def test_signatures_are_those_that_ethereum_publishes(case: dict[str, str]) -> None:
    secret = SecretKey.decode(bytes.fromhex(case["secret_key"]))
    message = bytes.fromhex(case["message"])

    signature = secret.sign(message)

    assert secret.public_key().raw.hex() == case["public_key"]
    assert signature.hex() == case["signature"]
    assert bls.verify(secret.public_key(), message, signature)


@pytest.mark.parametrize("case", SIGNATURES["aggregate"])
def test_aggregates_are_those_that_ethereum_publishes(case: dict[str, Any]) -> None:
    keys = [PublicKey.decode(bytes.fromhex(key)) for key in case["public_keys"]]
    signatures = [bytes.fromhex(signature) for signature in case["signatures"]]

    aggregate = bls.aggregate_signatures(signatures)

    assert aggregate.hex() == case["aggregate"]
    assert bls.verify(bls.aggregate_keys(keys), bytes.fromhex(case["message"]), aggregate)
    assert not bls.verify(bls.aggregate_keys(keys[1:]), bytes.fromhex(case["message"]), aggregate)


# -- the oracle ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entropy", [bytes(32), b"\xff" * 32, b"operator_1".ljust(32, b"."), b"x" * 99]
)
def test_key_generation_agrees_with_py_ecc(entropy: bytes) -> None:
    secret = SecretKey.generate(entropy)

    assert secret.scalar == Oracle.KeyGen(entropy)
    assert secret.public_key().raw == Oracle.SkToPk(secret.scalar)


@pytest.mark.parametrize("message", [b"", bytes(32), b"x" * 200, b"x" * 1000])
def test_signing_agrees_with_py_ecc(message: bytes) -> None:
    assert SECRET.sign(message) == Oracle.Sign(SECRET.scalar, message)


def test_verification_agrees_with_py_ecc() -> None:
    tampered = OTHER.sign(MESSAGE)

    assert bls.verify(SECRET.public_key(), MESSAGE, SIGNATURE)
    assert Oracle.Verify(KEY, MESSAGE, SIGNATURE)
    assert not bls.verify(SECRET.public_key(), MESSAGE, tampered)
    assert not Oracle.Verify(KEY, MESSAGE, tampered)


def test_proofs_of_possession_agree_with_py_ecc() -> None:
    proof = SECRET.prove_possession()

    assert proof == Oracle.PopProve(SECRET.scalar)
    assert Oracle.PopVerify(KEY, proof)
    assert bls.verify_possession(SECRET.public_key(), proof)


def test_aggregation_agrees_with_py_ecc() -> None:
    secrets = [SecretKey.generate(bytes([seed]) * 32) for seed in range(3)]
    keys, signatures = [s.public_key() for s in secrets], [s.sign(MESSAGE) for s in secrets]

    total, aggregate = bls.aggregate_keys(keys), bls.aggregate_signatures(signatures)

    assert total.raw == Oracle._AggregatePKs([key.raw for key in keys])
    assert aggregate == Oracle.Aggregate(signatures)
    assert Oracle.FastAggregateVerify([key.raw for key in keys], MESSAGE, aggregate)
    assert bls.verify(total, MESSAGE, aggregate)
    assert not bls.verify(bls.aggregate_keys(keys[:2]), MESSAGE, aggregate)


# -- secrets ---------------------------------------------------------------------------------------


@settings(max_examples=examples(25), deadline=None)
@given(st.integers(1, bls.ORDER - 1), st.binary(max_size=40))
def test_a_key_verifies_its_signatures(scalar: int, message: bytes) -> None:
    secret = SecretKey(scalar)

    assert SecretKey.decode(secret.encode()) == secret
    assert bls.verify(secret.public_key(), message, secret.sign(message))
    assert not bls.verify(secret.public_key(), message + b"\x00", secret.sign(message))


@pytest.mark.parametrize("scalar", [0, -1, bls.ORDER, bls.ORDER + 1, 2**256 - 1])
def test_a_secret_outside_its_range_is_refused(scalar: int) -> None:
    with pytest.raises(InvalidPoint):
        SecretKey(scalar)


@pytest.mark.parametrize("raw", [bytes(32), b"\xff" * 32, bls.ORDER.to_bytes(32), b""])
def test_a_secret_outside_its_range_is_not_decoded(raw: bytes) -> None:
    with pytest.raises(InvalidPoint):
        SecretKey.decode(raw)


def test_too_little_entropy_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SecretKey.generate(bytes(31))


def test_a_secret_is_not_shown() -> None:
    assert str(SECRET.scalar) not in repr(SECRET)
    assert f"{SECRET.scalar:x}" not in repr(SECRET)


def test_a_refused_secret_is_not_shown() -> None:
    with pytest.raises(InvalidPoint) as refused:
        SecretKey(bls.ORDER + 123_456_789)

    assert str(bls.ORDER + 123_456_789) not in f"{refused.value}{refused.value.facts}"


# -- refused points --------------------------------------------------------------------------------


def decompressed(raw: bytes) -> Any:
    """Return a point of the curve as `py_ecc` decodes it, in the subgroup or not.

    Raises ValueError: the bytes are not the encoding of a point.
    """
    if len(raw) == 48:
        return decompress_G1(G1Compressed(int.from_bytes(raw)))
    return decompress_G2(
        G2Compressed(
            (G1Compressed(int.from_bytes(raw[:48])), G1Compressed(int.from_bytes(raw[48:])))
        )
    )


def compressed(point: Any, size: int) -> bytes:
    encode: Any = g2_primitives.G1_to_pubkey if size == 48 else g2_primitives.G2_to_signature
    return bytes(encode(point))


def encoded_x(size: int) -> Iterator[bytes]:
    """Return compressed encodings with small x. About half of them are points of the curve."""
    for x in range(100):
        yield with_flags(x.to_bytes(size), COMPRESSED)


def outside_the_subgroup(size: int) -> bytes:
    """Return a point of the curve with a small x, without clearing the cofactor."""
    for raw in encoded_x(size):
        with suppress(ValueError):
            if not g2_primitives.subgroup_check(decompressed(raw)):
                return raw
    raise AssertionError("there are such points")


def of_small_order(size: int) -> Any:
    """Return a point of order 11 (G1) or 13 (G2). Their squares divide the cofactors."""
    factor = bls.ORDER * (G1_COFACTOR // 11**2 if size == 48 else G2_COFACTOR // 13**2)
    for raw in encoded_x(size):
        with suppress(ValueError):
            if not is_inf(point := multiply(decompressed(raw), factor)):
                return point
    raise AssertionError("there are such points")


def off_the_curve(size: int) -> bytes:
    """Return an encoded x without a point on the curve."""
    for raw in encoded_x(size):
        try:
            decompressed(raw)
        except ValueError:
            return raw
    raise AssertionError("every second x is such")


def with_flags(raw: bytes, flags: int) -> bytes:
    return bytes([flags | raw[0] & 0x1F]) + raw[1:]


def beyond_the_field(raw: bytes, coordinate: int) -> bytes:
    """Return x + p, the same residue, if it fits into 381 bits, and p otherwise."""
    start = 48 * coordinate
    x = int.from_bytes(raw[start : start + 48]) & (1 << 381) - 1
    spelled = x + FIELD if x + FIELD < 1 << 381 else FIELD
    flags = raw[start] & 0xE0
    again = bytearray(spelled.to_bytes(48))
    again[0] |= flags
    return raw[:start] + bytes(again) + raw[start + 48 :]


# Listed apart from the points, so that collecting these tests computes none.
SPOILED = [
    "infinity",
    "infinity with a sign",
    "infinity with an x",
    "infinity with an x in its first byte",
    "infinity with a sign alone",
    "infinity's flag on a point",
    "infinity uncompressed",
    "off the curve",
    "outside the subgroup",
    "of small order",
    "valid plus small order",
    "no flag of compression",
    "a sign without compression",
    "x is 0",
    "x is the modulus",
    "x beyond the field",
    "all ones",
    "all zeros",
    "nothing",
    "one byte short",
    "one byte long",
    "half",
    "twice",
]
BEYOND = "second coordinate beyond the field"  # of a signature alone


@cache
def spoiled_points(valid: bytes) -> dict[str, bytes]:
    size = len(valid)
    torsion = of_small_order(size)
    infinity = bytes([COMPRESSED | INFINITY]) + bytes(size - 1)
    spoiled = {
        "infinity": infinity,
        "infinity with a sign": with_flags(infinity, 0xE0),
        "infinity with an x": infinity[:-1] + b"\x01",
        "infinity with an x in its first byte": with_flags(b"\x01" + bytes(size - 1), 0xC0),
        "infinity with a sign alone": with_flags(infinity, INFINITY | GREATER),
        "infinity's flag on a point": with_flags(valid, valid[0] | INFINITY),
        "infinity uncompressed": with_flags(infinity, INFINITY),
        "off the curve": off_the_curve(size),
        "outside the subgroup": outside_the_subgroup(size),
        "of small order": compressed(torsion, size),
        "valid plus small order": compressed(add(decompressed(valid), torsion), size),
        "no flag of compression": with_flags(valid, 0),
        "a sign without compression": with_flags(valid, GREATER),
        "x is 0": bytes([COMPRESSED]) + bytes(size - 1),  # in G1 a point of order 3
        "x is the modulus": beyond_the_field(bytes([COMPRESSED]) + bytes(size - 1), 0),
        "x beyond the field": beyond_the_field(valid, 0),
        "all ones": b"\xff" * size,
        "all zeros": bytes(size),
        "nothing": b"",
        "one byte short": valid[:-1],
        "one byte long": valid + b"\x00",
        "half": valid[: size // 2],
        "twice": valid * 2,
    }
    if size == 96:
        spoiled[BEYOND] = beyond_the_field(valid, 1)
    return spoiled


def test_all_spoiled_points_are_listed() -> None:
    assert list(spoiled_points(KEY)) == SPOILED
    assert list(spoiled_points(SIGNATURE)) == [*SPOILED, BEYOND]


NOT_IN_SUBGROUP = ["outside the subgroup", "of small order", "valid plus small order"]


@pytest.mark.parametrize("name", SPOILED)
def test_a_key_that_is_no_point_of_the_subgroup_is_refused(name: str) -> None:
    with pytest.raises(InvalidPoint):
        PublicKey.decode(spoiled_points(KEY)[name])


@pytest.mark.parametrize("name", [*SPOILED, BEYOND])
def test_a_signature_that_is_no_point_of_the_subgroup_is_refused(name: str) -> None:
    raw = spoiled_points(SIGNATURE)[name]

    with pytest.raises(InvalidPoint):
        bls.verify(SECRET.public_key(), MESSAGE, raw)
    with pytest.raises(InvalidPoint):
        bls.verify_possession(SECRET.public_key(), raw)
    with pytest.raises(InvalidPoint):
        bls.aggregate_signatures([SIGNATURE, raw])


@pytest.mark.parametrize("name", NOT_IN_SUBGROUP)
def test_points_outside_the_subgroup_are_on_the_curve(name: str) -> None:
    """This shows that the tests above test the subgroup check."""
    key, signature = spoiled_points(KEY)[name], spoiled_points(SIGNATURE)[name]

    assert not g2_primitives.subgroup_check(decompressed(key))
    assert not g2_primitives.subgroup_check(decompressed(signature))
    assert compressed(decompressed(key), 48) == key
    assert compressed(decompressed(signature), 96) == signature


@pytest.mark.parametrize("valid", [KEY, SIGNATURE], ids=["key", "signature"])
def test_the_other_sign_is_the_opposite_point(valid: bytes) -> None:
    opposite = with_flags(valid, valid[0] & 0xE0 ^ GREATER)

    assert compressed(neg(decompressed(valid)), len(valid)) == opposite
    if len(valid) == 48:
        assert PublicKey.decode(opposite).point == -SECRET.public_key().point
    else:
        assert bls.decode_signature(opposite) == -bls.decode_signature(valid)
        assert not passes(opposite)


def is_canonical(raw: bytes) -> bool:
    """Return whether `py_ecc` decodes these bytes to a point of the subgroup, not infinity."""
    try:
        point = decompressed(raw)
    except ValueError:
        return False
    return (
        not is_inf(point)
        and bool(g2_primitives.subgroup_check(point))
        and compressed(point, len(raw)) == raw
    )


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(0, 3), st.sampled_from(range(0, 256, 32)), st.integers(0, 383), st.booleans())
def test_decoding_agrees_with_py_ecc(first: int, flags: int, flipped: int, flips: bool) -> None:
    points = [KEY, SIGNATURE, compressed_small(first, 48), compressed_small(first, 96)]
    for point in points:
        raw = with_flags(point, flags)
        if flips:
            number = int.from_bytes(raw) ^ 1 << flipped
            raw = number.to_bytes(len(raw))
        decode = PublicKey.decode if len(raw) == 48 else bls.decode_signature
        try:
            decode(raw)
        except InvalidPoint:
            assert not is_canonical(raw)
        else:
            assert is_canonical(raw)


def compressed_small(multiple: int, size: int) -> bytes:
    """Return a small multiple of a generator; infinity for 0."""
    return compressed(multiply(G1 if size == 48 else G2, multiple), size)


@pytest.mark.parametrize("raw", ["text", None, 48, bytearray(48), memoryview(KEY)])
def test_what_is_not_bytes_is_no_point(raw: Any) -> None:
    with pytest.raises(InvalidPoint):
        PublicKey.decode(raw)
    with pytest.raises(InvalidPoint):
        bls.decode_signature(raw)


@settings(max_examples=examples(200), deadline=None)
@given(st.binary(min_size=48, max_size=48), st.sampled_from([0x80, 0xA0, 0xC0, 0xE0, 0x00]))
def test_a_decoded_key_is_encoded_to_the_same_bytes(raw: bytes, flags: int) -> None:
    raw = with_flags(raw, flags)

    try:
        key = PublicKey.decode(raw)
    except InvalidPoint:
        return
    assert key.point.compress() == raw


def test_a_signature_with_any_bit_flipped_is_invalid() -> None:
    for position in range(0, 8 * 96, 5):
        raw = bytearray(SIGNATURE)
        raw[position // 8] ^= 0x80 >> position % 8

        assert not passes(bytes(raw))


def passes(signature: bytes) -> bool:
    try:
        return bls.verify(SECRET.public_key(), MESSAGE, signature)
    except InvalidPoint:
        return False


def test_no_keys_and_opposite_keys_have_no_sum() -> None:
    opposite = SecretKey(bls.ORDER - SECRET.scalar)

    with pytest.raises(InvalidPoint):
        bls.aggregate_keys([])
    with pytest.raises(InvalidPoint):
        bls.aggregate_keys([SECRET.public_key(), opposite.public_key()])


def test_keys_are_equal_when_their_bytes_are() -> None:
    assert PublicKey.decode(KEY) == SECRET.public_key()
    assert hash(PublicKey.decode(KEY)) == hash(SECRET.public_key())
    assert SECRET.public_key() != OTHER.public_key()


# -- possession ------------------------------------------------------------------------------------


def test_a_proof_of_possession_is_not_a_signature_on_the_same_bytes() -> None:
    key, proof = SECRET.public_key(), SECRET.prove_possession()

    assert bls.verify_possession(key, proof)
    assert not bls.verify(key, key.raw, proof)


def test_a_signature_on_a_public_key_is_not_a_proof_of_possession() -> None:
    """Otherwise an operator's signature on chosen bytes could register its key elsewhere."""
    key, signature = SECRET.public_key(), SECRET.sign(KEY)

    assert bls.verify(key, key.raw, signature)
    assert not bls.verify_possession(key, signature)


def test_a_proof_of_possession_is_invalid_for_another_key() -> None:
    assert not bls.verify_possession(OTHER.public_key(), SECRET.prove_possession())


def rogue_key(victim: PublicKey) -> tuple[PublicKey, bytes]:
    """Return a rogue key, and a signature on MESSAGE by its sum with the victim's key.

    The attacker needs only the victim's public key.
    """
    minus_victim = PublicKey.decode(with_flags(victim.raw, victim.raw[0] & 0xE0 ^ GREATER))
    own = SecretKey.generate(b"the attacker's own secret, known")
    rogue = bls.aggregate_keys([own.public_key(), minus_victim])
    return rogue, own.sign(MESSAGE)


def test_without_proofs_of_possession_a_rogue_key_signs_for_others() -> None:
    """The rogue-key attack: signature verification alone does not detect it."""
    victim = SECRET.public_key()

    rogue, forgery = rogue_key(victim)

    assert bls.verify(bls.aggregate_keys([victim, rogue]), MESSAGE, forgery)


@pytest.mark.parametrize("proof", ["of the attacker", "of the victim", "by the forged sum"])
def test_a_committee_refuses_a_rogue_key(proof: str) -> None:
    members = make_members(4)
    first, *others, last = members.committee.operators
    rogue, forgery = rogue_key(last.public_key)
    proofs = {
        "of the attacker": OTHER.prove_possession(),
        "of the victim": last.proof_of_possession,
        "by the forged sum": forgery,
    }
    attacker = dataclasses.replace(first, public_key=rogue, proof_of_possession=proofs[proof])

    infiltrated = dataclasses.replace(members.committee, operators=(attacker, *others, last))

    with pytest.raises(UnprovenKey) as refused:
        Committee.load(canonical(infiltrated.to_json()))
    assert refused.value.facts == {"id": first.id}


def test_the_domains_are_those_of_the_ciphersuite() -> None:
    assert bls.SIGNATURE_DST == b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_" == Oracle.DST
    assert bls.POSSESSION_DST == b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_" == Oracle.POP_TAG
    assert hashlib.sha256 is Oracle.xmd_hash_function


# -- arithmetic ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scalar", [0, 1, -1, bls.ORDER - 1, bls.ORDER + 2, -bls.ORDER, 1 << 5000])
def test_scalars_are_reduced(scalar: int) -> None:
    """No caller multiplies by a scalar out of range, but none would get a wrong point."""
    key, signature = SECRET.public_key().point, bls.decode_signature(SIGNATURE)
    reduced = scalar % bls.ORDER

    for point, raw in ((key, KEY), (signature, SIGNATURE)):
        expected = multiply(decompressed(raw), reduced)
        assert point.scalar_mul(scalar).compress() == compressed(expected, len(raw))


def test_a_domain_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="DstTooBig"):
        bls.hash_to_curve(MESSAGE, bytes(256))


def test_threads_share_points() -> None:
    key = SECRET.public_key()

    def verified(number: int) -> bool:
        return bls.verify(key, MESSAGE, SIGNATURE if number % 2 else OTHER.sign(MESSAGE))

    with ThreadPoolExecutor(4) as executor:
        verdicts = list(executor.map(verified, range(32)))

    assert verdicts == [False, True] * 16


FACTORS = st.one_of(st.integers(0, 2**128 - 1), st.sampled_from([0, 1, 7, 8, 9, 15, 2**128 - 1]))


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), FACTORS), max_size=9))
def test_a_weighted_sum_is_the_sum_of_the_multiples(terms: list[tuple[int, int]]) -> None:
    """Among equal and opposite points, and infinity."""
    point = bls.decode_signature(SIGNATURE)
    choice = [point, -point, multiplication.IDENTITY, bls.decode_signature(OTHER.sign(MESSAGE))]
    points, factors = [choice[which] for which, _ in terms], [factor for _, factor in terms]

    expected = multiplication.IDENTITY
    for each, factor in zip(points, factors, strict=True):
        expected = expected + each.scalar_mul(factor)

    assert multiplication.weighted_sum(points, factors) == expected


# -- batches ---------------------------------------------------------------------------------------


def signed_messages(count: int) -> list[bls.Signed]:
    secrets = [SECRET, OTHER]
    made = []
    for number in range(count):
        secret, message = secrets[number % 3 == 0], b"message %d" % number
        made.append(bls.Signed(secret.public_key(), message, secret.sign(message)))
    return made


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7, 16])
def test_a_batch_is_valid_if_all_signatures_are(count: int) -> None:
    signed = signed_messages(count)

    assert bls.verify_batch(signed, os.urandom)
    for at, one in enumerate(signed):
        forged = dataclasses.replace(one, message=b"another")
        assert not bls.verify_batch([*signed[:at], forged, *signed[at + 1 :]], os.urandom)


@pytest.mark.parametrize("name", [*SPOILED, BEYOND])
def test_a_batch_with_a_spoiled_signature_is_invalid(name: str) -> None:
    raw, (*signed, last) = spoiled_points(SIGNATURE)[name], signed_messages(4)

    assert not bls.verify_batch([*signed, dataclasses.replace(last, signature=raw)], os.urandom)


def test_errors_of_two_signatures_do_not_cancel_out() -> None:
    first, second, *others = signed_messages(5)
    error = bls.hash_to_curve(b"an error", bls.SIGNATURE_DST)
    pair = [
        dataclasses.replace(
            one, signature=(bls.decode_signature(one.signature) + difference).compress()
        )
        for one, difference in ((first, error), (second, -error))
    ]

    together = bls.aggregate_signatures([one.signature for one in pair])
    assert together == bls.aggregate_signatures([first.signature, second.signature])
    assert not bls.verify_batch([*pair, *others], os.urandom)


def test_factors_are_drawn_at_once_and_whole() -> None:
    """A short draw would make factors 0, and a forged signature with the factor 0 passes."""
    drawn: list[int] = []

    def entropy(size: int) -> bytes:
        drawn.append(size)
        return os.urandom(size)

    signed = signed_messages(5)

    assert bls.verify_batch(signed, entropy)
    assert drawn == [5 * bls.FACTOR_BYTES]
    with pytest.raises(ValueError, match="entropy"):
        bls.verify_batch(signed, lambda size: bytes(size - 1))
