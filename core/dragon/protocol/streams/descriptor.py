"""What a stream is: keys, rules and a name, and the id that follows from them.

The id is a hash over the keys, so nobody else can speak for a stream, and no registry is needed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, Self

from dragon import errors
from dragon.encoding import Json, Members, canonical, parse, to_hex
from dragon.protocol import bls
from dragon.protocol.claims.window import WINDOW_SETS
from dragon.stark.commitment import OUTPUT_BYTES, decode_output
from dragon.stark.refusal import ProofRefused

MAX_DESCRIPTOR_BYTES: Final = 1024


@dataclass(frozen=True)
class Descriptor:
    """A stream's descriptor. `from_json` and `decode` are the only doors from outside."""

    committee_id: bytes
    identity: bytes  # 32 bytes: the Ziggy public key whose secret is in every proof
    header_key: bls.PublicKey  # signs window headers
    proof_of_possession: bytes  # of the header key, 96 bytes
    parameters: str  # the set under which every window is proven
    name: str

    def to_json(self) -> dict[str, Json]:
        """Exactly these members; their canonical JSON is under the id."""
        return {
            "committee": to_hex(self.committee_id),
            "identity": to_hex(self.identity),
            "header_key": to_hex(self.header_key.raw),
            "proof_of_possession": to_hex(self.proof_of_possession),
            "parameters": self.parameters,
            "name": self.name,
        }

    def encode(self) -> bytes:
        """The descriptor as an object: its SHA-256 is the stream's id."""
        return canonical(self.to_json())

    @cached_property
    def id(self) -> bytes:
        return hashlib.sha256(self.encode()).digest()

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Strict decoding, and the keys are proven.

        Raises:
            InvalidEncoding: not the form of a descriptor.
            InvalidStream: a leaf of it, for a key that could not be trusted.
        """
        members = Members(value, "the descriptor")
        committee_id = members.hex("committee", size=32)
        identity = members.hex("identity", size=OUTPUT_BYTES)
        raw_key = members.hex("header_key", size=bls.PUBLIC_KEY_BYTES)
        possession = members.hex("proof_of_possession", size=bls.SIGNATURE_BYTES)
        parameters, name = members.word("parameters", WINDOW_SETS), members.id("name")
        members.end()
        try:
            decode_output(identity)
        except ProofRefused as error:
            raise errors.InvalidIdentity(str(error)) from None
        header_key = _proven_key(raw_key, possession)
        return cls(committee_id, identity, header_key, possession, parameters, name)

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Raises as `from_json` does; TooLarge: no descriptor has so many bytes."""
        if len(raw) > MAX_DESCRIPTOR_BYTES:
            message = f"a descriptor has at most {MAX_DESCRIPTOR_BYTES} bytes"
            raise errors.TooLarge(message, bytes=len(raw))
        return cls.from_json(parse(raw))


@lru_cache(maxsize=1024)
def _proven_key(raw: bytes, possession: bytes) -> bls.PublicKey:
    """Remembered, since a stream's descriptor comes with each of its windows. What is refused is
    not: it raises InvalidStream each time."""
    try:
        key = bls.PublicKey.decode(raw)
    except errors.InvalidPoint as error:
        raise errors.InvalidHeaderKey(str(error)) from None
    try:
        proven = bls.verify_possession(key, possession)
    except errors.InvalidPoint:
        proven = False
    if not proven:
        raise errors.UnprovenHeaderKey("nobody proves to hold the secret of the header key")
    return key
