"""Events: signed statements as they stand on the ledger.

An event is a certificate or, for kinds marked so, a statement under one named key. Kinds that only
travel between services (`status-answer`, `suspicion`) are signed too, but are never events.
"""

from __future__ import annotations

from typing import TypeAlias

from dragon.certificate import Certificate
from dragon.encoding import Json, canonical, parse, to_hex
from dragon.errors import WrongType

Event: TypeAlias = Certificate


def decode(value: Json) -> Event:
    """An event from its JSON value. Raises InvalidEncoding, or UnknownKind for what is no event."""
    return Certificate.from_json(value)


def decode_batch(body: str) -> list[Json]:
    """The events of a batch, not yet decoded one by one: a bad one must not spoil its neighbours.

    Raises InvalidEncoding: the batch is not a JSON array in strict form.
    """
    value = parse(body)
    if not isinstance(value, list):
        raise WrongType("a batch is an array of events", member="batch")
    return value


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
