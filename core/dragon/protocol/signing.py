"""The 32-byte root of a statement: the message that is signed.

A root is SHA-256 over a domain that names the kind, an id and the statement's canonical JSON.
Different statements have different roots, and a signature for one kind or id is not valid for
another. The id is that of the committee, or that of the network for statements that hold across
handovers.
"""

from __future__ import annotations

import hashlib

from dragon.encoding import Json, canonical


def root(kind: str, bound_to: bytes, members: dict[str, Json]) -> bytes:
    """Return the 32 bytes that are signed for a statement of `kind` with these members.

    Args:
        bound_to: id of the committee or of the network, 32 bytes.
    """
    domain = f"datadragon/{kind}/v1".encode() + b"\x00"
    return hashlib.sha256(domain + bound_to + canonical(members)).digest()
