"""Receipts: documents that prove that a chunk existed by a certified time.

A receipt is a chain of links from the data to a certified log, and
`dragon.protocol.streams.receipt_verification` checks each link separately. A receipt may disclose
the digest of one chunk, but not of any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Self, TypeVar

from dragon import errors
from dragon.encoding import Json, Members, canonical, from_hex, parse, to_hex
from dragon.protocol import bls, merkle
from dragon.protocol.certificate import Certificate
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.handover import SignedMark, decode_mark
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.streams.chunks import ChunkHeader, chunks_from_json
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.finding import MAX_PROOF_BYTES
from dragon.protocol.streams.window import WindowHeader, is_signed
from dragon.stark.blocks import MAX_CHUNKS
from dragon.stark.commitment import OPENING_BYTES

_T = TypeVar("_T")
_V = TypeVar("_V")

MAX_RECEIPT_BYTES: Final = 2 << 20  # enough for the proof of the largest window
MAX_ENDORSEMENTS: Final = 64
_PLACE: Final = ("position", "ledger_index", "inclusion", "checkpoint")
_PROVEN: Final = ("chunks", "proof", "previous_header")


@dataclass(frozen=True, slots=True)
class Place:
    """The position of the window's event in the log, and a mark that covers it."""

    position: int
    ledger_index: int
    inclusion: tuple[bytes, ...]  # proof of inclusion in the log of the mark's size
    checkpoint: SignedMark  # a certified checkpoint, or a handover


@dataclass(frozen=True, slots=True)
class Proven:
    """The window's proof and its chunk headers, which do not disclose any digest."""

    chunks: tuple[ChunkHeader, ...]
    proof: bytes
    previous: WindowHeader | None = None  # if the proof begins with that window's last chunk


@dataclass(frozen=True)
class Receipt:
    """A receipt of one chunk. It proves nothing until `verify_receipt` has succeeded."""

    descriptor: Descriptor
    chunk: ChunkHeader
    path: tuple[bytes, ...]  # proof of inclusion of the chunk header in the window's tree
    header: WindowHeader
    header_signature: bytes
    event: Certificate  # of the window
    place: Place | None = None
    opening: bytes | None = None  # discloses the digest, and the reading if there is one
    proven: Proven | None = None
    endorsements: tuple[Endorsement, ...] = ()  # experts' verdicts on the window

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        value: dict[str, Json] = {
            "descriptor": self.descriptor.to_json(),
            "chunk": self.chunk.members(),
            "path": [to_hex(sibling) for sibling in self.path],
            "header": self.header.members(),
            "header_signature": to_hex(self.header_signature),
            "event": self.event.to_json(),
        }
        if self.place:
            value["position"] = self.place.position
            value["ledger_index"] = self.place.ledger_index
            value["inclusion"] = [to_hex(sibling) for sibling in self.place.inclusion]
            value["checkpoint"] = self.place.checkpoint.to_json()
        if self.opening is not None:
            value["opening"] = to_hex(self.opening)
        if self.proven:
            value["chunks"] = [chunk.members() for chunk in self.proven.chunks]
            value["proof"] = to_hex(self.proven.proof)
            if self.proven.previous:
                value["previous_header"] = self.proven.previous.members()
        if self.endorsements:
            value["endorsements"] = [each.to_json() for each in self.endorsements]
        return value

    def encode(self) -> bytes:
        """Return the published form in canonical JSON."""
        return canonical(self.to_json())

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a receipt strictly. The fact `field` of an error names the faulty member.

        Raises InvalidEncoding, InvalidStream, UnknownKind.
        """
        members = Members(value, "the receipt")
        receipt = cls(
            _part(members, "descriptor", Descriptor.from_json),
            _part(members, "chunk", ChunkHeader.from_json),
            _path(members, "path"),
            _part(members, "header", WindowHeader.from_json),
            members.hex("header_signature", size=bls.SIGNATURE_BYTES),
            _part(members, "event", Certificate.from_json),
            _place(members) if any(name in members for name in _PLACE) else None,
            members.hex("opening", size=OPENING_BYTES) if "opening" in members else None,
            _proven(members) if any(name in members for name in _PROVEN) else None,
            _endorsements(members) if "endorsements" in members else (),
        )
        members.end()
        return receipt

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Decode an encoded receipt. Raises as `from_json` does; TooLarge: it is too long."""
        if len(raw) > MAX_RECEIPT_BYTES:
            message = f"the receipt has {len(raw)} bytes; at most {MAX_RECEIPT_BYTES} are allowed"
            raise errors.TooLarge(message, bytes=len(raw))
        return cls.from_json(parse(raw))

    def completed(self, proven: ProvenEntry, checkpoint: SignedMark) -> Receipt:
        """Return this receipt with the event's place in the log of a certified checkpoint.

        The place is not verified here.

        Args:
            proven: the event's entry, with the proof of inclusion at the checkpoint's size.
        """
        place = Place(
            proven.entry.position,
            proven.entry.ledger_index,
            proven.inclusion,
            checkpoint,
        )
        return replace(self, place=place)

    @cached_property
    def is_signed(self) -> bool:
        """Whether the described stream signed the header."""
        return is_signed(self.header, self.descriptor, self.header_signature)

    @cached_property
    def is_under_root(self) -> bool:
        """Whether the path leads from the chunk header to the root in the window header."""
        index = self.chunk.sequence - self.header.first
        hashed = merkle.leaf_hash(self.chunk.leaf())
        try:
            merkle.verify_inclusion(
                hashed, index, self.header.count, self.path, self.header.chunks_root
            )
        except errors.InvalidProof:
            return False
        return True


def _part(members: Members, name: str, decode: Callable[[Json], _T]) -> _T:
    return _named(name, decode, members.take(name))


def _named(name: str, decode: Callable[[_V], _T], value: _V) -> _T:
    try:
        return decode(value)
    except errors.DragonError as refusal:
        refusal.facts["field"] = name
        raise


def _path(members: Members, name: str) -> tuple[bytes, ...]:
    path = members.list(name, most=merkle.MAX_PATH)
    return tuple(from_hex(item, member=name, size=merkle.HASH_BYTES) for item in path)


def _place(members: Members) -> Place:
    return Place(
        members.integer("position"),
        members.integer("ledger_index"),
        _path(members, "inclusion"),
        _part(members, "checkpoint", decode_mark),
    )


def _proven(members: Members) -> Proven:
    chunks = _named("chunks", chunks_from_json, members.list("chunks", most=MAX_CHUNKS))
    proof, previous = members.hex("proof", size=range(MAX_PROOF_BYTES + 1)), None
    if "previous_header" in members:
        previous = _part(members, "previous_header", WindowHeader.from_json)
    return Proven(chunks, proof, previous)


def _endorsements(members: Members) -> tuple[Endorsement, ...]:
    listed = members.list("endorsements", most=MAX_ENDORSEMENTS)
    return tuple(_named("endorsements", Endorsement.from_json, item) for item in listed)
