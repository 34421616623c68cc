"""Commitments to data, and the 32-byte form of all outputs (sections 18.1 and 19.1).

An opening is the 60-byte string digest ‖ salt: the SHA-256 of the data and 28 random bytes, which
must be fresh for every commitment. The commitment is the Rescue hash of the eight 60-bit limbs of
the opening. It hides the digest computationally and binds with at most 122 bits.

The opening of a chunk with a reading is digest ‖ salt ‖ value: the salt has 20 bytes, and the value
is the reading plus 2^59 as 8 bytes, big endian. The last limb is this value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dragon.stark import field
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.rescue import DIGEST_LENGTH, RATE, Digest, rescue_hash

DATA_DIGEST_BYTES: Final = 32
SALT_BYTES: Final = 28
OPENING_BYTES: Final = DATA_DIGEST_BYTES + SALT_BYTES
OUTPUT_BYTES: Final = DIGEST_LENGTH * field.ELEMENT_BYTES
LIMB_BITS: Final = 60

READING_SALT_BYTES: Final = 20
READING_OFFSET: Final = 1 << 59  # a reading v is stored as v + 2^59, in [0, 2^60)
NO_READING: Final = -READING_OFFSET  # committed to if the data has no reading; no range admits it
_VALUE_BYTES: Final = 8


def encode_output(output: Digest) -> bytes:
    """Encode four elements in 32 bytes."""
    return field.encode(output)


def decode_output(raw: bytes) -> Digest:
    """Decode an output (an identity or a commitment) into its four elements.

    Raises ProofRefused (input): it does not have 32 bytes, or a word is not below p.
    """
    return decode_outputs([raw])[0]


def decode_outputs(outputs: Sequence[bytes]) -> tuple[Digest, ...]:
    """Decode many outputs together. Raises ProofRefused (input), as `decode_output` does."""
    check_outputs(outputs)
    elements = iter(field.decode(b"".join(outputs)))
    return tuple(zip(elements, elements, elements, elements, strict=True))


def check_outputs(outputs: Sequence[bytes]) -> None:
    """Check outputs without decoding them. Raises ProofRefused (input), as `decode_output` does."""
    if not all(isinstance(raw, bytes) and len(raw) == OUTPUT_BYTES for raw in outputs):
        raise ProofRefused(Reason.INPUT, f"an output must have {OUTPUT_BYTES} bytes")
    try:
        field.check_encoded(b"".join(outputs))
    except ProofRefused:
        raise ProofRefused(Reason.INPUT, "an output contains a word that is not below p") from None


def opening_limbs(opening: bytes) -> list[int]:
    """The eight 60-bit limbs of an opening, big endian: the preimage of its commitment.

    Raises ProofRefused (input): the opening does not have 60 bytes.
    """
    _require_bytes(opening, OPENING_BYTES, "an opening")
    bits = int.from_bytes(opening, "big")
    return [bits >> LIMB_BITS * (RATE - 1 - i) & (1 << LIMB_BITS) - 1 for i in range(RATE)]


def commit(opening: bytes) -> bytes:
    """The 32-byte commitment of a 60-byte opening. Raises ProofRefused (input)."""
    return encode_output(rescue_hash(opening_limbs(opening)))


def is_opening(commitment: bytes, opening: bytes) -> bool:
    """Whether the 60-byte `opening` opens `commitment`. Raises ProofRefused (input)."""
    return commit(opening) == commitment


def reading_opening(digest: bytes, salt: bytes, value: int) -> bytes:
    """The 60-byte opening digest ‖ salt ‖ value of a commitment to data with a reading.

    Args:
        digest: the SHA-256 of the data.
        salt: 20 bytes, fresh and uniform for every commitment.
        value: the reading, in [-2^59, 2^59); `NO_READING` if the data has none.

    Raises ProofRefused (input): a length is wrong, or the value is not such an integer.
    """
    _require_bytes(digest, DATA_DIGEST_BYTES, "a digest")
    _require_bytes(salt, READING_SALT_BYTES, "the salt of a reading")
    if type(value) is not int or not -READING_OFFSET <= value < READING_OFFSET:
        message = "a reading must be an integer from -2^59 to 2^59 - 1"
        raise ProofRefused(Reason.INPUT, message)
    return digest + salt + (value + READING_OFFSET).to_bytes(_VALUE_BYTES, "big")


def committed_reading(opening: bytes) -> int:
    """The reading in the 60-byte opening of a chunk with a reading; `NO_READING` if it has none.

    Raises ProofRefused (input): the opening does not have 60 bytes, or one of the top four bits of
    its value is set. The last limb would then be another number than the value (section 19.12).
    """
    _require_bytes(opening, OPENING_BYTES, "an opening")
    stored = int.from_bytes(opening[-_VALUE_BYTES:], "big")
    if stored >> LIMB_BITS:
        message = "the value in an opening must be below 2^60"
        raise ProofRefused(Reason.INPUT, message)
    return stored - READING_OFFSET


def _require_bytes(given: bytes, length: int, what: str) -> None:
    if not isinstance(given, bytes) or len(given) != length:
        raise ProofRefused(Reason.INPUT, f"{what} must have {length} bytes")
