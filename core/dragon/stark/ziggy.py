"""Ziggy signatures: derive keys, and verify signatures under `ziggy-classic` (section 4.1)."""

from __future__ import annotations

from typing import Final

from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.commitment import decode_output
from dragon.stark.hashchain import HashChain
from dragon.stark.parameter_sets import CLASSIC
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.rescue import RATE, Digest, rescue_hash
from dragon.stark.verifier import verify

PRIVATE_KEY_BYTES: Final = 32


def secret_preimage(private_key: bytes) -> list[int]:
    """w_0 … w_7 of a private key. Raises ValueError: the key does not have 32 bytes."""
    if len(private_key) != PRIVATE_KEY_BYTES:
        raise ValueError(f"a private key must have 32 bytes, not {len(private_key)}")
    chain = HashChain(b"Ziggy secret preimage seed\0" + private_key)
    return chain.bases(RATE)


def public_key(private_key: bytes) -> Digest:
    """The public key of a private key. Raises ValueError: the key does not have 32 bytes."""
    return rescue_hash(secret_preimage(private_key))


def verify_signature(key: bytes, message: bytes, proof: bytes) -> None:
    """Verify a Ziggy signature of `message` by the public key `key` (32 bytes). Returns nothing.

    The parameters are always those of `ziggy-classic`.

    Raises ProofRefused: the signature is invalid.
    """
    if not isinstance(message, bytes):
        raise ProofRefused(Reason.INPUT, "a message must be of type bytes")
    air = BlocksAir((decode_output(key),), message)
    verify(air, CLASSIC.parameters(1), proof)
