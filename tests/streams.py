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
    opening_with_reading,
)
from dragon.protocol.streams.closing import Closing, decide
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.readings import Readings
from dragon.protocol.streams.statements import window_statement
from dragon.protocol.streams.submission import Submission, WindowObjects
from dragon.protocol.streams.window import WindowHeader, close, sign
from dragon.stark.commitment import committed_reading, encode_output
from dragon.stark.prover.blocks import hash_many, prove_blocks
from dragon.stark.prover.readings import prove_readings
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
    previous: Window | None = None


@dataclass(frozen=True)
class Owner:
    """The owner of a stream, with its secrets, whose windows claim their readings if they can."""

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
            self.opening(sequence, each) for sequence, each in enumerate(data, start=first)
        )
        received = [(began_ms + 10 * i, self.length(each)) for i, each in enumerate(data)]
        chunks = chunk_headers(first, received, openings, hash_many)
        header = close(self.descriptor, before, chunks, self.closing(openings, previous))
        return Window(header, self.sign(header), chunks, tuple(data), openings, previous)

    def opening(self, sequence: int, data: bytes) -> bytes:
        place = self.salt_key, self.descriptor.id, sequence, digest(data)
        readings = self.descriptor.readings
        if readings is None:
            return opening(*place)
        return opening_with_reading(*place, readings.committed_value(data))

    def length(self, data: bytes) -> int:
        """What the chunk header states."""
        readings = self.descriptor.readings
        return readings.length if readings else len(data)

    def closing(self, openings: Sequence[bytes], previous: Window | None) -> Closing | None:
        """What the window claims about its readings; None in a stream without readings."""
        readings = self.descriptor.readings
        if readings is None:
            return None
        carried = committed_reading(previous.openings[-1]) if previous and readings.carry else None
        return decide(readings, [committed_reading(each) for each in openings], carried)

    def sign(self, header: WindowHeader) -> bytes:
        return sign(header, self.descriptor, self.header_secret)

    def prove(self, window: Window, rho: bytes = bytes(range(32))) -> bytes:
        """The proof of the statement that the window's header makes."""
        before = window.previous.header if window.previous else None
        statement = window_statement(self.descriptor, window.header, before)
        if statement is None:
            return self.prove_blocks(window, rho)
        is_carried, openings = statement.carried is not None, list(window.openings)
        if is_carried and window.previous:
            openings.insert(0, window.previous.openings[-1])
        identity, bounds = secret_preimage(self.private_key), statement.bounds
        return prove_readings(
            *(self.descriptor.parameters, identity, openings, is_carried, bounds),
            window.header.hash,
            rho,
        )

    def prove_blocks(self, window: Window, rho: bytes = bytes(range(32))) -> bytes:
        """The proof that says nothing about readings."""
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


def make_owner(
    members: Members,
    name: str = "sensor-1",
    parameters: str = "standard",
    readings: Readings | None = None,
) -> Owner:
    private_key, identity, header_secret = _keys(name)
    key = header_secret.public_key()
    descriptor = Descriptor(
        members.committee.network_id,
        identity,
        key,
        header_secret.prove_possession(),
        parameters,
        name,
        readings,
    )
    salt_key = hashlib.sha256(b"salt key of " + name.encode()).digest()
    return Owner(descriptor, private_key, header_secret, salt_key)
