"""What a look at a node found, before it becomes the result of a probe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from dragon.errors import PeerError
from dragon.node.beat_book import NewestBeat
from dragon.protocol.claims.status import Status

ANSWERED: Final = "answered"  # the reason of every look that found the node up
STATUS_CODE: Final = "status_code"  # the answer has an unexpected HTTP status
MAX_EXCERPT_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Judgement:
    """A status and its reason.

    `detail` is a short text, or the first 64 bytes that differed from what was expected. It is
    printable ASCII, and never a whole answer.
    """

    status: Status
    reason: str
    detail: str = ""
    certificate_expires: int | None = None  # Unix seconds, of the TLS certificate that was shown
    height: int | None = None  # of a `jsonrpc` target
    beat: NewestBeat | None = None  # of a `heartbeat` target

    @classmethod
    def down(cls, reason: str, detail: str = "") -> Self:
        return cls(Status.DOWN, reason, detail)

    @classmethod
    def failed(cls, error: PeerError) -> Self:
        """Return the judgement on a node without a usable answer."""
        reason = str(error.facts.get("reason", error.name))
        if reason == STATUS_CODE:
            reason = f"status_{error.facts['status']}"
        return cls.down(reason, excerpt(str(error)))


def excerpt(data: bytes | str) -> str:
    """Return the first 64 bytes in printable ASCII, everything else escaped.

    At most 256 characters.
    """
    raw = data if isinstance(data, bytes) else data.encode(errors="backslashreplace")
    return raw[:MAX_EXCERPT_BYTES].decode("latin-1").encode("unicode_escape").decode("ascii")
