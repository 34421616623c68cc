"""What is signed: one 32-byte root for each statement, and none for two.

A root is SHA-256 over a domain that names the kind, the committee's id and the statement's
canonical JSON. A signature on one kind, or for one committee, never passes for another.
"""

from __future__ import annotations

import hashlib

from dragon.encoding import Json, canonical


def root(kind: str, committee_id: bytes, members: dict[str, Json]) -> bytes:
    """The 32 bytes that are signed for a claim of `kind` with these members."""
    domain = f"datadragon/{kind}/v1".encode() + b"\x00"
    return hashlib.sha256(domain + committee_id + canonical(members)).digest()
