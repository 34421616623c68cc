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
from dragon.protocol import merkle
from dragon.protocol.claims.base import Claim
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.committee import Committee
from dragon.protocol.handover import Handover, SignedMark
from dragon.protocol.lineage import Lineage


class Signed(Protocol):
    """An object that operators, or one expert, signed for a committee."""

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
    def least_epoch(self) -> int:
        """The first epoch whose signatures need no anchor."""
        newest = self.lineage.newest.epoch
        return newest if self.trust_from is None else self.trust_from

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
        if committee.epoch >= self.least_epoch:
            return committee
        if anchor is None or leaf_hash is None:
            raise self._superseded(committee, "and no mark that covers it is at hand")
        self._check_mark(anchor.mark, committee)
        size, root = certified_log(anchor.mark)
        merkle.verify_inclusion(leaf_hash, anchor.position, size, list(anchor.inclusion), root)
        return committee

    def verify_mark(self, mark: SignedMark) -> Committee:
        """Verify a mark: a checkpoint of a trusted committee, or any handover of this lineage.

        Returns the committee that signed it. Raises CertificateError; Superseded.
        """
        committee = self.lineage.named(mark.committee_id)
        self._check_mark(mark, committee)
        return committee

    def _check_mark(self, mark: SignedMark, committee: Committee) -> None:
        """Check that a mark counts, wherever it comes from. Raises CertificateError."""
        if isinstance(mark, Handover):
            # Compared, not verified: later files of the lineage pin its size and root.
            stated = self.lineage.handover_to(mark.claim.epoch)
            if stated is None or certified_log(stated) != certified_log(mark):
                raise self._superseded(committee, "and the handover is not of this lineage")
            return
        signer = self.lineage.named(mark.committee_id)
        certified_log(mark)
        mark.verify(signer)
        if signer.epoch < self.least_epoch:
            raise self._superseded(committee, f"and the checkpoint is of epoch {signer.epoch} too")

    def _superseded(self, committee: Committee, why: str) -> errors.Superseded:
        message = (
            f"the committee of epoch {committee.epoch} has handed over, up to epoch "
            f"{self.lineage.newest.epoch}, {why}"
        )
        return errors.Superseded(message, epoch=committee.epoch)


def certified_log(mark: SignedMark) -> tuple[int, bytes]:
    """Return the size and the root that a mark states.

    Raises UnknownKind: the certificate is no checkpoint.
    """
    claim = mark.claim
    if isinstance(claim, CheckpointClaim | HandoverClaim):
        return claim.size, claim.log_root
    raise errors.UnknownKind(f"a {claim.KIND} certificate is no mark of a log", kind=claim.KIND)
