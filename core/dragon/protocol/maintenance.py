"""Announcements of maintenance: claims that the speaker of a node signs alone.

The speaker of an operator is the operator itself. The speaker of a target is its owner.
"""

from __future__ import annotations

from typing import ClassVar

from dragon.protocol.claims.maintenance import MaintenanceClaim
from dragon.protocol.committee import Committee
from dragon.protocol.single_signer import SingleSigned


class Maintenance(SingleSigned[MaintenanceClaim]):
    """A window of maintenance with the signature of the node's speaker."""

    __slots__ = ()
    SHAPE: ClassVar[type[MaintenanceClaim]] = MaintenanceClaim
    WHAT: ClassVar[str] = "the announcement"

    @property
    def signers(self) -> tuple[str, ...]:
        """Nothing: the claim names no signer. `signer_in` knows the speaker of the node."""
        return ()

    def signer_in(self, committee: Committee) -> str:
        """Return the id of the node's speaker. Raises UnknownNode, NoOwner."""
        return committee.speaker(self.claim.node_id)
