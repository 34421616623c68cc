"""BLS signatures on BLS12-381: keys in G1 (48 bytes), signatures in G2 (96 bytes).

The IETF proof-of-possession ciphersuite, as Ethereum uses it. Sources: draft-irtf-cfrg-bls-
signature (sections 2.3, 2.6 to 2.9, 3.3) and RFC 9380 for hashing to the curve. The arithmetic is
arkworks'; what stands here is the scheme and its strictness. `py_ecc` is the oracle in the tests.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Self

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from dragon.errors import BadSignature, InvalidPoint, InvalidSignature

ORDER: Final = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
SIGNATURE_DST: Final = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
POSSESSION_DST: Final = b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
PUBLIC_KEY_BYTES: Final = 48
SIGNATURE_BYTES: Final = 96
HASHED: Final = 256  # messages whose points are kept: each takes most of a millisecond to make

_MINUS_GENERATOR: Final = -G1Point()
_G1_IDENTITY: Final = G1Point.identity()
_G2_IDENTITY: Final = G2Point.identity()


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A point of G1 that is known to lie in the subgroup and not at infinity."""

    raw: bytes
    point: G1Point = field(repr=False, compare=False)

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Raises InvalidPoint: not 48 bytes, not on the curve, not in the subgroup, at infinity."""
        try:
            point = G1Point.from_compressed_bytes(raw)
        except (ValueError, TypeError):
            raise InvalidPoint("the public key is no point of the subgroup of G1") from None
        # A second spelling of the same point would be a second name of the same key.
        if point == _G1_IDENTITY or bytes(point.to_compressed_bytes()) != raw:
            raise InvalidPoint("the public key is at infinity or not in its one encoding")
        return cls(raw, point)


@dataclass(frozen=True, slots=True)
class SecretKey:
    scalar: int = field(repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.scalar < ORDER:
            raise InvalidPoint("a secret key lies between 1 and the group order")

    @classmethod
    def generate(cls, entropy: bytes) -> Self:
        """KeyGen of the draft (2.3): HKDF over at least 32 bytes of secret randomness."""
        if len(entropy) < 32:
            raise ValueError("at least 32 bytes of entropy")
        salt, scalar = b"BLS-SIG-KEYGEN-SALT-", 0
        while scalar == 0:
            salt = hashlib.sha256(salt).digest()
            pseudorandom = hmac.digest(salt, entropy + b"\x00", "sha256")
            scalar = int.from_bytes(_expand(pseudorandom, b"\x00\x30", 48)) % ORDER
        return cls(scalar)

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        return cls(int.from_bytes(raw))

    def encode(self) -> bytes:
        """32 bytes, big-endian, as EIP-2335 keystores hold them."""
        return self.scalar.to_bytes(32)

    def public_key(self) -> PublicKey:
        point = G1Point() * self._as_scalar()
        return PublicKey(bytes(point.to_compressed_bytes()), point)

    def sign(self, message: bytes) -> bytes:
        return self._sign(message, SIGNATURE_DST)

    def prove_possession(self) -> bytes:
        """A signature on the own public key under a domain of its own (3.3.2)."""
        return self._sign(self.public_key().raw, POSSESSION_DST)

    def _sign(self, message: bytes, dst: bytes) -> bytes:
        point = hash_to_curve(message, dst) * self._as_scalar()
        return bytes(point.to_compressed_bytes())

    def _as_scalar(self) -> Scalar:
        return Scalar.from_be_bytes(self.scalar.to_bytes(32))


def _expand(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand with SHA-256 (RFC 5869, 2.3)."""
    output, block = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(key, block + info + bytes([counter]), "sha256")
        output += block
    return output[:length]


@lru_cache(HASHED)
def hash_to_curve(message: bytes, dst: bytes) -> G2Point:
    """The point that is signed in place of the message, under a domain. The last few are kept:
    whoever signs a claim verifies it again with its certificate."""
    return G2Point.hash_to_curve(message, dst)


def decode_signature(raw: bytes) -> G2Point:
    """A signature's point; raises InvalidPoint unless it is in the subgroup and not at infinity."""
    try:
        point = G2Point.from_compressed_bytes(raw)
    except (ValueError, TypeError):
        raise InvalidPoint("the signature is no point of the subgroup of G2") from None
    if point == _G2_IDENTITY or bytes(point.to_compressed_bytes()) != raw:
        raise InvalidPoint("the signature is at infinity or not in its one encoding")
    return point


def verify(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether `key` signed `message`. Two pairings, one final exponentiation.

    For many signers of one message, pass the sum of their keys: the cost does not grow with their
    number. Only sound for keys whose possession is proven.

    Raises InvalidPoint: the signature is no point of the subgroup.
    """
    return _check(key.point, message, SIGNATURE_DST, decode_signature(signature))


def is_signed(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether `key` signed `message`; False too if the signature is not a valid point."""
    try:
        return verify(key, message, signature)
    except InvalidPoint:
        return False


def check_signature(key: PublicKey, message: bytes, signature: bytes, refusal: str) -> None:
    """Return quietly if `key` signed `message`.

    Args:
        message: the 32-byte root of the statement.
        refusal: the error message where another key or another message was signed.

    Raises:
        InvalidSignature: the signature is no point of the subgroup.
        BadSignature: the pairing check fails.
    """
    try:
        valid = verify(key, message, signature)
    except InvalidPoint as error:
        raise InvalidSignature(str(error)) from None
    if not valid:
        raise BadSignature(refusal)


def verify_possession(key: PublicKey, proof: bytes) -> bool:
    """Whether `proof` shows that somebody holds the secret of `key` (3.3.3).

    Raises InvalidPoint: the proof is no point of the subgroup.
    """
    return _check(key.point, key.raw, POSSESSION_DST, decode_signature(proof))


@dataclass(frozen=True, slots=True)
class Signed:
    """One signature that remains to be verified: by whom, on what."""

    key: PublicKey
    message: bytes
    signature: bytes


def verify_batch(signed: Sequence[Signed], entropy: Callable[[int], bytes]) -> bool:
    """Whether all of these verify, at the price of one pairing for each key and one more.

    Σ zᵢ·sigᵢ is checked against Σ zᵢ·H(mᵢ), gathered by key, with random 128-bit zᵢ: if any single
    one were wrong, this would hold with a probability of 2⁻¹²⁸. The factors must not be known to
    whoever made the signatures. Source: Bellare, Garay and Rabin, "Fast Batch Verification for
    Modular Exponentiation and Digital Signatures", EUROCRYPT 1998; Camenisch, Hohenberger and
    Pedersen, "Batch Verification of Short Signatures", 2007.

    A signature that is no point of the subgroup makes it false.
    """
    hashed: dict[bytes, tuple[G1Point, list[G2Point], list[Scalar]]] = {}
    signatures, factors = [], []
    try:
        for each in signed:
            factor = Scalar.from_be_bytes(bytes(16) + entropy(16))
            signatures.append(decode_signature(each.signature))
            factors.append(factor)
            _, points, scalars = hashed.setdefault(each.key.raw, (each.key.point, [], []))
            points.append(hash_to_curve(each.message, SIGNATURE_DST))
            scalars.append(factor)
    except InvalidPoint:
        return False
    keys = [key for key, _, _ in hashed.values()]
    sums = [G2Point.multiexp_unchecked(points, scalars) for _, points, scalars in hashed.values()]
    total = G2Point.multiexp_unchecked(signatures, factors)
    return not signed or GT.pairing_check([*keys, _MINUS_GENERATOR], [*sums, total])


def _check(key: G1Point, message: bytes, dst: bytes, signature: G2Point) -> bool:
    """e(key, H(message)) = e(generator, signature), as one product of two pairings."""
    hashed = hash_to_curve(message, dst)
    return GT.pairing_check([key, _MINUS_GENERATOR], [hashed, signature])


def aggregate_keys(keys: Iterable[PublicKey]) -> PublicKey:
    """The sum of the keys. Raises InvalidPoint: the sum is at infinity, or there are none."""
    total = _G1_IDENTITY
    for key in keys:
        total = total + key.point
    if total == _G1_IDENTITY:
        raise InvalidPoint("the keys add up to infinity")
    return PublicKey(bytes(total.to_compressed_bytes()), total)


def aggregate_signatures(signatures: Iterable[bytes]) -> bytes:
    """The sum of the signatures, 96 bytes.

    Raises InvalidPoint: one is no point of the subgroup.
    """
    total = _G2_IDENTITY
    for signature in signatures:
        total = total + decode_signature(signature)
    return bytes(total.to_compressed_bytes())
