"""A stream's keys, all derived from the service's own key: there is one secret to keep.

Each use has a label of its own, so no key ever serves two. The seed is random, public and stored
with the stream; another seed gives another stream, also under the same name.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Final, Self

from dragon.protocol import bls
from dragon.protocol.streams.descriptor import Descriptor
from dragon.stark.commitment import encode_output
from dragon.stark.ziggy import public_key

SEED_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class StreamKeys:
    """What only the owner of a stream has, and the descriptor that is public."""

    descriptor: Descriptor
    identity: bytes = field(repr=False)  # the Ziggy private key; it signs windows' proofs only
    header: bls.SecretKey = field(repr=False)  # signs window headers and what names their objects
    salt: bytes = field(repr=False)  # under which the salts of all chunks are made
    token: str = field(repr=False)  # whoever shows it may add data, and see it

    @classmethod
    def derive(
        cls, service: bls.SecretKey, seed: bytes, committee_id: bytes, parameters: str, name: str
    ) -> Self:
        """HMAC-SHA256 under the service's key over "datadragon/stream-keys/v1", the use and the
        seed."""

        def secret(use: str) -> bytes:
            message = f"datadragon/stream-keys/v1/{use}".encode() + b"\0" + seed
            return hmac.digest(service.encode(), message, "sha256")

        identity = secret("identity")
        header = bls.SecretKey.generate(secret("header"))
        descriptor = Descriptor(
            committee_id,
            encode_output(public_key(identity)),
            header.public_key(),
            header.prove_possession(),
            parameters,
            name,
        )
        return cls(descriptor, identity, header, secret("salt"), secret("token").hex())

    def is_token(self, shown: str) -> bool:
        """How long it takes says nothing about the token."""
        return hmac.compare_digest(shown.encode(), self.token.encode())
