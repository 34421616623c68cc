"""Submissions: windows that a stream service sends to aggregators, and aggregators to voters.

As soon as a window is closed, its header is submitted alone: the announcement. When the proof is
ready, the window is submitted with the hashes of its objects. The header key signs these hashes, so
only the stream's owner decides which proof is voted on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

from dragon.encoding import Json, Members, to_hex
from dragon.protocol import bls
from dragon.protocol.shape import HASH, SignedShape
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.window import WindowHeader, is_signed, is_signed_root


@dataclass(frozen=True, slots=True)
class WindowObjects(SignedShape):
    """SHA-256 of the objects that a window is judged by. The stream's header key signs it."""

    KIND: ClassVar[str] = "stream-objects"

    stream: Annotated[bytes, HASH]  # the stream's id
    header: Annotated[bytes, HASH]  # the hash of the window header
    chunks: Annotated[bytes, HASH]  # SHA-256 of the canonical JSON array of its chunk headers
    proof: Annotated[bytes, HASH]  # SHA-256 of the proof

    @classmethod
    def of(cls, header: WindowHeader, chunks: bytes, proof: bytes) -> Self:
        """Return the hashes of a window's encoded chunk headers and proof."""
        digests = (hashlib.sha256(each).digest() for each in (chunks, proof))
        return cls(header.stream, header.hash, *digests)


@dataclass(frozen=True)
class Submission:
    """A submitted window. It proves nothing until both signatures are checked."""

    descriptor: Descriptor
    header: WindowHeader
    header_signature: bytes
    objects: WindowObjects | None = None  # None: an announcement
    objects_signature: bytes = b""

    @property
    def stream(self) -> bytes:
        """The stream's id, 32 bytes."""
        return self.descriptor.id

    @property
    def number(self) -> int:
        """The window's number."""
        return self.header.number

    def to_json(self) -> dict[str, Json]:
        """Return the form in which windows are submitted."""
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
        """Decode a submission strictly. Raises InvalidEncoding, InvalidStream."""
        members = Members(value, "the submission")
        submission = cls.take(members)
        members.end()
        return submission

    @classmethod
    def take(cls, members: Members) -> Self:
        """Take the members of a submission. Raises InvalidEncoding, InvalidStream."""
        descriptor = Descriptor.from_json(members.take("descriptor"))
        header = WindowHeader.from_json(members.take("header"))
        signature = members.hex("header_signature", size=bls.SIGNATURE_BYTES)
        objects, objects_signature = None, b""
        if any(name in members for name in ("chunks", "proof", "objects_signature")):
            named = members.hex("chunks", size=32), members.hex("proof", size=32)
            objects = WindowObjects(descriptor.id, header.hash, *named)
            objects_signature = members.hex("objects_signature", size=bls.SIGNATURE_BYTES)
        return cls(descriptor, header, signature, objects, objects_signature)

    def object_kinds(self) -> dict[bytes, str]:
        """Return `chunks` or `proof` for the SHA-256 of each object; empty for an announcement."""
        if self.objects is None:
            return {}
        return {self.objects.chunks: "chunks", self.objects.proof: "proof"}

    def is_header_signed(self) -> bool:
        """Return whether the stream signed the header. Expensive: a pairing check."""
        return is_signed(self.header, self.descriptor, self.header_signature)

    def are_objects_signed(self) -> bool:
        """Return whether the stream signed the objects' hashes. Expensive: a pairing check."""
        if self.objects is None:
            return False
        named = self.objects.root(self.descriptor.network_id)
        return is_signed_root(self.descriptor.header_key, named, self.objects_signature)


@dataclass(frozen=True)
class VoteRequest:
    """A submission as an aggregator sends it to an operator.

    `timestamp`: Unix seconds, the start of the round in which the operator shall sign the claim
    that states its finding; None to ask for the finding alone.
    """

    submission: Submission
    timestamp: int | None = None

    def to_json(self) -> dict[str, Json]:
        """Return the form in which votes are requested."""
        value = self.submission.to_json()
        if self.timestamp is not None:
            value["timestamp"] = self.timestamp
        return value

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a request strictly. Raises InvalidEncoding, InvalidStream.

        Nothing can be signed about an announcement, so it has no timestamp.
        """
        members = Members(value, "the submission")
        submission, timestamp = Submission.take(members), None
        if submission.objects is not None and "timestamp" in members:
            timestamp = members.integer("timestamp")
        members.end()
        return cls(submission, timestamp)
