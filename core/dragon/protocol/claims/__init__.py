"""Claims: the statements that operators sign, one module per kind.

Importing this package registers all kinds. `base` defines what the kinds have in common.
"""

from __future__ import annotations

from dragon.encoding import Json, Members
from dragon.protocol.claims import checkpoint, downtime, endorsement, handover, status, window
from dragon.protocol.claims.base import Claim, kinds

__all__ = [
    "Claim",
    "checkpoint",
    "downtime",
    "endorsement",
    "from_json",
    "handover",
    "status",
    "window",
]


def from_json(value: Json) -> Claim:
    """Decode a claim that a quorum signs, in the form of `POST /attestations`.

    The object has the claim's members and `kind`. Raises InvalidEncoding.
    """
    members = Members(value, "the claim")
    certified = {kind.name: kind for kind in kinds() if kind.default_quorum is not None}
    claim: Claim = certified[members.word("kind", certified)].claim.take(members)
    members.end()
    return claim
