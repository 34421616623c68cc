"""Events that one member of the committee signs alone, with a key that the committee file lists."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

from dragon import errors
from dragon.encoding import Json, Members, to_hex
from dragon.protocol import bls
from dragon.protocol.claims.base import EventClaim
from dragon.protocol.committee import Committee

C = TypeVar("C", bound=EventClaim)


@dataclass(frozen=True, slots=True)
class SingleSigned(ABC, Generic[C]):
    """A claim with one member's signature. It proves nothing until `verify` has succeeded."""

    SHAPE: ClassVar[type[Any]]  # the claim's class
    WHAT: ClassVar[str]  # the event in error messages

    claim: C
    signature: bytes  # 96 bytes: the member's signature on the claim's root
    committee_id: bytes

    @classmethod
    def sign(cls, claim: C, secret: bls.SecretKey, committee_id: bytes) -> Self:
        """Sign a claim with the member's secret key."""
        return cls(claim, secret.sign(claim.root(committee_id)), committee_id)

    @property
    @abstractmethod
    def signers(self) -> tuple[str, ...]:
        """The member that signed, if the claim names it; otherwise nothing."""

    @abstractmethod
    def signer_in(self, committee: Committee) -> str:
        """Return the id of the member that has to sign. Raises CertificateError: there is none."""

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        return {
            **self.claim.to_json(),
            "signature": to_hex(self.signature),
            "committee": to_hex(self.committee_id),
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode an event strictly. Raises InvalidEncoding."""
        members = Members(value, cls.WHAT)
        members.word("kind", [cls.SHAPE.KIND])
        event = cls(
            cls.SHAPE.take(members),
            members.hex("signature", size=bls.SIGNATURE_BYTES),
            members.hex("committee", size=32),
        )
        members.end()
        return event

    def verify(self, committee: Committee) -> None:
        """Verify that the member signed this claim.

        Raises CertificateError: a subclass says what is wrong.
        """
        # (1) and (2): everything except the signature.
        key = self.check(committee)
        # (3) The signature is a point of the subgroup, and (4) the member signed this claim.
        refusal = f"the signature does not verify with the key of {self.signer_in(committee)}"
        bls.check_signature(key, self.claim.root(committee.id), self.signature, refusal)

    def check(self, committee: Committee) -> bls.PublicKey:
        """Check everything except the signature; return the key to verify the signature with.

        Raises WrongCommittee, and what `signer_in` raises.
        """
        # (1) The event is for this committee.
        if self.committee_id != committee.id:
            raise errors.WrongCommittee(
                f"{self.WHAT} is for another committee", committee=to_hex(self.committee_id)
            )
        # (2) The committee lists the member.
        return committee.member_keys[self.signer_in(committee)]
