"""What a verifier believes: a lineage, and the first epoch whose keys it trusts.

The keys of a committee that has handed over may be in anybody's hands. What it signed counts only
inside the log that a trusted committee vouches for: a *mark* of that log, a checkpoint or a
handover, must cover it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dragon import errors
from dragon.encoding import to_hex
from dragon.protocol import merkle
from dragon.protocol.claims.base import Claim
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.committee import Committee
from dragon.protocol.handover import Handover, SignedMark
from dragon.protocol.lineage import Lineage


class Signed(Protocol):
    """An object that operators, or one member alone, signed for a committee."""

    @property
    def claim(self) -> Claim: ...
    @property
    def committee_id(self) -> bytes: ...
    def verify(self, committee: Committee) -> None: ...


@dataclass(frozen=True, slots=True)
class Anchor:
    """A mark, and the path from an event's leaf to the root that the mark states."""

    mark: SignedMark
    position: int  # of the event in the log
    inclusion: Sequence[bytes]  # RFC 6962; sibling hashes, nearest to the leaf first


@dataclass(frozen=True, slots=True)
class Trust:
    """A verified lineage, and the epochs whose signatures need no anchor.

    A caller that sets `trust_from` says that no quorum of keys from that epoch on is in wrong
    hands.
    """

    lineage: Lineage
    trust_from: int | None = None  # None: the newest epoch only

    @classmethod
    def of(cls, known: Trust | Lineage | Committee) -> Trust:
        """Return the trust in the newest committee of a lineage, or in one committee alone."""
        if isinstance(known, Trust):
            return known
        return cls(known if isinstance(known, Lineage) else Lineage.of(known))

    @property
    def newest(self) -> Committee:
        """The newest committee that the verifier knows."""
        return self.lineage.newest

    @property
    def least_epoch(self) -> int:
        """The first epoch whose signatures need no anchor."""
        return self.newest.epoch if self.trust_from is None else self.trust_from

    def verify(
        self, signed: Signed, *, leaf_hash: bytes | None = None, anchor: Anchor | None = None
    ) -> Committee:
        """Verify a signed object. Returns the committee that it was signed for.

        Args:
            leaf_hash: of the event's leaf in the log, 32 bytes; None for what is no event.
            anchor: a mark of the log that covers the event, if the caller has one.

        Raises:
            WrongCommittee: the object is of a committee that the lineage does not have.
            CertificateError: its signatures do not verify; a subclass says why.
            Superseded: its committee has handed over, and no trusted mark covers it.
            InvalidProof: the path does not lead to the mark's root.
        """
        committee = self.lineage.named(signed.committee_id)
        signed.verify(committee)
        if isinstance(signed, Handover):
            following = self.lineage.named(signed.claim.next)
            signed.verify_acceptance(committee, following)
            if self._is_of_lineage(signed):
                return committee
        if committee.epoch >= self.least_epoch:
            return committee
        if anchor is None or leaf_hash is None:
            raise self._superseded(committee, "and no mark that covers the object is given")
        self.verify_mark(anchor.mark, covered=committee)
        size, root = certified_log(anchor.mark)
        merkle.verify_inclusion(leaf_hash, anchor.position, size, list(anchor.inclusion), root)
        return committee

    def verify_mark(self, mark: SignedMark, *, covered: Committee | None = None) -> Committee:
        """Verify a mark, wherever it comes from: a trusted committee must vouch for it.

        A mark counts if a committee of a trusted epoch has signed it. A handover of this lineage
        counts too, of any epoch: it is compared, not verified, because later files of the
        lineage pin its log.

        Args:
            covered: the committee of the event that the mark covers. Only the same committee or a
                later one can cover it.

        Returns the committee that signed the mark.

        Raises:
            UnknownKind: the certificate is no mark.
            WrongCommittee: the lineage does not have its committee.
            CertificateError: its signatures do not verify; a subclass says why.
            Superseded: its committee has handed over, or did so before the event was signed.
        """
        certified_log(mark)
        committee = self.lineage.named(mark.committee_id)
        if covered is not None and committee.epoch < covered.epoch:
            why = f"before the event of epoch {covered.epoch} was signed"
            raise self._superseded(committee, why)
        if isinstance(mark, Handover) and self._is_of_lineage(mark):
            return committee
        mark.verify(committee)
        if committee.epoch >= self.least_epoch:
            return committee
        what = "the handover is not of this lineage"
        if not isinstance(mark, Handover):
            what = "nothing newer covers the checkpoint"
        raise self._superseded(committee, f"and {what}")

    def _is_of_lineage(self, handover: Handover) -> bool:
        pinned = self.lineage.handover_to(handover.claim.epoch)
        return pinned is not None and pinned.claim == handover.claim

    def _superseded(self, committee: Committee, why: str) -> errors.Superseded:
        message = (
            f"the committee of epoch {committee.epoch} has handed over (the newest known is of "
            f"epoch {self.newest.epoch}), {why}"
        )
        return errors.Superseded(message, epoch=committee.epoch, committee=to_hex(committee.id))


def certified_log(mark: SignedMark) -> tuple[int, bytes]:
    """Return the size and the root that a mark states.

    Raises UnknownKind: the certificate is no checkpoint.
    """
    claim = mark.claim
    if isinstance(claim, CheckpointClaim | HandoverClaim):
        return claim.size, claim.log_root
    raise errors.UnknownKind(f"a {claim.KIND} certificate is no mark of a log", kind=claim.KIND)
