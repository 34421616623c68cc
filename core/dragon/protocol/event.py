"""Events: signed claims on the ledger.

An event is a certificate or, for kinds without a quorum, a claim signed with one key. A
handover is a certificate with the acceptance of the next committee.
Messages between services (`status-answer`, `suspicion`) are signed too, but never become events.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TypeAlias

from dragon.encoding import Json, canonical, parse_items, to_hex
from dragon.errors import InvalidEncoding, TooLarge, UnknownKind
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.base import kind_named
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.committee import Committee
from dragon.protocol.handover import Handover
from dragon.protocol.single_signer import SingleSigned

if TYPE_CHECKING:
    from dragon.protocol.endorsement import Endorsement
    from dragon.protocol.maintenance import Maintenance

Event: TypeAlias = "Certificate | Endorsement | Maintenance | Handover"

MAX_EVENTS_PER_BATCH: Final = 16  # about ten events fit into the 5,120 bytes of a batch


def decode(value: Json) -> Event:
    """Decode an event. Raises InvalidEncoding; UnknownKind: a claim of this kind is no event."""
    name = value.get("kind") if isinstance(value, dict) else None
    kind = kind_named(name) if isinstance(name, str) else None
    single_signed = None if kind is None else _decode_single_signed(kind.name, value)
    if single_signed is not None:
        return single_signed
    if name == HandoverClaim.KIND:
        return Handover.from_json(value)
    certified = Certificate.from_json(value)
    if kind is not None and not kind.is_event:
        raise UnknownKind(f"a {kind.name} certificate cannot be an event", kind=kind.name)
    return certified


def _decode_single_signed(kind: str, value: Json) -> Endorsement | Maintenance | None:
    """Decode an event that one key signs. Returns None: a quorum signs events of this kind."""
    # Imported here, because most files have no such event.
    if kind == "endorsement":
        from dragon.protocol.endorsement import Endorsement  # noqa: PLC0415

        return Endorsement.from_json(value)
    if kind == "maintenance":
        from dragon.protocol.maintenance import Maintenance  # noqa: PLC0415

        return Maintenance.from_json(value)
    return None


def decode_batch(body: str) -> list[Json | InvalidEncoding]:
    """Return the JSON values of the events in a batch; `decode_item` decodes each of them.

    An event that is not strict JSON does not affect the others: its place contains the error.

    Raises InvalidEncoding: the batch is not a JSON array, or has too many events.
    """
    items = parse_items(body, what="a batch")
    if len(items) > MAX_EVENTS_PER_BATCH:
        raise TooLarge(
            f"the batch has {len(items)} events; at most {MAX_EVENTS_PER_BATCH} are allowed",
            events=len(items),
        )
    return items


def decode_item(item: Json | InvalidEncoding) -> Event:
    """Decode one value of `decode_batch`. Raises as `decode` does, or the error in its place."""
    if isinstance(item, InvalidEncoding):
        raise item
    return decode(item)


def excerpt(item: Json | InvalidEncoding) -> str:
    """Return the text of a refused event, for inspection."""
    if isinstance(item, InvalidEncoding):
        return ""
    # Not canonical JSON, which takes four times as long: this text is not hashed.
    return json.dumps(item, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def leaf(event: Event, ledger_index: int) -> bytes:
    """Return the leaf of an applied event: canonical JSON of event and ledger index.

    The ledger's time is not in it: the network may prove different times for one batch.
    """
    return canonical({"event": event.to_json(), "ledger_index": ledger_index})


def leaf_of(event: bytes, ledger_index: int) -> bytes:
    """Return the leaf of an event that is already encoded in canonical JSON."""
    return b'{"event":%b,"ledger_index":%d}' % (event, ledger_index)


def root(event: Event) -> str:
    """Return the root of the event's claim in hex. Equal roots mean equal claims."""
    return to_hex(event.claim.root(event.committee_id))


def signers_of(event: Event, committee: Committee) -> tuple[str, ...]:
    """Return the ids of those whose signatures an event has.

    An announcement of maintenance does not name its signer, which follows from the committee.

    Args:
        committee: the one that the event is for.

    Raises UnknownSigner, UnknownNode, NoOwner: the committee has no such member.
    """
    if isinstance(event, SingleSigned):
        return (event.signer_in(committee),)
    return event.signers
