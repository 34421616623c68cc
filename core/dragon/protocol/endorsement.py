"""Endorsements: claims that one expert of the committee signs alone."""

from __future__ import annotations

from typing import ClassVar

from dragon import errors
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.committee import Committee
from dragon.protocol.single_signer import SingleSigned


class Endorsement(SingleSigned[EndorsementClaim]):
    """A verdict on windows with one expert's signature."""

    __slots__ = ()
    SHAPE: ClassVar[type[EndorsementClaim]] = EndorsementClaim
    WHAT: ClassVar[str] = "the endorsement"

    @property
    def signers(self) -> tuple[str, ...]:
        return (self.claim.expert,)

    def signer_in(self, committee: Committee) -> str:
        """Return the expert's id. Raises UnknownSigner: operators and owners are not experts."""
        expert = self.claim.expert
        if expert not in committee.expert_keys:
            raise errors.UnknownSigner(f"the committee lists no expert {expert}", signer=expert)
        return expert
