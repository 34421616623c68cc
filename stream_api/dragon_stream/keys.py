"""The keys of a stream, all derived from the key of the service.

Only the service's key must be kept secret. Every use has its own label, so no derived key serves
two purposes. The seed is random, public and stored with the stream; another seed gives another
stream, even under the same name.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Final, Self

from dragon.protocol import bls
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.readings import Readings
from dragon.stark.commitment import encode_output
from dragon.stark.ziggy import public_key

SEED_BYTES: Final = 32  # public random seed of a stream's keys


@dataclass(frozen=True, slots=True)
class StreamKeys:
    """A stream's secrets, and the descriptor that publishes their public halves."""

    descriptor: Descriptor
    identity: bytes = field(repr=False)  # Ziggy private key: signs the proofs of windows
    header: bls.SecretKey = field(repr=False)  # signs window headers and object names
    salt: bytes = field(repr=False)  # key from which the salts of all chunks are derived
    token: str = field(repr=False)  # bearer token that permits writing and reading data

    @classmethod
    def derive(
        cls,
        service: bls.SecretKey,
        seed: bytes,
        network_id: bytes,
        parameters: str,
        name: str,
        *,
        readings: Readings | None = None,
    ) -> Self:
        """Derive the keys from the service's key and a seed of SEED_BYTES.

        Each secret is HMAC-SHA256, keyed with the service's key, over
        "datadragon/stream-keys/v1/" + use + NUL + seed.
        """

        def secret(use: str) -> bytes:
            message = f"datadragon/stream-keys/v1/{use}".encode() + b"\0" + seed
            return hmac.digest(service.encode(), message, "sha256")

        identity = secret("identity")
        header = bls.SecretKey.generate(secret("header"))
        descriptor = Descriptor(
            network_id,
            encode_output(public_key(identity)),
            header.public_key(),
            header.prove_possession(),
            parameters,
            name,
            readings,
        )
        return cls(descriptor, identity, header, secret("salt"), secret("token").hex())

    def is_token(self, candidate: str) -> bool:
        """Compare in constant time, so that timing reveals nothing about the token."""
        return hmac.compare_digest(candidate.encode(), self.token.encode())
