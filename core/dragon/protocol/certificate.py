"""Certificates: a claim, the operators that signed it, and their aggregate signature.

Anyone can verify a certificate with the committee file alone. An adversary may have written
`signers`: it is checked before it is counted, and counted before any pairing is computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from dragon import errors
from dragon.encoding import Json, Members, to_hex
from dragon.protocol import bls
from dragon.protocol.claims import Claim
from dragon.protocol.claims.base import kind_named, kind_of
from dragon.protocol.committee import MAX_LISTED, Committee


@dataclass(frozen=True, slots=True)
class Certificate:
    """A claim with a quorum of signatures. It proves nothing until `verify` has succeeded."""

    claim: Claim
    signers: tuple[str, ...]
    signature: bytes  # 96 bytes: the sum of the signers' signatures on the claim's root
    public_key: bytes  # 48 bytes: the stated sum of the signers' keys
    committee_id: bytes

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        return {
            **self.claim.to_json(),
            "aggregated_signature": to_hex(self.signature),
            "aggregated_public_key": to_hex(self.public_key),
            "signers": list(self.signers),
            "committee": to_hex(self.committee_id),
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a certificate strictly.

        Raises InvalidEncoding; UnknownKind: a quorum does not sign claims of this kind.
        """
        members = Members(value, "the certificate")
        name = members.text("kind", longest=32)
        kind = kind_named(name)
        if kind is None or kind.default_quorum is None:
            raise errors.UnknownKind(f"no certificate carries a claim of kind {name!a}", kind=name)
        certificate = cls(
            kind.claim.take(members),
            members.ids("signers", most=MAX_LISTED),
            members.hex("aggregated_signature", size=bls.SIGNATURE_BYTES),
            members.hex("aggregated_public_key", size=bls.PUBLIC_KEY_BYTES),
            members.hex("committee", size=32),
        )
        members.end()
        return certificate

    def verify(self, committee: Committee) -> None:
        """Verify that a quorum of `committee` signed this claim. Cheap checks come first.

        Raises CertificateError: a subclass says what is wrong.
        """
        # (1) to (5): everything except the signature.
        key = self.check(committee)
        # (6) The signature is a point of the subgroup, and (7) the signers signed this claim.
        refusal = "the aggregate signature does not verify with the signers' keys"
        bls.check_signature(key, self.claim.root(committee.id), self.signature, refusal)

    def check(self, committee: Committee) -> bls.PublicKey:
        """Check everything except the signature; return the key to verify the signature with.

        Raises CertificateError.
        """
        # (1) The certificate is for this committee.
        if self.committee_id != committee.id:
            raise errors.WrongCommittee(
                "the certificate is for another committee", committee=to_hex(self.committee_id)
            )
        # (2) The claim follows the rules of its kind.
        kind = kind_of(self.claim)
        kind.check(self.claim, committee)
        for signer in self.signers:
            if not kind.may_sign(self.claim, signer):
                raise errors.SubjectSigned(
                    f"{signer} may not sign the claim that it is down itself"
                )
        # (3) All signers are operators, each is listed once, and they are sorted.
        check_signers(self.signers, committee)
        # (4) The signers are a quorum.
        if len(self.signers) < (needed := quorum(self.claim, committee)):
            raise errors.QuorumNotMet(signers=len(self.signers), needed=needed)
        # (5) The stated key is the sum of the signers' keys.
        return checked_sum(self.signers, self.public_key, committee)


def check_signers(signers: Sequence[str], committee: Committee) -> None:
    """Check that all signers are operators, each listed once, in ascending order.

    Raises UnknownSigner, DuplicateSigner, UnsortedSigners.
    """
    for signer in signers:
        if signer not in committee.keys:
            raise errors.UnknownSigner(f"{signer} is no operator of the committee", signer=signer)
    if len(set(signers)) < len(signers):
        twice = next(name for name in signers if signers.count(name) > 1)
        raise errors.DuplicateSigner(f"signer {twice} is listed twice", signer=twice)
    if list(signers) != sorted(signers):
        raise errors.UnsortedSigners("the signers are not in ascending order")


def checked_sum(signers: Sequence[str], stated: bytes, committee: Committee) -> bls.PublicKey:
    """Return the sum of the signers' keys, which must be the stated one (48 bytes).

    Raises WrongAggregateKey.
    """
    try:
        key = bls.aggregate_keys(committee.keys[signer] for signer in signers)
    except errors.InvalidPoint as error:
        # Members may have chosen keys that cancel out; no signature is valid for such a sum.
        raise errors.WrongAggregateKey(str(error)) from None
    if key.raw != stated:
        raise errors.WrongAggregateKey("the stated key is not the sum of the signers' keys")
    return key


def quorum(claim: Claim, committee: Committee) -> int:
    """Return the number of signatures that a certificate of this claim needs."""
    kind = kind_of(claim)
    return committee.quorum(kind.quorum_rule, kind.default_quorum)


def assemble(claim: Claim, attestations: Mapping[str, bytes], committee: Committee) -> Certificate:
    """Combine attestations into a certificate, which is not verified.

    Args:
        claim: the claim that the operators signed.
        attestations: operator id → signature (96 bytes) on the claim's root.

    Raises:
        UnknownSigner: a signer is no operator of the committee.
        InvalidPoint: a signature is no valid point, or the sum of the keys is infinity.
    """
    for signer in attestations:
        if signer not in committee.keys:
            raise errors.UnknownSigner(f"{signer} is no operator of the committee", signer=signer)
    signers = tuple(sorted(attestations))
    return Certificate(
        claim,
        signers,
        bls.aggregate_signatures(attestations[signer] for signer in signers),
        bls.aggregate_keys(committee.keys[signer] for signer in signers).raw,
        committee.id,
    )
