"""Size and security level of a proof, as a service states them. The values may be anything."""

from __future__ import annotations

from typing import Final

from dragon.protocol.streams.finding import MAX_PROOF_BYTES

MAX_SECURITY_BITS: Final = 128  # above the level of every parameter set
UNKNOWN: Final = "–"


def proof_size(value: object) -> str:
    """Return a number of bytes in kB; a dash if it is no possible size."""
    if type(value) is not int or not 0 <= value <= MAX_PROOF_BYTES:
        return UNKNOWN
    return f"{value / 1000:.1f} kB"


def security_level(value: object) -> str:
    """Return a security level; a dash if it is no possible one."""
    if type(value) is not int or not 0 <= value <= MAX_SECURITY_BITS:
        return UNKNOWN
    return f"{value} bits"
