"""Events: signed statements as they stand on the ledger.

An event is a certificate or, for kinds marked so, a statement under one named key. Kinds that only
travel between services (`status-answer`, `suspicion`) are signed too, but are never events.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from dragon.encoding import Json, canonical, parse_items, to_hex
from dragon.errors import InvalidEncoding, TooLarge, UnknownKind
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.base import kind_named
from dragon.protocol.endorsement import Endorsement

Event: TypeAlias = Certificate | Endorsement

MOST_EVENTS: Final = 16  # in a batch: 5,120 bytes have room for about ten


def decode(value: Json) -> Event:
    """An event from its JSON value. Raises InvalidEncoding, or UnknownKind for what is no event."""
    name = value.get("kind") if isinstance(value, dict) else None
    kind = kind_named(name) if isinstance(name, str) else None
    if kind is not None and kind.default_quorum is None:
        return Endorsement.from_json(value)
    certified = Certificate.from_json(value)
    if kind is not None and not kind.is_event:
        raise UnknownKind(f"a {kind.name} certificate is an answer, not an event", kind=kind.name)
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
    """Return an applied event's leaf: canonical JSON of event, ledger index and ledger time."""
    return canonical(
        {"event": event.to_json(), "ledger_index": ledger_index, "ledger_time": ledger_time}
    )


def root(event: Event) -> str:
    """Return the root of the event's claim as text. Two events are the same if their roots are."""
    return to_hex(event.claim.root(event.committee_id))
