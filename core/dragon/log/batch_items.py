"""The events of a batch: decoded when needed, and remembered if the log applied none of them."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from dragon.encoding import Json
from dragon.errors import DragonError, InvalidEncoding
from dragon.log import verified_events
from dragon.log.refusal_reason import Reason
from dragon.log.refused_events import MAX_EXCERPT_CHARS
from dragon.protocol import event
from dragon.protocol.event import Event

MAX_REMEMBERED_BATCHES: Final = 32  # at most 250 KiB each in memory, so 8 MiB
MAX_REMEMBERED_CHARS: Final = 8192  # of one batch; longer ones are decoded every time


class BatchItem:
    """One event of a batch."""

    __slots__ = ("_decoded", "_digest", "_excerpt", "_value")

    def __init__(self, value: Json | InvalidEncoding) -> None:
        """Keep a value of `event.decode_batch`."""
        self._value = value
        self._decoded: Event | Reason | None = None
        self._digest = b""
        self._excerpt: str | None = None

    def decoded(self) -> Event | Reason:
        """Return the event, or why it cannot be decoded."""
        if self._decoded is None:
            try:
                self._decoded = event.decode_item(self._value)
            except DragonError as error:
                self._decoded = Reason.of(error)
        return self._decoded

    def digest(self, decoded: Event) -> bytes:
        """Return the SHA-256 of the event's JSON with sorted members, signature included."""
        if not self._digest:
            self._digest = verified_events.digest(decoded)
        return self._digest

    def excerpt(self) -> str:
        """Return the beginning of the event's text, for inspection."""
        if self._excerpt is None:
            self._excerpt = event.excerpt(self._value)[:MAX_EXCERPT_CHARS]
        return self._excerpt


class BatchItems:
    """Decodes batches. A batch that is remembered costs one hash instead.

    Decoding depends on the text alone, so what is remembered never changes a verdict.
    """

    def __init__(self) -> None:
        self._remembered: OrderedDict[bytes, Sequence[BatchItem]] = OrderedDict()

    def of(self, body: str) -> Sequence[BatchItem]:
        """Return the events of a batch. Raises InvalidEncoding: the batch is no list of events."""
        key = _key(body)
        if (items := self._remembered.get(key)) is not None:
            self._remembered.move_to_end(key)
            return items
        return [BatchItem(value) for value in event.decode_batch(body)]

    def remember(self, body: str, items: Sequence[BatchItem]) -> None:
        """Remember a batch without an applied event: it may well be repeated."""
        if len(body) > MAX_REMEMBERED_CHARS:
            return
        self._remembered[_key(body)] = items
        if len(self._remembered) > MAX_REMEMBERED_BATCHES:
            self._remembered.popitem(last=False)


def _key(body: str) -> bytes:
    # Lone surrogates cannot be encoded strictly, and a body may contain them.
    return hashlib.sha256(body.encode(errors="surrogatepass")).digest()
