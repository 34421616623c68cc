"""Log entries: events with their positions in the log, alone or with a proof of inclusion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

from dragon import errors
from dragon.encoding import Json, Members, from_hex, to_hex
from dragon.protocol import merkle
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event, decode, leaf
from dragon.protocol.handover import SignedMark, decode_mark
from dragon.protocol.lineage import Lineage
from dragon.protocol.trust import Anchor, Trust, certified_log


@dataclass(frozen=True)
class LogEntry:
    """An event that was applied to the log."""

    position: int  # from 0: the index of its leaf
    event: Event
    ledger_index: int  # of the batch that contained the event
    ledger_time: int | None = None  # Unix seconds, as shown to one reader; for listings only
    chaining_hash: str = ""  # of the ledger at that batch; shows where a rewritten ledger differs

    @cached_property
    def leaf_hash(self) -> bytes:
        """The hash of the entry's leaf in the log's Merkle tree."""
        return merkle.leaf_hash(leaf(self.event, self.ledger_index))

    def to_json(self) -> dict[str, Json]:
        """Return the members that the log's root covers, and the position."""
        return {
            "position": self.position,
            "event": self.event.to_json(),
            "ledger_index": self.ledger_index,
        }

    @classmethod
    def take(cls, members: Members) -> Self:
        """Take the entry's members out of a larger object. Raises InvalidEncoding, UnknownKind."""
        return cls(
            members.integer("position"),
            decode(members.take("event")),
            members.integer("ledger_index"),
        )


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """An entry with its proof of inclusion, as `GET /events/<position>` returns it."""

    entry: LogEntry
    size: int  # of the log
    root: bytes  # 32 bytes, the log's root at that size
    inclusion: tuple[bytes, ...]  # RFC 6962; sibling hashes, nearest to the leaf first
    anchor: SignedMark | None = None  # what certifies that size and root

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        value: dict[str, Json] = {
            **self.entry.to_json(),
            "size": self.size,
            "root": to_hex(self.root),
            "inclusion": [to_hex(sibling) for sibling in self.inclusion],
        }
        return value | {"anchor": self.anchor.to_json()} if self.anchor else value

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode an entry strictly. Raises InvalidEncoding, UnknownKind."""
        members = Members(value, "the log entry")
        path = members.list("inclusion", most=merkle.MAX_PATH)
        anchor = members.take("anchor") if "anchor" in members else None
        proven = cls(
            LogEntry.take(members),
            members.integer("size"),
            members.hex("root", size=merkle.HASH_BYTES),
            tuple(from_hex(item, member="inclusion", size=merkle.HASH_BYTES) for item in path),
            None if anchor is None else decode_mark(anchor),
        )
        members.end()
        return proven

    def verify(self, known: Trust | Lineage | Committee) -> Committee:
        """Verify the event's signatures, and that the entry is in the log with the stated root.

        The stated root is certified if there is an anchor. Otherwise it is not verified: compare
        it with a root from another source.

        Args:
            known: a verified lineage, or one committee; see `dragon.protocol.trust`.

        Returns the committee that the event was signed for.

        Raises:
            CertificateError: the event or the anchor does not verify; Superseded: the event's
                committee has handed over, and the entry has no anchor that counts.
            InvalidProof: the entry is not in that log, or the anchor certifies another one.
        """
        trust, anchor = Trust.of(known), None
        if self.anchor:
            anchor = Anchor(self.anchor, self.entry.position, self.inclusion)
        leaf_hash = self.entry.leaf_hash
        committee = trust.verify(self.entry.event, leaf_hash=leaf_hash, anchor=anchor)
        if self.anchor:
            trust.verify_mark(self.anchor, covered=committee)
            if certified_log(self.anchor) != (self.size, self.root):
                raise errors.InvalidProof("the anchor certifies another size or root of the log")
        merkle.verify_inclusion(
            leaf_hash, self.entry.position, self.size, self.inclusion, self.root
        )
        return committee
