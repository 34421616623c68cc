"""Certificates: a claim, who signed it, and one aggregate signature that meets the quorum.

Anyone can verify one with the committee file alone. `signers` is data from an adversary: it is
checked before it is counted, and counted before any pairing.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """What a quorum signed. Holding one proves nothing before `verify` has returned."""

    claim: Claim
    signers: tuple[str, ...]
    signature: bytes  # 96 bytes: the sum of the signers' signatures on the claim's root
    public_key: bytes  # 48 bytes: the sum of the signers' keys, as stated
    committee_id: bytes

    def to_json(self) -> dict[str, Json]:
        """The published form, exactly these members."""
        return {
            **self.claim.to_json(),
            "aggregated_signature": to_hex(self.signature),
            "aggregated_public_key": to_hex(self.public_key),
            "signers": list(self.signers),
            "committee": to_hex(self.committee_id),
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Strict decoding. Raises InvalidEncoding, or UnknownKind for another kind of claim."""
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
        """Return quietly if a quorum of `committee` signed exactly this claim.

        Strict decoding came before; the order is cheap before dear, one named refusal each.

        Raises:
            CertificateError: the leaf that says what is wrong.
        """
        # (1) to (5): everything but the signature.
        key = self.check(committee)
        # (6) A point of the subgroup, and (7) they signed this claim and no other.
        refusal = "the aggregate does not verify under its signers' keys"
        bls.check_signature(key, self.claim.root(committee.id), self.signature, refusal)

    def check(self, committee: Committee) -> bls.PublicKey:
        """The stages before the signature; the key under which it remains to be verified.

        Raises CertificateError.
        """
        # (1) Made for this committee.
        if self.committee_id != committee.id:
            raise errors.WrongCommittee(
                "the certificate is another committee's", committee=to_hex(self.committee_id)
            )
        # (2) The rules of the claim's kind.
        kind = kind_of(self.claim)
        kind.check(self.claim, committee)
        for signer in self.signers:
            if not kind.may_sign(self.claim, signer):
                raise errors.SubjectSigned(f"{signer} signed that it is down itself")
        # (3) Signers known, listed once, in order. A stranger must not ride along unchecked.
        self._check_signers(committee)
        # (4) Enough of them.
        if len(self.signers) < (needed := quorum(self.claim, committee)):
            raise errors.QuorumNotMet(signers=len(self.signers), needed=needed)
        # (5) The stated key is their sum.
        key = self._sum_of_keys(committee)
        if key.raw != self.public_key:
            raise errors.WrongAggregateKey("the stated key is not the sum of the signers' keys")
        return key

    def _sum_of_keys(self, committee: Committee) -> bls.PublicKey:
        try:
            return bls.aggregate_keys(committee.keys[signer] for signer in self.signers)
        except errors.InvalidPoint as error:
            # Two members may have made keys that cancel out; nobody can sign for such a sum.
            raise errors.WrongAggregateKey(str(error)) from None

    def _check_signers(self, committee: Committee) -> None:
        for signer in self.signers:
            if signer not in committee.keys:
                raise errors.UnknownSigner(f"{signer} is not in the committee", signer=signer)
        if len(set(self.signers)) < len(self.signers):
            twice = next(name for name in self.signers if self.signers.count(name) > 1)
            raise errors.DuplicateSigner(f"{twice} is listed twice", signer=twice)
        if list(self.signers) != sorted(self.signers):
            raise errors.UnsortedSigners("the signers are not in ascending order")


def quorum(claim: Claim, committee: Committee) -> int:
    """Return how many signatures a certificate of this claim needs."""
    return committee.quorum(claim.KIND, kind_of(claim).default_quorum)


def assemble(claim: Claim, attestations: Mapping[str, bytes], committee: Committee) -> Certificate:
    """Put attestations together. Promises no validity: `verify` decides.

    Args:
        claim: what they signed.
        attestations: operator id → signature (96 bytes) on the claim's root.

    Raises:
        UnknownSigner: somebody outside the committee.
        InvalidPoint: a signature is no point, or the keys add up to infinity.
    """
    for signer in attestations:
        if signer not in committee.keys:
            raise errors.UnknownSigner(f"{signer} is not in the committee", signer=signer)
    signers = tuple(sorted(attestations))
    return Certificate(
        claim,
        signers,
        bls.aggregate_signatures(attestations[signer] for signer in signers),
        bls.aggregate_keys(committee.keys[signer] for signer in signers).raw,
        committee.id,
    )
