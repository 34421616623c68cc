"""What the proof of a window states: its commitments, or also that readings are within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dragon.protocol.claims.window import Statement
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.window import HeaderClaim, WindowHeader

_STATEMENTS: Final[Mapping[HeaderClaim | None, Statement | None]] = {
    HeaderClaim.READINGS: Statement.READINGS,
    HeaderClaim.NONE: Statement.BLOCKS,
    None: None,
}


def statement_of(descriptor: Descriptor, header: WindowHeader) -> Statement | None:
    """Return the member `statement` of claims about a window; None without readings."""
    return _STATEMENTS[header.claim]
