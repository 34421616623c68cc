"""Submissions: what a stream's owner hands to aggregators, and they to the voters.

First the header alone, as soon as the window is closed: that is its announcement. Later, with the
proof, the stream names by their hashes the objects that are to be voted on. The header key signs
that too, so nobody else can have a window judged by a proof that its owner never made.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

from dragon.encoding import Json, Members, to_hex
from dragon.protocol import bls
from dragon.protocol.shape import HASH, SignedShape
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.window import WindowHeader, is_signed, is_word


@dataclass(frozen=True, slots=True)
class WindowObjects(SignedShape):
    """The objects on which a window is judged, by SHA-256: the stream's own word."""

    KIND: ClassVar[str] = "stream-objects"

    stream: Annotated[bytes, HASH]  # the stream's id
    header: Annotated[bytes, HASH]  # the hash of the window header
    chunks: Annotated[bytes, HASH]  # of the canonical JSON array of its chunk headers
    proof: Annotated[bytes, HASH]

    @classmethod
    def of(cls, header: WindowHeader, chunks: bytes, proof: bytes) -> Self:
        """Of the objects themselves."""
        digests = (hashlib.sha256(each).digest() for each in (chunks, proof))
        return cls(header.stream, header.hash, *digests)


@dataclass(frozen=True)
class Submission:
    """One window as it travels. Holding one proves nothing before both signatures are checked."""

    descriptor: Descriptor
    header: WindowHeader
    header_signature: bytes
    objects: WindowObjects | None = None  # None: an announcement
    objects_signature: bytes = b""

    @property
    def stream(self) -> bytes:
        return self.descriptor.id

    @property
    def number(self) -> int:
        return self.header.number

    def to_json(self) -> dict[str, Json]:
        value: dict[str, Json] = {
            "descriptor": self.descriptor.to_json(),
            "header": self.header.members(),
            "header_signature": to_hex(self.header_signature),
        }
        if self.objects:
            value["chunks"] = to_hex(self.objects.chunks)
            value["proof"] = to_hex(self.objects.proof)
            value["objects_signature"] = to_hex(self.objects_signature)
        return value

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Strict decoding. Raises InvalidEncoding, InvalidStream."""
        members = Members(value, "the submission")
        descriptor = Descriptor.from_json(members.take("descriptor"))
        header = WindowHeader.from_json(members.take("header"))
        signature = members.hex("header_signature", size=bls.SIGNATURE_BYTES)
        objects, objects_signature = None, b""
        if any(name in members for name in ("chunks", "proof", "objects_signature")):
            named = members.hex("chunks", size=32), members.hex("proof", size=32)
            objects = WindowObjects(descriptor.id, header.hash, *named)
            objects_signature = members.hex("objects_signature", size=bls.SIGNATURE_BYTES)
        members.end()
        return cls(descriptor, header, signature, objects, objects_signature)

    def named(self) -> dict[bytes, str]:
        """The objects that are fetched, by their SHA-256, and which of the two each is."""
        if self.objects is None:
            return {}
        return {self.objects.chunks: "chunks", self.objects.proof: "proof"}

    def is_announced(self) -> bool:
        """Whether the header bears the stream's signature. Dear: a pairing."""
        return is_signed(self.header, self.descriptor, self.header_signature)

    def is_named(self) -> bool:
        """Whether the stream itself names these objects. Dear: a pairing."""
        if self.objects is None:
            return False
        named = self.objects.root(self.descriptor.committee_id)
        return is_word(self.descriptor.header_key, named, self.objects_signature)
