"""Packs events into batches: canonical JSON arrays of whole events, within the size limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import rfc8785

from dragon.encoding import Json, canonical
from dragon.errors import EventTooLarge, InvalidEncoding

MAX_BATCH_BYTES: Final = 5120  # UTF-8 bytes of a batch; networks do not publish their limit


def pack(
    events: Iterable[Mapping[str, Json]], *, max_batch_bytes: int = MAX_BATCH_BYTES
) -> list[str]:
    """Pack events in order into batches, each a canonical JSON array, as few as possible.

    Raises:
        EventTooLarge: an event alone exceeds `max_batch_bytes`.
        InvalidEncoding: an event has no canonical form.
    """
    encoded = [encode(event) for event in events]
    for position, event in enumerate(encoded):
        if len(event) + 2 > max_batch_bytes:
            message = f"an event takes {len(event) + 2} bytes, but a batch holds {max_batch_bytes}"
            raise EventTooLarge(message, position=position, bytes=len(event) + 2)
    return [f"[{b','.join(group).decode()}]" for group in _groups(encoded, max_batch_bytes)]


def encode(event: Mapping[str, Json]) -> bytes:
    """Canonical JSON (RFC 8785) of an event. Raises InvalidEncoding: there is none."""
    try:
        return canonical(dict(event))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError):
        raise InvalidEncoding("an event has no canonical form") from None


def _groups(events: list[bytes], max_bytes: int) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    size = 1  # two brackets, minus the comma that the first event lacks
    for event in events:
        if group and size + len(event) + 1 > max_bytes:
            yield group
            group, size = [], 1
        group.append(event)
        size += len(event) + 1
    if group:
        yield group
