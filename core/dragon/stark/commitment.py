"""Commitments to data, and the 32-byte form of all outputs (section 18.1).

An opening is the 60-byte string digest ‖ salt: the SHA-256 of the data and 28 random bytes, which
must be fresh for every commitment. The commitment is the Rescue hash of the eight 60-bit limbs of
the opening. It hides the digest computationally and binds with at most 122 bits.
"""

from __future__ import annotations

from typing import Final

from dragon.stark import field
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.rescue import DIGEST_LENGTH, RATE, Digest, rescue_hash

DATA_DIGEST_BYTES: Final = 32
SALT_BYTES: Final = 28
OPENING_BYTES: Final = DATA_DIGEST_BYTES + SALT_BYTES
OUTPUT_BYTES: Final = DIGEST_LENGTH * field.ELEMENT_BYTES
LIMB_BITS: Final = 60


def encode_output(output: Digest) -> bytes:
    """Encode four elements in 32 bytes."""
    return field.encode(output)


def decode_output(raw: bytes) -> Digest:
    """Decode an output (an identity or a commitment) into its four elements.

    Raises ProofRefused (input): it does not have 32 bytes, or a word is not below p.
    """
    if not isinstance(raw, bytes) or len(raw) != OUTPUT_BYTES:
        raise ProofRefused(Reason.INPUT, "an output must have 32 bytes")
    try:
        c0, c1, c2, c3 = field.decode(raw)
    except ProofRefused:
        raise ProofRefused(Reason.INPUT, "an output contains a word that is not below p") from None
    return c0, c1, c2, c3


def opening_limbs(opening: bytes) -> list[int]:
    """The eight 60-bit limbs of an opening, big endian: the preimage of its commitment.

    Raises ProofRefused (input): the opening does not have 60 bytes.
    """
    if not isinstance(opening, bytes) or len(opening) != OPENING_BYTES:
        raise ProofRefused(Reason.INPUT, "an opening must have 60 bytes")
    bits = int.from_bytes(opening, "big")
    return [bits >> LIMB_BITS * (RATE - 1 - i) & (1 << LIMB_BITS) - 1 for i in range(RATE)]


def commit(opening: bytes) -> bytes:
    """The 32-byte commitment of a 60-byte opening. Raises ProofRefused (input)."""
    return encode_output(rescue_hash(opening_limbs(opening)))


def is_opening(commitment: bytes, opening: bytes) -> bool:
    """Whether the 60-byte `opening` opens `commitment`. Raises ProofRefused (input)."""
    return commit(opening) == commitment
