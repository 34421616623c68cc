"""Handover events: one committee hands over to the next, and both have signed it.

The event is a certificate of kind `handover` by the committee that holds, with one member more: the
acceptance by the next committee. Its signers must include every operator whose key is new, so
nobody is seated without having shown a working key and this very log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TypeAlias, cast

from dragon import errors
from dragon.encoding import Json, Members, to_hex
from dragon.protocol import bls
from dragon.protocol.certificate import Certificate, check_signers, checked_sum
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.committee import MAX_LISTED, Committee


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The signatures of the next committee. They prove nothing until they are verified."""

    signers: tuple[str, ...]
    signature: bytes  # 96 bytes: the sum of the signers' signatures on the acceptance's root
    public_key: bytes  # 48 bytes: the stated sum of the signers' keys

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        return {
            "aggregated_signature": to_hex(self.signature),
            "aggregated_public_key": to_hex(self.public_key),
            "signers": list(self.signers),
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode an acceptance strictly. Raises InvalidEncoding."""
        members = Members(value, "the acceptance")
        acceptance = cls(
            members.ids("signers", most=MAX_LISTED),
            members.hex("aggregated_signature", size=bls.SIGNATURE_BYTES),
            members.hex("aggregated_public_key", size=bls.PUBLIC_KEY_BYTES),
        )
        members.end()
        return acceptance


@dataclass(frozen=True, slots=True)
class Handover:
    """A handover with the signatures of both committees."""

    certificate: Certificate
    acceptance: Acceptance

    @property
    def claim(self) -> HandoverClaim:
        return cast("HandoverClaim", self.certificate.claim)  # `from_json` takes no other

    @property
    def committee_id(self) -> bytes:
        """The id of the committee that hands over."""
        return self.certificate.committee_id

    @property
    def signers(self) -> tuple[str, ...]:
        """The operators of the committee that hands over."""
        return self.certificate.signers

    @property
    def signature(self) -> bytes:
        """The signature of the committee that hands over, 96 bytes."""
        return self.certificate.signature

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        return {**self.certificate.to_json(), "acceptance": self.acceptance.to_json()}

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a handover strictly. Raises InvalidEncoding, UnknownKind."""
        members = Members(value, "the handover")
        members.word("kind", [HandoverClaim.KIND])
        acceptance = Acceptance.from_json(members.take("acceptance"))
        stated = cast("dict[str, Json]", value)  # `Members` takes no other
        certified = {name: each for name, each in stated.items() if name != "acceptance"}
        return cls(Certificate.from_json(certified), acceptance)

    def verify(self, committee: Committee) -> None:
        """Verify the certificate of the committee that hands over. Raises CertificateError."""
        self.certificate.verify(committee)

    def check(self, committee: Committee) -> bls.PublicKey:
        """Check that certificate except its signature; return the key to verify it with.

        Raises CertificateError.
        """
        return self.certificate.check(committee)

    def verify_acceptance(self, committee: Committee, following: Committee) -> None:
        """Verify that the next committee has accepted, with everyone whose key is new.

        Args:
            committee: the committee that hands over.
            following: the committee that the claim names.

        Raises NotAccepted: the message and the fact `reason` say why.
        """
        try:
            self._check_acceptance(committee, following)
        except errors.NotAccepted:
            raise
        except errors.CertificateError as error:
            raise errors.NotAccepted(f"not accepted: {error}", reason=error.name) from None

    def _check_acceptance(self, committee: Committee, following: Committee) -> None:
        accepted = self.acceptance
        # (1) The claim names this committee and its epoch.
        if (self.claim.next, self.claim.epoch) != (following.id, following.epoch):
            raise errors.WrongCommittee("the handover names another committee")
        # (2) All signers are its operators, each listed once, and sorted.
        check_signers(accepted.signers, following)
        # (3) They are a quorum of it.
        if len(accepted.signers) < (needed := following.quorum("handover")):
            raise errors.QuorumNotMet(signers=len(accepted.signers), needed=needed)
        # (4) Everyone whose key is new has signed.
        if missing := newcomers(committee, following) - set(accepted.signers):
            message = f"{min(missing)} has a new key and has not accepted"
            raise errors.NotAccepted(message, reason="newcomer_missing", operator=min(missing))
        # (5) The stated key is the sum of their keys, and (6) they signed these members.
        key = checked_sum(accepted.signers, accepted.public_key, following)
        refusal = "the acceptance does not verify with the signers' keys"
        bls.check_signature(
            key, self.claim.acceptance.root(following.id), accepted.signature, refusal
        )


SignedMark: TypeAlias = Certificate | Handover  # a certified checkpoint, or a handover


def decode_mark(value: Json) -> SignedMark:
    """Decode a certified checkpoint or a handover. Raises InvalidEncoding, UnknownKind."""
    if isinstance(value, dict) and value.get("kind") == HandoverClaim.KIND:
        return Handover.from_json(value)
    return Certificate.from_json(value)


def newcomers(committee: Committee, following: Committee) -> set[str]:
    """Return the operators of `following` whose key is no operator's key in `committee`."""
    known = {key.raw for key in committee.keys.values()}
    return {name for name, key in following.keys.items() if key.raw not in known}


def assemble(
    certified: Certificate, acceptances: Mapping[str, bytes], following: Committee
) -> Handover:
    """Combine a certificate and the next committee's attestations. The result is not verified.

    Args:
        certified: of kind `handover`, by the committee that hands over.
        acceptances: operator id → signature (96 bytes) on the acceptance's root.

    Raises:
        UnknownSigner: a signer is no operator of the next committee.
        InvalidPoint: a signature is no valid point, or the sum of the keys is infinity.
    """
    signers = tuple(sorted(acceptances))
    check_signers(signers, following)
    return Handover(
        certified,
        Acceptance(
            signers,
            bls.aggregate_signatures(acceptances[signer] for signer in signers),
            bls.aggregate_keys(following.keys[signer] for signer in signers).raw,
        ),
    )
