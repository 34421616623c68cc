"""Test streams with known secrets, their windows and proofs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from committees import GENESIS, Members, secret
from dragon.protocol import bls
from dragon.protocol.streams.chunks import (
    ChunkHeader,
    chunk_headers,
    digest,
    encode_chunks,
    opening,
)
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.submission import Submission, WindowObjects
from dragon.protocol.streams.window import WindowHeader, close, sign
from dragon.stark.commitment import encode_output
from dragon.stark.prover.blocks import hash_many, prove_blocks
from dragon.stark.ziggy import public_key, secret_preimage

START_MS = 1000 * GENESIS + 700_123


@dataclass(frozen=True)
class Window:
    """A window with its data and secrets."""

    header: WindowHeader
    signature: bytes
    chunks: tuple[ChunkHeader, ...]
    data: tuple[bytes, ...]
    openings: tuple[bytes, ...]


@dataclass(frozen=True)
class Owner:
    """The owner of a stream, with its secrets."""

    descriptor: Descriptor
    private_key: bytes  # of the identity
    header_secret: bls.SecretKey
    salt_key: bytes

    def window(
        self, data: Sequence[bytes], previous: Window | None = None, *, began_ms: int = START_MS
    ) -> Window:
        """The next window, with a chunk every 10 ms."""
        before = previous.header if previous else None
        first = before.next_first if before else 0
        began_ms = before.last_received_ms + 10 if before else began_ms
        openings = tuple(
            opening(self.salt_key, self.descriptor.id, sequence, digest(each))
            for sequence, each in enumerate(data, start=first)
        )
        received = [(began_ms + 10 * i, len(each)) for i, each in enumerate(data)]
        chunks = chunk_headers(first, received, openings, hash_many)
        header = close(self.descriptor, before, chunks)
        return Window(header, self.sign(header), chunks, tuple(data), openings)

    def sign(self, header: WindowHeader) -> bytes:
        return sign(header, self.descriptor, self.header_secret)

    def prove(self, window: Window, rho: bytes = bytes(range(32))) -> bytes:
        secrets = [secret_preimage(self.private_key), *window.openings]
        return prove_blocks(self.descriptor.parameters, secrets, window.header.hash, rho)

    def submission(self, window: Window, proof: bytes | None = None) -> Submission:
        """The announcement of a window, or with a proof the whole submission."""
        announced = Submission(self.descriptor, window.header, window.signature)
        if proof is None:
            return announced
        objects = WindowObjects.of(window.header, encode_chunks(window.chunks), proof)
        signature = self.header_secret.sign(objects.root(self.descriptor.network_id))
        return replace(announced, objects=objects, objects_signature=signature)


@cache
def _keys(name: str) -> tuple[bytes, bytes, bls.SecretKey]:
    private_key = hashlib.sha256(b"identity of " + name.encode()).digest()
    header_secret = secret(f"headers of {name}")
    return private_key, encode_output(public_key(private_key)), header_secret


def make_owner(members: Members, name: str = "sensor-1", parameters: str = "standard") -> Owner:
    private_key, identity, header_secret = _keys(name)
    key = header_secret.public_key()
    descriptor = Descriptor(
        members.committee.network_id,
        identity,
        key,
        header_secret.prove_possession(),
        parameters,
        name,
    )
    salt_key = hashlib.sha256(b"salt key of " + name.encode()).digest()
    return Owner(descriptor, private_key, header_secret, salt_key)
