"""Claims: the statements that operators sign, one module per kind.

`base` defines what the kinds have in common, and imports the module of a kind when it is needed.
"""

from __future__ import annotations

from dragon.encoding import Json, Members
from dragon.protocol.claims.base import Claim, kinds
from dragon.protocol.claims.handover import AcceptanceClaim

__all__ = ["Claim", "from_json"]


def from_json(value: Json) -> Claim:
    """Decode a claim that a quorum signs, in the form of `POST /attestations`.

    The object has the claim's members and `kind`. Raises InvalidEncoding.
    """
    members = Members(value, "the claim")
    shapes: dict[str, type[Claim]] = {
        kind.name: kind.claim for kind in kinds() if kind.default_quorum is not None
    }
    # The next committee signs a handover as an acceptance, which never stands alone.
    shapes[AcceptanceClaim.KIND] = AcceptanceClaim
    claim = shapes[members.word("kind", shapes)].take(members)
    members.end()
    return claim
