"""Events: signed statements as they stand on the ledger.

An event is a certificate or, for kinds marked so, a statement under one named key. Kinds that only
travel between services (`status-answer`, `suspicion`) are signed too, but are never events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self, TypeAlias

from dragon.encoding import Json, Members, canonical, from_hex, parse_items, to_hex
from dragon.errors import InvalidEncoding, TooLarge, UnknownKind
from dragon.protocol import merkle
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.committee import Committee
from dragon.protocol.endorsement import Endorsement

Event: TypeAlias = Certificate | Endorsement

MOST_EVENTS: Final = 16  # in a batch: 5,120 bytes have room for about ten


def decode(value: Json) -> Event:
    """An event from its JSON value. Raises InvalidEncoding, or UnknownKind for what is no event."""
    if isinstance(value, dict) and value.get("kind") == EndorsementClaim.KIND:
        return Endorsement.from_json(value)
    certified = Certificate.from_json(value)
    if isinstance(certified.claim, DowntimeClaim):
        raise UnknownKind("a downtime certificate is an answer, and no event", kind="downtime")
    return certified


def decode_batch(body: str) -> list[Json | InvalidEncoding]:
    """The events of a batch, not yet decoded: a bad one must not spoil its neighbours.

    Where an event is not even strict JSON, its place holds the refusal.

    Raises InvalidEncoding: the batch as a whole is not a JSON array, or no honest one has so many.
    """
    items = parse_items(body, what="a batch")
    if len(items) > MOST_EVENTS:
        raise TooLarge(f"a batch holds at most {MOST_EVENTS} events", events=len(items))
    return items


def decode_item(item: Json | InvalidEncoding) -> Event:
    """An event from its place in a batch. Raises as `decode` does, or the refusal itself."""
    if isinstance(item, InvalidEncoding):
        raise item
    return decode(item)


def excerpt(item: Json | InvalidEncoding) -> str:
    """For people who look at what was refused."""
    return "" if isinstance(item, InvalidEncoding) else canonical(item).decode()


def leaf(event: Event, ledger_index: int, ledger_time: int) -> bytes:
    """The log's leaf for an applied event: canonical JSON of event, ledger index and time."""
    return canonical(
        {"event": event.to_json(), "ledger_index": ledger_index, "ledger_time": ledger_time}
    )


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event with its place in a log and the path to that log's root: `GET /events/<n>`."""

    position: int
    event: Event
    ledger_index: int
    ledger_time: int
    size: int
    root: bytes
    inclusion: tuple[bytes, ...]

    def to_json(self) -> dict[str, Json]:
        return {
            "position": self.position,
            "event": self.event.to_json(),
            "ledger_index": self.ledger_index,
            "ledger_time": self.ledger_time,
            "size": self.size,
            "root": to_hex(self.root),
            "inclusion": [to_hex(sibling) for sibling in self.inclusion],
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Strict decoding. Raises InvalidEncoding, UnknownKind."""
        members = Members(value, "the logged event")
        path = members.list("inclusion", most=merkle.MAX_PATH)
        logged = cls(
            members.integer("position"),
            decode(members.take("event")),
            members.integer("ledger_index"),
            members.integer("ledger_time"),
            members.integer("size"),
            members.hex("root", size=merkle.HASH_BYTES),
            tuple(from_hex(item, member="inclusion", size=merkle.HASH_BYTES) for item in path),
        )
        members.end()
        return logged

    def verify(self, committee: Committee) -> None:
        """Return quietly if a quorum certified the event and it stands in the log of that root.

        The root itself is this document's word: hold it against one that is known otherwise.

        Raises CertificateError, InvalidProof.
        """
        self.event.verify(committee)
        hashed = merkle.leaf_hash(leaf(self.event, self.ledger_index, self.ledger_time))
        merkle.verify_inclusion(hashed, self.position, self.size, self.inclusion, self.root)


def verify(event: Event, committee: Committee) -> None:
    """Return quietly if whoever must have signed the event did. Raises CertificateError."""
    event.verify(committee)


def root(event: Event) -> str:
    """The claim's root as text: what makes two events the same."""
    return to_hex(event.claim.root(event.committee_id))
