"""BLS signatures on BLS12-381: keys in G1 (48 bytes), signatures in G2 (96 bytes).

The proof-of-possession ciphersuite of the IETF, which Ethereum also uses. Sources:
draft-irtf-cfrg-bls-signature, sections 2.3, 2.6 to 2.9 and 3.3, cited below by number; RFC 9380 for
hashing to the curve. blst does the arithmetic; this module has the scheme and strict decoding. The
tests compare it with `py_ecc`.

Points are immutable, so threads may share them. Every call of blst keeps the interpreter lock, for
0.6 ms at most.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from operator import mul
from typing import Final, Self

from pyblst import BlstP1Element as G1Point
from pyblst import BlstP2Element as G2Point
from pyblst import final_verify, miller_loop

from dragon.errors import BadSignature, InvalidPoint, InvalidSignature
from dragon.protocol.multiplication import IDENTITY as _G2_IDENTITY
from dragon.protocol.multiplication import weighted_sum

ORDER: Final = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
SIGNATURE_DST: Final = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
POSSESSION_DST: Final = b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
PUBLIC_KEY_BYTES: Final = 48
SIGNATURE_BYTES: Final = 96
FACTOR_BYTES: Final = 16  # of a random factor in batch verification
HASH_CACHE_SIZE: Final = 256  # hashed messages; hashing one to the curve takes 0.3 ms

_GENERATOR: Final = G1Point.uncompress(
    bytes.fromhex(
        "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905"
        "a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
    )
)
_G1_IDENTITY: Final = G1Point.uncompress(b"\xc0".ljust(PUBLIC_KEY_BYTES, b"\x00"))


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A point of the prime-order subgroup of G1, not the point at infinity."""

    raw: bytes
    point: G1Point = field(repr=False, compare=False)

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Decode a compressed point of 48 bytes.

        Raises InvalidPoint: the bytes are no point of the subgroup, or the point at infinity.
        """
        try:
            point = G1Point.uncompress(raw)
        except (ValueError, TypeError):
            raise InvalidPoint("the public key is not a point of the subgroup of G1") from None
        # Each point must have one encoding, or one key could be listed twice.
        if point == _G1_IDENTITY or point.compress() != raw:
            raise InvalidPoint(
                "the public key is the point at infinity, or not in its canonical encoding"
            )
        return cls(raw, point)


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A secret scalar, from 1 to `ORDER` - 1.

    blst multiplies by it in constant time. Python and the bindings do not convert and reduce it in
    constant time, and do not erase their copies from memory.
    """

    scalar: int = field(repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.scalar < ORDER:
            raise InvalidPoint("a secret key must be at least 1 and below the group order")

    @classmethod
    def generate(cls, entropy: bytes) -> Self:
        """Derive a key from secret randomness: KeyGen (2.3).

        Args:
            entropy: at least 32 bytes.

        Raises ValueError: `entropy` is shorter.
        """
        if len(entropy) < 32:
            raise ValueError(f"at least 32 bytes of entropy are needed, not {len(entropy)}")
        salt, scalar = b"BLS-SIG-KEYGEN-SALT-", 0
        while scalar == 0:
            salt = hashlib.sha256(salt).digest()
            pseudorandom = hmac.digest(salt, entropy + b"\x00", "sha256")
            scalar = int.from_bytes(_expand(pseudorandom, b"\x00\x30", 48)) % ORDER
        return cls(scalar)

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Decode a big-endian scalar. Raises InvalidPoint: it is out of range."""
        return cls(int.from_bytes(raw))

    def encode(self) -> bytes:
        """Return 32 bytes, big-endian, as in EIP-2335 keystores."""
        return self.scalar.to_bytes(32)

    def public_key(self) -> PublicKey:
        """Return the public key of this secret key."""
        point = _GENERATOR.scalar_mul(self.scalar)
        return PublicKey(point.compress(), point)

    def sign(self, message: bytes) -> bytes:
        """Return the signature on a message, 96 bytes."""
        return self._sign(message, SIGNATURE_DST)

    def prove_possession(self) -> bytes:
        """Return a signature on the public key under a separate domain (3.3.2), 96 bytes."""
        return self._sign(self.public_key().raw, POSSESSION_DST)

    def _sign(self, message: bytes, dst: bytes) -> bytes:
        return bytes(hash_to_curve(message, dst).scalar_mul(self.scalar).compress())


def _expand(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand with SHA-256 (RFC 5869, 2.3)."""
    output, block = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(key, block + info + bytes([counter]), "sha256")
        output += block
    return output[:length]


@lru_cache(HASH_CACHE_SIZE)
def hash_to_curve(message: bytes, dst: bytes) -> G2Point:
    """Return the point of G2 for a message under a domain (RFC 9380).

    Results are cached: an operator hashes a claim to sign it, and again to verify its certificate.
    """
    return G2Point.hash_to_group(message, dst)


def decode_signature(raw: bytes) -> G2Point:
    """Decode a signature of 96 bytes.

    Raises InvalidPoint: the bytes are no point of the subgroup, or the point at infinity.
    """
    try:
        point = G2Point.uncompress(raw)
    except (ValueError, TypeError):
        raise InvalidPoint("the signature is not a point of the subgroup of G2") from None
    if point == _G2_IDENTITY or point.compress() != raw:
        raise InvalidPoint(
            "the signature is the point at infinity, or not in its canonical encoding"
        )
    return point


def verify(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Return whether `key` signed `message`. Costs two pairings and one final exponentiation.

    To verify an aggregate signature on one message, pass the sum of the signers' keys. This is
    secure only if the possession of all keys is proven.

    Raises InvalidPoint: the signature is not a point of the subgroup.
    """
    return _check(key.point, message, SIGNATURE_DST, decode_signature(signature))


def is_signed(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Return whether `key` signed `message`; False if the signature is not a valid point."""
    try:
        return verify(key, message, signature)
    except InvalidPoint:
        return False


def check_signature(key: PublicKey, message: bytes, signature: bytes, refusal: str) -> None:
    """Verify that `key` signed `message`.

    Args:
        message: the 32-byte root of the statement.
        refusal: the message of BadSignature.

    Raises:
        InvalidSignature: the signature is not a point of the subgroup.
        BadSignature: it is a signature with another key or on another message.
    """
    try:
        valid = verify(key, message, signature)
    except InvalidPoint as error:
        raise InvalidSignature(str(error)) from None
    if not valid:
        raise BadSignature(refusal)


def verify_possession(key: PublicKey, proof: bytes) -> bool:
    """Return whether `proof` proves possession of the secret key of `key` (3.3.3).

    Raises InvalidPoint: the proof is not a point of the subgroup.
    """
    return _check(key.point, key.raw, POSSESSION_DST, decode_signature(proof))


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature to be verified, with its key and message."""

    key: PublicKey
    message: bytes
    signature: bytes


def verify_batch(signed: Sequence[Signed], entropy: Callable[[int], bytes]) -> bool:
    """Return whether all signatures are valid. Costs one pairing per distinct key, and one more.

    Σ zᵢ·sigᵢ is checked against Σ zᵢ·H(mᵢ), grouped by key, with random 128-bit factors zᵢ. If a
    signature is invalid, the check succeeds with a probability of 2⁻¹²⁸. The signers must not be
    able to predict the factors. Source: Bellare, Garay and Rabin, "Fast Batch Verification for
    Modular Exponentiation and Digital Signatures", EUROCRYPT 1998; Camenisch, Hohenberger and
    Pedersen, "Batch Verification of Short Signatures", 2007.

    Args:
        entropy: returns this number of random bytes. It is called once, unless nothing is signed.

    Raises ValueError: `entropy` returned another number of bytes.
    """
    if not signed:
        return True
    # Drawn at once: `os.urandom` releases the interpreter lock for a moment. If that happens often,
    # a thread that waits for the lock begins its wait anew each time.
    drawn = entropy(FACTOR_BYTES * len(signed))
    if len(drawn) != FACTOR_BYTES * len(signed):
        raise ValueError("the source of entropy returned another number of bytes")
    hashed: dict[bytes, tuple[G1Point, list[G2Point], list[int]]] = {}
    signatures, factors = [], []
    try:
        for place, each in enumerate(signed):
            factor = int.from_bytes(drawn[FACTOR_BYTES * place : FACTOR_BYTES * (place + 1)])
            signatures.append(decode_signature(each.signature))
            factors.append(factor)
            _, points, of_key = hashed.setdefault(each.key.raw, (each.key.point, [], []))
            points.append(hash_to_curve(each.message, SIGNATURE_DST))
            of_key.append(factor)
    except InvalidPoint:
        return False
    loops = [miller_loop(key, weighted_sum(*of_key)) for key, *of_key in hashed.values()]
    right = miller_loop(_GENERATOR, weighted_sum(signatures, factors))
    return bool(final_verify(reduce(mul, loops), right))


def _check(key: G1Point, message: bytes, dst: bytes, signature: G2Point) -> bool:
    """Check e(key, H(message)) = e(generator, signature)."""
    left = miller_loop(key, hash_to_curve(message, dst))
    return bool(final_verify(left, miller_loop(_GENERATOR, signature)))


def aggregate_keys(keys: Iterable[PublicKey]) -> PublicKey:
    """Return the sum of the keys. Raises InvalidPoint: no keys, or their sum is infinity."""
    total = _G1_IDENTITY
    for key in keys:
        total = total + key.point
    if total == _G1_IDENTITY:
        raise InvalidPoint("the sum of the keys is the point at infinity")
    return PublicKey(total.compress(), total)


def aggregate_signatures(signatures: Iterable[bytes]) -> bytes:
    """Return the sum of the signatures, 96 bytes.

    Raises InvalidPoint: a signature is not a point of the subgroup.
    """
    total = _G2_IDENTITY
    for signature in signatures:
        total = total + decode_signature(signature)
    return bytes(total.compress())
