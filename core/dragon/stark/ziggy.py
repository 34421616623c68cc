"""Ziggy signatures: keys, and the check of a signature under the classic set (4.1)."""

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
    """w_0 … w_7 from the 32 bytes of a private key. Raises ValueError: another length."""
    if len(private_key) != PRIVATE_KEY_BYTES:
        raise ValueError("a private key has 32 bytes")
    chain = HashChain(b"Ziggy secret preimage seed\0" + private_key)
    return [chain.base() for _ in range(RATE)]


def public_key(private_key: bytes) -> Digest:
    """The Rescue hash of the secret preimage. Raises ValueError: not 32 bytes."""
    return rescue_hash(secret_preimage(private_key))


def verify_signature(key: bytes, message: bytes, proof: bytes) -> None:
    """Return quietly if `proof` is a Ziggy signature of `message` by the key of 32 bytes.

    The parameters are those of `ziggy-classic`, whatever a file beside the proof may say.

    Raises ProofRefused: it is none.
    """
    if not isinstance(message, bytes):
        raise ProofRefused(Reason.INPUT, "a message is a string of bytes")
    air = BlocksAir((decode_output(key),), message)
    verify(air, CLASSIC.parameters(1), proof)
