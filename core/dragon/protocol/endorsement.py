"""Endorsements: what one expert of the committee signs alone, as it stands on the ledger."""

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
    """A claim under one named key. Holding one proves nothing before `verify` has returned."""

    claim: EndorsementClaim
    signature: bytes  # 96 bytes, the expert's on the claim's root
    committee_id: bytes

    @classmethod
    def sign(cls, claim: EndorsementClaim, secret: bls.SecretKey, committee_id: bytes) -> Self:
        return cls(claim, secret.sign(claim.root(committee_id)), committee_id)

    @property
    def signers(self) -> tuple[str, ...]:
        return (self.claim.expert,)

    def to_json(self) -> dict[str, Json]:
        """The published form, exactly these members."""
        return {
            **self.claim.to_json(),
            "signature": to_hex(self.signature),
            "committee": to_hex(self.committee_id),
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Strict decoding. Raises InvalidEncoding."""
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
        """Return quietly if the expert that is named signed exactly this claim.

        Raises CertificateError: the leaf that says what is wrong.
        """
        # (1) and (2): everything but the signature.
        key = self.check(committee)
        # (3) A point of the subgroup, and (4) the expert signed this and nothing else.
        refusal = "the signature does not verify under the expert's key"
        bls.check_signature(key, self.claim.root(committee.id), self.signature, refusal)

    def check(self, committee: Committee) -> bls.PublicKey:
        """The stages before the signature; the key under which it remains to be verified.

        Raises WrongCommittee, UnknownSigner.
        """
        # (1) Made for this committee.
        if self.committee_id != committee.id:
            raise errors.WrongCommittee(
                "the endorsement is for another committee", committee=to_hex(self.committee_id)
            )
        # (2) By an expert whom it lists. An operator's key is none.
        expert = self.claim.expert
        if expert not in committee.expert_keys:
            raise errors.UnknownSigner(f"the committee lists no expert {expert}", signer=expert)
        return committee.expert_keys[expert]
