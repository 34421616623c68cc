"""Log entries: events at their places in the log, alone or with a proof of inclusion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

from dragon.encoding import Json, Members, from_hex, to_hex
from dragon.protocol import merkle
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event, decode, leaf


@dataclass(frozen=True)
class LogEntry:
    """One applied event at its place in the log."""

    position: int  # from 0: the index of its leaf
    event: Event
    ledger_index: int  # of the batch that it came in
    ledger_time: int  # Unix seconds, proven
    chaining_hash: str = ""  # the ledger's at that batch: where a rewritten ledger departs

    @cached_property
    def leaf_hash(self) -> bytes:
        """The hash of the entry's leaf in the log's Merkle tree."""
        return merkle.leaf_hash(leaf(self.event, self.ledger_index, self.ledger_time))

    def to_json(self) -> dict[str, Json]:
        """Return the entry as `GET /events` shows it."""
        return {
            "position": self.position,
            "event": self.event.to_json(),
            "ledger_index": self.ledger_index,
            "ledger_time": self.ledger_time,
        }

    @classmethod
    def take(cls, members: Members) -> Self:
        """Take the entry's members out of a larger object. Raises InvalidEncoding, UnknownKind."""
        return cls(
            members.integer("position"),
            decode(members.take("event")),
            members.integer("ledger_index"),
            members.integer("ledger_time"),
        )


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """An entry with the path from its leaf to the root of the log: `GET /events/<position>`."""

    entry: LogEntry
    size: int  # of the log
    root: bytes  # 32 bytes, the log's root at that size
    inclusion: tuple[bytes, ...]  # RFC 6962, from the leaf to the root

    def to_json(self) -> dict[str, Json]:
        return {
            **self.entry.to_json(),
            "size": self.size,
            "root": to_hex(self.root),
            "inclusion": [to_hex(sibling) for sibling in self.inclusion],
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Strict decoding. Raises InvalidEncoding, UnknownKind."""
        members = Members(value, "the log entry")
        path = members.list("inclusion", most=merkle.MAX_PATH)
        proven = cls(
            LogEntry.take(members),
            members.integer("size"),
            members.hex("root", size=merkle.HASH_BYTES),
            tuple(from_hex(item, member="inclusion", size=merkle.HASH_BYTES) for item in path),
        )
        members.end()
        return proven

    def verify(self, committee: Committee) -> None:
        """Check that a quorum certified the event and that the entry is in the log of that root.

        The root is what this document states: compare it with one from another source.

        Raises CertificateError, InvalidProof.
        """
        self.entry.event.verify(committee)
        merkle.verify_inclusion(
            self.entry.leaf_hash, self.entry.position, self.size, self.inclusion, self.root
        )
