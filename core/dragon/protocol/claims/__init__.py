"""Claims: the statements that are signed, each with exactly one canonical encoding."""

from __future__ import annotations

from typing import Final, TypeAlias

from dragon.encoding import Json, Members
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.status import StatusClaim
from dragon.protocol.claims.window import WindowClaim

Claim: TypeAlias = StatusClaim | CheckpointClaim | DowntimeClaim | WindowClaim

_CERTIFIED: Final[dict[str, type[Claim]]] = {
    claim.KIND: claim for claim in (StatusClaim, CheckpointClaim, DowntimeClaim, WindowClaim)
}


def take_certified(kind: str, members: Members) -> Claim | None:
    """A claim of a kind that certificates carry; None if they carry none of that kind."""
    claim = _CERTIFIED.get(kind)
    return claim.take(members) if claim else None


def from_json(value: Json) -> Claim:
    """A claim with its kind beside its members, as `POST /attestations` takes it.

    Raises InvalidEncoding.
    """
    members = Members(value, "the claim")
    claim = _CERTIFIED[members.word("kind", _CERTIFIED)].take(members)
    members.end()
    return claim
