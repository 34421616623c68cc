"""The 32-byte root of a statement: the message that is signed.

A root is SHA-256 over a domain that names the kind, the committee's id and the statement's
canonical JSON. Different statements have different roots, and a signature for one kind or committee
is not valid for another.
"""

from __future__ import annotations

import hashlib

from dragon.encoding import Json, canonical


def root(kind: str, committee_id: bytes, members: dict[str, Json]) -> bytes:
    """Return the 32 bytes that are signed for a statement of `kind` with these members."""
    domain = f"datadragon/{kind}/v1".encode() + b"\x00"
    return hashlib.sha256(domain + committee_id + canonical(members)).digest()
