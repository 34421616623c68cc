"""Read the closed windows of a stream from its service, and find those of a period.

Chunks arrive in order, so windows are found by bisection. No token is needed, and no answer is
verified.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from dragon import errors
from dragon.encoding import Json, Members
from dragon.net.stream_client import StreamClient
from dragon.protocol import bls
from dragon.protocol.certificate import Certificate
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.receipt import Proven, Receipt
from dragon.protocol.streams.window import WindowHeader

CERTIFIED: Final = "certified"  # the state of windows that the log has
MAX_KEPT: Final = 64  # windows that are kept between two questions

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServedWindow:
    """A closed window, as its service states it."""

    header: WindowHeader
    signature: bytes
    event: Certificate | None  # None: not certified yet
    position: int | None  # of the event in the log


@dataclass(slots=True)
class StreamWindows:
    """The closed windows of one stream."""

    client: StreamClient
    stream: str  # id, 0x…
    _kept: dict[int, ServedWindow] = field(default_factory=dict, init=False)

    def descriptor(self) -> tuple[Descriptor, int]:
        """Return the stream's descriptor, and the number of its closed windows.

        Raises PeerError, NotFound.
        """

        def decode(value: dict[str, Any]) -> tuple[Descriptor, int]:
            members = Members(value, "the stream")
            descriptor = Descriptor.from_json(members.take("descriptor"))
            return descriptor, members.integer("windows")

        return self._ask(f"/streams/{self.stream}", decode)

    def window(self, number: int) -> ServedWindow:
        """Return a closed window. Raises PeerError, NotFound."""
        if number not in self._kept:
            if len(self._kept) >= MAX_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[number] = self._ask(f"/streams/{self.stream}/windows/{number}", _window)
        return self._kept[number]

    def proven(self, header: WindowHeader) -> Proven:
        """Return chunk headers and proof of a certified window.

        Raises PeerError; NotFound: the service has deleted the proof.
        """
        receipt = self._receipt(header.first, proof=1)
        if receipt.proven is None or receipt.header != header:
            raise errors.BadAnswer(f"the answer has no proof of window {header.number}")
        return receipt.proven

    def disclosed(self, sequence: int) -> Receipt:
        """Return the receipt of a chunk that opens its commitment.

        Raises PeerError, NotFound; Unauthorized: the client does not have the stream's token.
        """
        receipt = self._receipt(sequence, disclose=1)
        if receipt.chunk.sequence != sequence:
            raise errors.BadAnswer(f"the answer is not the receipt of chunk {sequence}")
        return receipt

    def first_where(self, holds: Callable[[ServedWindow], bool], closed: int) -> int:
        """Return the number of the first window from which on a condition holds; else `closed`.

        Args:
            holds: a condition that, once it holds, holds for every later window.
            closed: the number of closed windows.
        """
        return bisect_left(range(closed), True, key=lambda number: holds(self.window(number)))

    def _receipt(self, sequence: int, **params: int) -> Receipt:
        path = f"/streams/{self.stream}/chunks/{sequence}/receipt"
        return self._ask(path, Receipt.from_json, **params)

    def _ask(self, path: str, decode: Callable[[dict[str, Any]], T], **params: int) -> T:
        try:
            return decode(self.client.get(path, **params))
        except (errors.InvalidEncoding, errors.InvalidStream, errors.UnknownKind) as error:
            raise errors.BadAnswer(f"the stream service's answer is invalid: {error}") from None


def _window(value: dict[str, Json]) -> ServedWindow:
    members = Members(value, "the window")
    event, position = members.take("event"), members.take("position")
    is_certified = members.take("state") == CERTIFIED and event is not None
    return ServedWindow(
        WindowHeader.from_json(members.take("header")),
        members.hex("header_signature", size=bls.SIGNATURE_BYTES),
        Certificate.from_json(event) if is_certified else None,
        Members({"position": position}, "the window").integer("position") if is_certified else None,
    )
