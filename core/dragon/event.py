"""Events: signed statements as they stand on the ledger.

An event is a certificate or, for kinds marked so, a statement under one named key. Kinds that only
travel between services (`status-answer`, `suspicion`) are signed too, but are never events.
"""

from __future__ import annotations

from typing import TypeAlias

from dragon.certificate import Certificate
from dragon.encoding import Json, canonical, parse_items, to_hex
from dragon.errors import InvalidEncoding

Event: TypeAlias = Certificate


def decode(value: Json) -> Event:
    """An event from its JSON value. Raises InvalidEncoding, or UnknownKind for what is no event."""
    return Certificate.from_json(value)


def decode_batch(body: str) -> list[Json | InvalidEncoding]:
    """The events of a batch, not yet decoded: a bad one must not spoil its neighbours.

    Where an event is not even strict JSON, its place holds the refusal.

    Raises InvalidEncoding: the batch as a whole is not a JSON array.
    """
    return parse_items(body, what="a batch")


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


def describe(event: Event) -> str:
    """For people: which node, what, when, by whom."""
    claim = event.claim
    signers = ", ".join(event.signers)
    return f"{claim.node_id} {claim.status} at {claim.timestamp}, signed by {signers}"


def root(event: Event) -> str:
    """The claim's root as text: what makes two events the same."""
    return to_hex(event.claim.root(event.committee_id))
