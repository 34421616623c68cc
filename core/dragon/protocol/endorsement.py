"""Endorsements: claims that one expert of the committee signs alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from dragon import errors
from dragon.encoding import Json, Members, to_hex
from dragon.protocol import bls
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.committee import Committee


@dataclass(frozen=True, slots=True)
class Endorsement:
    """A claim with one expert's signature. It proves nothing until `verify` has succeeded."""

    claim: EndorsementClaim
    signature: bytes  # 96 bytes: the expert's signature on the claim's root
    committee_id: bytes

    @classmethod
    def sign(cls, claim: EndorsementClaim, secret: bls.SecretKey, committee_id: bytes) -> Self:
        """Sign a claim with the expert's secret key."""
        return cls(claim, secret.sign(claim.root(committee_id)), committee_id)

    @property
    def signers(self) -> tuple[str, ...]:
        return (self.claim.expert,)

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        return {
            **self.claim.to_json(),
            "signature": to_hex(self.signature),
            "committee": to_hex(self.committee_id),
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode an endorsement strictly. Raises InvalidEncoding."""
        members = Members(value, "the endorsement")
        members.word("kind", [EndorsementClaim.KIND])
        endorsement = cls(
            EndorsementClaim.take(members),
            members.hex("signature", size=bls.SIGNATURE_BYTES),
            members.hex("committee", size=32),
        )
        members.end()
        return endorsement

    def verify(self, committee: Committee) -> None:
        """Verify that the named expert signed this claim.

        Raises CertificateError: a subclass says what is wrong.
        """
        # (1) and (2): everything except the signature.
        key = self.check(committee)
        # (3) The signature is a point of the subgroup, and (4) the expert signed this claim.
        refusal = "the signature does not verify with the expert's key"
        bls.check_signature(key, self.claim.root(committee.id), self.signature, refusal)

    def check(self, committee: Committee) -> bls.PublicKey:
        """Check everything except the signature; return the key to verify the signature with.

        Raises WrongCommittee, UnknownSigner.
        """
        # (1) The endorsement is for this committee.
        if self.committee_id != committee.id:
            raise errors.WrongCommittee(
                "the endorsement is for another committee", committee=to_hex(self.committee_id)
            )
        # (2) The committee lists the expert. Operators are not experts.
        expert = self.claim.expert
        if expert not in committee.expert_keys:
            raise errors.UnknownSigner(f"the committee lists no expert {expert}", signer=expert)
        return committee.expert_keys[expert]
