"""Receipts: what a data owner keeps, in its one form.

A receipt leads from data to a certified log in links;
`dragon.protocol.streams.receipt_verification` checks each of
them by itself. It may disclose one chunk's digest, and never another's.
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
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.streams.chunks import ChunkHeader, chunks_from_json
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.finding import MAX_PROOF_BYTES
from dragon.protocol.streams.window import WindowHeader, is_signed
from dragon.stark.blocks import MAX_CHUNKS
from dragon.stark.commitment import OPENING_BYTES

_T = TypeVar("_T")
_V = TypeVar("_V")

MAX_RECEIPT_BYTES: Final = 2 << 20  # with the proof of the largest window
MAX_ENDORSEMENTS: Final = 64
_PLACE: Final = ("position", "ledger_index", "ledger_time", "inclusion", "checkpoint")
_PROVEN: Final = ("chunks", "proof")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the window's event stands in a log that a quorum has certified."""

    position: int
    ledger_index: int
    ledger_time: int  # Unix seconds
    inclusion: tuple[bytes, ...]  # up to the root of the checkpoint's size
    checkpoint: Certificate


@dataclass(frozen=True, slots=True)
class Proven:
    """The window's proof and what it is about: the chunk headers hide what they commit to."""

    chunks: tuple[ChunkHeader, ...]
    proof: bytes


@dataclass(frozen=True)
class Receipt:
    """For one chunk. Holding one proves nothing before `verify` has said so."""

    descriptor: Descriptor
    chunk: ChunkHeader
    path: tuple[bytes, ...]  # from the chunk header to the window's root
    header: WindowHeader
    header_signature: bytes
    event: Certificate  # the window's
    place: Place | None = None
    opening: bytes | None = None  # digest ‖ salt: it discloses the digest
    proven: Proven | None = None
    endorsements: tuple[Endorsement, ...] = ()  # what experts say of the window, either way

    def to_json(self) -> dict[str, Json]:
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
            value["ledger_time"] = self.place.ledger_time
            value["inclusion"] = [to_hex(sibling) for sibling in self.place.inclusion]
            value["checkpoint"] = self.place.checkpoint.to_json()
        if self.opening is not None:
            value["opening"] = to_hex(self.opening)
        if self.proven:
            value["chunks"] = [chunk.members() for chunk in self.proven.chunks]
            value["proof"] = to_hex(self.proven.proof)
        if self.endorsements:
            value["endorsements"] = [each.to_json() for each in self.endorsements]
        return value

    def encode(self) -> bytes:
        return canonical(self.to_json())

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Strict decoding. What is wrong in a part has that part's name as its fact `field`.

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
        """Raises as `from_json` does; TooLarge: no receipt has so many bytes."""
        if len(raw) > MAX_RECEIPT_BYTES:
            message = f"a receipt has at most {MAX_RECEIPT_BYTES} bytes"
            raise errors.TooLarge(message, bytes=len(raw))
        return cls.from_json(parse(raw))

    def completed(self, proven: ProvenEntry, checkpoint: Certificate) -> Receipt:
        """With the event's place in the log at the size of a certified checkpoint.

        Promises no validity: `verify` decides.
        """
        place = Place(
            proven.entry.position,
            proven.entry.ledger_index,
            proven.entry.ledger_time,
            proven.inclusion,
            checkpoint,
        )
        return replace(self, place=place)

    @cached_property
    def is_signed(self) -> bool:
        """Whether the header is the word of the stream that the descriptor describes."""
        return is_signed(self.header, self.descriptor, self.header_signature)

    @cached_property
    def is_under_root(self) -> bool:
        """Whether the path leads from the chunk's place to the header's root."""
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
        members.integer("ledger_time"),
        _path(members, "inclusion"),
        _part(members, "checkpoint", Certificate.from_json),
    )


def _proven(members: Members) -> Proven:
    chunks = _named("chunks", chunks_from_json, members.list("chunks", most=MAX_CHUNKS))
    return Proven(chunks, members.hex("proof", size=range(MAX_PROOF_BYTES + 1)))


def _endorsements(members: Members) -> tuple[Endorsement, ...]:
    listed = members.list("endorsements", most=MAX_ENDORSEMENTS)
    return tuple(_named("endorsements", Endorsement.from_json, item) for item in listed)
