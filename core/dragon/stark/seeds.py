"""The seeds of the hash chains (sections 4, 18.2 and 19.2).

A channel seed binds a proof to its statement. A zero-knowledge seed is a secret of the prover: it
determines all blinding.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from dragon.stark import field
from dragon.stark.hashchain import blake2s_256


def ziggy_channel_seed(public_key: Sequence[int], message: bytes) -> bytes:
    """The channel seed of a signature (section 4.1)."""
    return b"Ziggy\0" + field.encode(public_key) + message


def ziggy_zk_seed(private_key: bytes, message: bytes) -> bytes:
    """The deterministic blinding seed of a signature, that of the original programs.

    It depends on key and message only. Never sign one message under two parameter sets (section
    14.1). `fresh_zk_seed` has no such condition.
    """
    return b"Ziggy private seed\0" + private_key + message


def blocks_channel_seed(
    parameters_digest: bytes, outputs: Sequence[Sequence[int]], message: bytes
) -> bytes:
    """The channel seed of a blocks proof.

    It is injective in (parameters, number of blocks, outputs, message).
    """
    encoded = field.encode(chain.from_iterable(outputs))
    count = len(outputs).to_bytes(8, "big")
    return b"Ziggy blocks\0" + parameters_digest + count + encoded + message


def blocks_zk_seed(channel_seed: bytes, rho: bytes, preimages: bytes) -> bytes:
    """The blinding seed of a blocks proof.

    `rho` is 32 fresh random bytes. `preimages` holds the encoded elements of one preimage per block
    (64 bytes each), including padding.
    """
    return b"Ziggy blocks private seed\0" + blake2s_256(channel_seed) + rho + preimages


def readings_channel_seed(
    parameters_digest: bytes,
    n_readings: int,
    carried: bool,
    bounds: bytes,
    *,
    outputs: Sequence[Sequence[int]],
    message: bytes,
) -> bytes:
    """The channel seed of a readings proof (section 19.2).

    `bounds` are the 96 bytes of `ReadingBounds.encode`. The seed is injective in all its arguments:
    all fields before the message have a fixed length given the number of outputs.
    """
    counts = len(outputs).to_bytes(8, "big") + n_readings.to_bytes(8, "big") + bytes([carried])
    encoded = field.encode(chain.from_iterable(outputs))
    return b"Ziggy readings\0" + parameters_digest + counts + bounds + encoded + message


def readings_zk_seed(channel_seed: bytes, rho: bytes, preimages: bytes) -> bytes:
    """The blinding seed of a readings proof, with the arguments of `blocks_zk_seed`."""
    return b"Ziggy readings private seed\0" + blake2s_256(channel_seed) + rho + preimages


def chain_channel_seed(output: Sequence[int], chain_length: int) -> bytes:
    """The channel seed of a Rescue chain (section 4.2)."""
    return b"Rescue hash chain\0" + field.encode(output) + chain_length.to_bytes(8, "big")


def chain_zk_seed(witness: Sequence[Sequence[int]]) -> bytes:
    """The deterministic blinding seed of a Rescue chain (section 14.1).

    It depends on the witness only.
    """
    encoded = field.encode(chain.from_iterable(witness))
    return b"Rescue hash chain private seed\0" + encoded


def fresh_zk_seed(
    parameters_digest: bytes, channel_seed: bytes, rho: bytes, deterministic_seed: bytes
) -> bytes:
    """The blinding seed of a signature or a chain with fresh randomness (section 14.1).

    `rho` is 32 fresh random bytes. Even if it is not fresh, two parameter sets or two statements
    never share a seed.
    """
    bound = parameters_digest + blake2s_256(channel_seed)
    return b"Fresh private seed\0" + bound + rho + deterministic_seed
