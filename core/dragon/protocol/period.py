"""The report that a period certificate covers, and the files that prove it or one leaf of it.

A leaf states the seconds of one node. The leaves, in ascending order of ids, form a Merkle tree
(RFC 6962), and the certificate states its root and the number of leaves. So one signature covers
all nodes, and a file of about 2 KB proves the seconds of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Final, Self

from dragon import errors
from dragon.encoding import Json, Members, canonical, from_hex, to_hex
from dragon.protocol import merkle
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.period import MAX_PERIOD_NODES, MAX_PERIOD_SECONDS, PeriodClaim
from dragon.protocol.committee import Committee
from dragon.protocol.lineage import Lineage
from dragon.protocol.shape import Id, Integer, Shape
from dragon.protocol.trust import Trust

MAX_LEAF_PATH: Final = (MAX_PERIOD_NODES - 1).bit_length()  # hashes in a proof
MAX_PERIOD_FILE_BYTES: Final = 4 << 20  # of a report; 8,192 leaves have 1.2 MB


def _seconds_left(leaf: Mapping[str, int]) -> int:
    return MAX_PERIOD_SECONDS - leaf["seconds_down"]


@dataclass(frozen=True, slots=True)
class PeriodLeaf(Shape):
    """The seconds of a period in which one node was down, in maintenance, and unknown."""

    node_id: Annotated[str, Id()]
    seconds_down: Annotated[int, Integer(most=MAX_PERIOD_SECONDS)]
    # Announced as maintenance; a part of `seconds_down`.
    seconds_maintenance: Annotated[int, Integer(most=lambda leaf: leaf["seconds_down"])]
    seconds_unknown: Annotated[int, Integer(most=_seconds_left)]

    @property
    def hash(self) -> bytes:
        """The hash of the leaf in the report's tree, 32 bytes."""
        return merkle.leaf_hash(canonical(self.members()))

    def seconds_up(self, claim: PeriodClaim) -> int:
        """Return the seconds of the period in which the node was certified up."""
        return claim.seconds - self.seconds_down - self.seconds_unknown

    def downtime(self, claim: PeriodClaim) -> DowntimeClaim:
        """Return the downtime claim that says the same about this node."""
        seconds = self.seconds_down, self.seconds_maintenance, self.seconds_unknown
        interval = claim.begin, claim.end
        return DowntimeClaim(self.node_id, *interval, *seconds, claim.size, claim.log_root)

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a leaf strictly. Raises InvalidEncoding."""
        members = Members(value, "the leaf")
        leaf = cls.take(members)
        members.end()
        return leaf


def report_tree(leaves: Sequence[PeriodLeaf]) -> merkle.Tree:
    """Return the tree of a report. Its leaves are in ascending order of ids."""
    return merkle.Tree(leaf.hash for leaf in leaves)


@dataclass(frozen=True, slots=True)
class PeriodReport:
    """A period certificate with all leaves, as `POST /period-certificates` returns it.

    It proves nothing until `verify` has succeeded.
    """

    certificate: Certificate
    claim: PeriodClaim  # of the certificate
    leaves: tuple[PeriodLeaf, ...]

    @classmethod
    def of(cls, certificate: Certificate, leaves: Sequence[PeriodLeaf]) -> Self:
        """Combine a certificate and its leaves. Raises UnknownKind: it certifies no period."""
        return cls(certificate, _period_claim(certificate), tuple(leaves))

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        return {
            "certificate": self.certificate.to_json(),
            "leaves": [leaf.members() for leaf in self.leaves],
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a report strictly.

        Raises InvalidEncoding; UnsortedNodes: the ids do not ascend; UnknownKind: the certificate
        is not about a period.
        """
        members = Members(value, "the period report")
        certificate = Certificate.from_json(members.take("certificate"))
        listed = members.list("leaves", most=MAX_PERIOD_NODES)
        members.end()
        report = cls.of(certificate, [PeriodLeaf.from_json(each) for each in listed])
        for leaf in report.leaves:
            _check_seconds(leaf, report.claim)
        for one, other in pairwise(report.leaves):
            if one.node_id >= other.node_id:
                message = f"the leaves must be in ascending order: {other.node_id} is misplaced"
                raise errors.UnsortedNodes(message, node_id=other.node_id)
        return report

    def verify(self, known: Trust | Lineage | Committee) -> Committee:
        """Verify that a quorum signed exactly these leaves.

        Args:
            known: a verified lineage, or one committee; see `dragon.protocol.trust`.

        Returns the committee that the certificate was signed for.

        Raises:
            InvalidProof: these are not the leaves of the certified report.
            CertificateError: the certificate does not verify; a subclass says why.
        """
        self.check_leaves()
        return Trust.of(known).verify(self.certificate)

    def check_leaves(self) -> None:
        """Check that the leaves are those that the certificate names. It is not verified.

        Raises InvalidProof.
        """
        if len(self.leaves) != self.claim.nodes:
            message = f"the report has {self.claim.nodes} leaves, not {len(self.leaves)}"
            raise errors.InvalidProof(message)
        if report_tree(self.leaves).root() != self.claim.report:
            raise errors.InvalidProof("the leaves are not those of the certified report")

    def leaf(self, node_id: str) -> PeriodLeaf:
        """Return a node's leaf. Raises UnknownNode: the report has none."""
        return self.leaves[self._index(node_id)]

    def prove(self, node_id: str) -> ProvenLeaf:
        """Return a node's leaf with its proof. Raises UnknownNode: the report has no such leaf."""
        index = self._index(node_id)
        path = tuple(report_tree(self.leaves).inclusion(index))
        return ProvenLeaf(self.certificate, self.claim, self.leaves[index], index, path)

    def _index(self, node_id: str) -> int:
        for index, leaf in enumerate(self.leaves):
            if leaf.node_id == node_id:
                return index
        message = f"no committee has listed {node_id} in the period of the report"
        raise errors.UnknownNode(message, node_id=node_id)


@dataclass(frozen=True, slots=True)
class ProvenLeaf:
    """One leaf of a report, with the certificate and the path from the leaf to the report's root.

    It proves nothing until `verify` has succeeded.
    """

    certificate: Certificate
    claim: PeriodClaim  # of the certificate
    leaf: PeriodLeaf
    index: int  # of the leaf, from 0
    path: tuple[bytes, ...]  # RFC 6962; sibling hashes, nearest to the leaf first

    def to_json(self) -> dict[str, Json]:
        """Return the published form."""
        return {
            "certificate": self.certificate.to_json(),
            "leaf": self.leaf.members(),
            "index": self.index,
            "path": [to_hex(sibling) for sibling in self.path],
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Decode a proven leaf strictly.

        Raises InvalidEncoding; UnknownKind: the certificate is not about a period.
        """
        members = Members(value, "the proof of a leaf")
        certificate = Certificate.from_json(members.take("certificate"))
        leaf = PeriodLeaf.from_json(members.take("leaf"))
        index = members.integer("index", most=MAX_PERIOD_NODES - 1)
        path = members.list("path", most=MAX_LEAF_PATH)
        members.end()
        claim = _period_claim(certificate)
        _check_seconds(leaf, claim)
        hashes = tuple(from_hex(each, member="path", size=merkle.HASH_BYTES) for each in path)
        return cls(certificate, claim, leaf, index, hashes)

    def verify(self, known: Trust | Lineage | Committee) -> Committee:
        """Verify that a quorum signed a report with this leaf.

        Args:
            known: a verified lineage, or one committee; see `dragon.protocol.trust`.

        Returns the committee that the certificate was signed for.

        Raises:
            InvalidProof: the path does not lead from the leaf to the certified report.
            CertificateError: the certificate does not verify; a subclass says why.
        """
        claim = self.claim
        merkle.verify_inclusion(self.leaf.hash, self.index, claim.nodes, self.path, claim.report)
        return Trust.of(known).verify(self.certificate)


def _period_claim(certificate: Certificate) -> PeriodClaim:
    if isinstance(claim := certificate.claim, PeriodClaim):
        return claim
    message = f"a {certificate.claim.KIND} certificate is no period certificate"
    raise errors.UnknownKind(message, kind=certificate.claim.KIND)


def _check_seconds(leaf: PeriodLeaf, claim: PeriodClaim) -> None:
    if leaf.seconds_up(claim) < 0:
        message = f"the leaf of {leaf.node_id} has more than the {claim.seconds} s of the period"
        raise errors.IntegerOutOfRange(message, member="seconds_down", node_id=leaf.node_id)
