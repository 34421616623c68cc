"""Stream descriptors: the keys, the rules and the name of a stream, and its id.

The id is a hash that covers the keys. So only the owner can sign for a stream, and no registry of
streams is needed.
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
from dragon.protocol.streams.readings import Readings
from dragon.stark.commitment import OUTPUT_BYTES, decode_output
from dragon.stark.refusal import ProofRefused

MAX_DESCRIPTOR_BYTES: Final = 2048  # over 1,024 only with readings


@dataclass(frozen=True)
class Descriptor:
    """A stream's descriptor. `from_json` and `decode` check its keys."""

    network_id: bytes
    identity: bytes  # 32 bytes: a Ziggy public key; every proof shows knowledge of its secret key
    header_key: bls.PublicKey  # signs window headers
    proof_of_possession: bytes  # of the header key, 96 bytes
    parameters: str  # name of the parameter set of all proofs
    name: str
    readings: Readings | None = None  # the rule and the bounds of a stream with readings

    def to_json(self) -> dict[str, Json]:
        """Return the published form; the id is the hash of its canonical JSON."""
        value: dict[str, Json] = {
            "network": to_hex(self.network_id),
            "identity": to_hex(self.identity),
            "header_key": to_hex(self.header_key.raw),
            "proof_of_possession": to_hex(self.proof_of_possession),
            "parameters": self.parameters,
            "name": self.name,
        }
        if self.readings:
            value["readings"] = self.readings.to_json()
        return value

    def encode(self) -> bytes:
        """Return the descriptor as an object, in canonical JSON."""
        return canonical(self.to_json())

    @cached_property
    def id(self) -> bytes:
        """The stream's id: SHA-256 of the encoded descriptor, 32 bytes."""
        return hashlib.sha256(self.encode()).digest()

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a descriptor strictly and check its keys.

        Raises:
            InvalidEncoding: the value does not have the form of a descriptor.
            InvalidStream: a key is invalid or not proven, or the readings are invalid; a subclass
                says which.
        """
        members = Members(value, "the descriptor")
        network_id = members.hex("network", size=32)
        identity = members.hex("identity", size=OUTPUT_BYTES)
        raw_key = members.hex("header_key", size=bls.PUBLIC_KEY_BYTES)
        possession = members.hex("proof_of_possession", size=bls.SIGNATURE_BYTES)
        parameters, name = members.word("parameters", WINDOW_SETS), members.id("name")
        readings = Readings.from_json(members.take("readings")) if "readings" in members else None
        members.end()
        try:
            decode_output(identity)
        except ProofRefused as error:
            raise errors.InvalidIdentity(str(error)) from None
        header_key = _proven_key(raw_key, possession)
        return cls(network_id, identity, header_key, possession, parameters, name, readings)

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Decode an encoded descriptor. Raises as `from_json` does; TooLarge: it is too long."""
        if len(raw) > MAX_DESCRIPTOR_BYTES:
            message = (
                f"the descriptor has {len(raw)} bytes; at most {MAX_DESCRIPTOR_BYTES} are allowed"
            )
            raise errors.TooLarge(message, bytes=len(raw))
        return cls.from_json(parse(raw))


@lru_cache(maxsize=1024)
def _proven_key(raw: bytes, possession: bytes) -> bls.PublicKey:
    """Return the header key if its possession is proven. Raises InvalidStream.

    Results are cached, because every window is submitted with its stream's descriptor. Errors are
    not cached.
    """
    try:
        key = bls.PublicKey.decode(raw)
    except errors.InvalidPoint as error:
        raise errors.InvalidHeaderKey(str(error)) from None
    try:
        proven = bls.verify_possession(key, possession)
    except errors.InvalidPoint:
        proven = False
    if not proven:
        raise errors.UnprovenHeaderKey("the proof of possession of the header key is invalid")
    return key
