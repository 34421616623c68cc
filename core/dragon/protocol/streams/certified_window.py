"""Windows with certificate and place in the log, as stream reports and spot checks hold them.

A report proves many windows with one mark. The checks of one window are here, and both kinds of
document raise their own error with the same reasons.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Never, Self, TypeAlias

from dragon import errors
from dragon.encoding import Json, Members, from_hex, to_hex
from dragon.protocol import bls, event, merkle
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.window import Verdict, WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.handover import SignedMark
from dragon.protocol.lineage import Lineage
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.statements import statement_of
from dragon.protocol.streams.window import WindowHeader, is_signed
from dragon.protocol.streams.window_readings import readings_header_fault
from dragon.protocol.trust import Trust, certified_log

Refused: TypeAlias = type[errors.StreamReportRefused] | type[errors.SpotCheckRefused]


class ReportReason(enum.StrEnum):
    """Why a report or a spot check is refused: the first check that failed."""

    # The descriptor is that of another stream than the expected one.
    OTHER_STREAM = "other_stream"
    # The stream belongs to another network.
    OTHER_NETWORK = "other_network"
    # The certified mark of the log does not verify.
    MARK = "mark"
    # The committee of the mark has handed over, or did so before a window was certified.
    SUPERSEDED = "superseded"
    # The file ends before its last window, or goes on behind it.
    INCOMPLETE = "incomplete"
    # A window does not follow the one before: a number, a hash, a chunk or a time is wrong.
    GAP = "gap"
    # The windows are not exactly those of the period.
    PERIOD = "period"
    # The header does not have the members that the stream's readings require.
    HEADER = "header"
    # The event is not a verdict of the operators on this window, or they found it invalid.
    EVENT = "event"
    # The event states another proof than the header claims, such as blocks for readings.
    STATEMENT = "statement"
    # The operators verified the proof under other parameters than those of the stream.
    PARAMETERS = "parameters"
    # The window header does not have the stream's signature.
    SIGNATURE = "signature"
    # The certificate of the votes does not verify.
    VOTES = "votes"
    # The event is not at its stated position of the certified log.
    INCLUSION = "inclusion"
    # The header claims readings within bounds, and the descriptor gives no possible bounds.
    BOUNDS = "bounds"
    # The report promises proofs, and a window lacks its chunk headers or its proof.
    NO_PROOF = "no_proof"
    # The chunk headers do not have the root in the window header, or contradict it.
    CHUNKS = "chunks"
    # The proof is another one than the operators voted on.
    OTHER_PROOF = "other_proof"
    # The proof does not prove the statement of the window.
    PROOF = "proof"


@dataclass(frozen=True, slots=True)
class CertifiedWindow:
    """A window header, its event, and the event's place in a log. Nothing of it is verified."""

    header: WindowHeader
    signature: bytes  # of the header, 96 bytes
    event: Certificate
    position: int
    ledger_index: int
    inclusion: tuple[bytes, ...]  # in the log of the document's mark

    @property
    def claim(self) -> WindowClaim | None:
        """The claim that the operators signed; None if the event is not about a window."""
        claim = self.event.claim
        return claim if isinstance(claim, WindowClaim) else None

    def members(self) -> dict[str, Json]:
        """Return the published form."""
        return {
            "header": self.header.members(),
            "header_signature": to_hex(self.signature),
            "event": self.event.to_json(),
            "position": self.position,
            "ledger_index": self.ledger_index,
            "inclusion": [to_hex(each) for each in self.inclusion],
        }

    @classmethod
    def take(cls, members: Members) -> Self:
        """Take the members out of a larger object. Raises InvalidEncoding, UnknownKind."""
        return cls(
            WindowHeader.from_json(members.take("header")),
            members.hex("header_signature", size=bls.SIGNATURE_BYTES),
            Certificate.from_json(members.take("event")),
            members.integer("position"),
            members.integer("ledger_index"),
            take_path(members, "inclusion"),
        )


@dataclass(frozen=True, slots=True)
class CertifiedLog:
    """A verified size and root of the log, and the committee that vouches for it."""

    size: int
    root: bytes
    committee: Committee
    lineage: Lineage

    @classmethod
    def of(cls, mark: SignedMark, trust: Trust, refused: Refused) -> Self:
        """Verify a mark of the log. Raises `refused` (mark, superseded)."""
        try:
            size, root = certified_log(mark)
            committee = trust.verify_mark(mark)
        except errors.Superseded as error:
            raise refused(ReportReason.SUPERSEDED, f"the mark proves nothing: {error}") from None
        except errors.CertificateError as error:
            message = f"the mark of the log is invalid: {error} ({error.name})"
            raise refused(ReportReason.MARK, message) from None
        return cls(size, root, committee, trust.lineage)


def check_stream(descriptor: Descriptor, expected: bytes, trust: Trust, refused: Refused) -> None:
    """Check that a document is about the expected stream.

    Args:
        expected: the stream's id. The name in a descriptor is self-chosen.

    Raises `refused` (other_stream, other_network).
    """
    if descriptor.id != expected:
        message = f"the document is about stream {to_hex(descriptor.id)}, not {to_hex(expected)}"
        raise refused(ReportReason.OTHER_STREAM, message)
    if descriptor.network_id != trust.lineage.network_id:
        raise refused(ReportReason.OTHER_NETWORK, "the stream belongs to another network")


def take_path(members: Members, name: str) -> tuple[bytes, ...]:
    """Take a Merkle path. Raises InvalidEncoding."""
    path = members.list(name, most=merkle.MAX_PATH)
    return tuple(from_hex(each, member=name, size=merkle.HASH_BYTES) for each in path)


@dataclass(frozen=True, slots=True)
class WindowChecks:
    """The checks of windows of one stream under one certified log.

    `refused` is the error that a failed check raises, with a `ReportReason` and the fact `window`.
    """

    descriptor: Descriptor
    log: CertifiedLog
    refused: Refused

    def check(self, window: CertifiedWindow, inclusion: Sequence[bytes]) -> WindowClaim:
        """Check that a quorum found this window of the stream valid, and that the log has it.

        Args: `inclusion`, the whole path from the window's event to the root of the log.

        Returns what the operators signed.
        """
        # (1) The event is a verdict on this very header, and says valid.
        claim = self._check_event(window)
        if why := readings_header_fault(self.descriptor.readings, window.header, None):
            self._refuse(ReportReason.HEADER, why, window.header)
        # (2) It states what the header claims, under the stream's parameters.
        self._check_statement(window.header, claim)
        # (3) The stream's owner signed the header.
        if not is_signed(window.header, self.descriptor, window.signature):
            message = "the header does not have the stream's signature"
            self._refuse(ReportReason.SIGNATURE, message, window.header)
        # (4) A quorum of a committee signed the event, and (5) the log has it.
        self._check_votes(window)
        self._check_inclusion(window, inclusion)
        return claim

    def _check_event(self, window: CertifiedWindow) -> WindowClaim:
        header, claim = window.header, window.claim
        if claim is None:
            self._refuse(ReportReason.EVENT, "the event is not about a window", header)
        named = claim.stream, claim.number, claim.previous, claim.header
        if named != (self.descriptor.id, header.number, header.previous, header.hash):
            self._refuse(ReportReason.EVENT, "the event is about another window", header)
        if claim.verdict is not Verdict.VALID:
            message = f"the operators found the window invalid ({claim.reason})"
            self._refuse(ReportReason.EVENT, message, header)
        return claim

    def _check_statement(self, header: WindowHeader, claim: WindowClaim) -> None:
        if claim.statement != (required := statement_of(self.descriptor, header)):
            message = f"the event states {claim.statement or 'nothing'}, the header {required}"
            self._refuse(ReportReason.STATEMENT, message, header)
        if claim.parameters != self.descriptor.parameters:
            stated = self.descriptor.parameters
            message = f"the operators verified with {claim.parameters}, and the stream has {stated}"
            self._refuse(ReportReason.PARAMETERS, message, header)

    def _check_votes(self, window: CertifiedWindow) -> None:
        header = window.header
        try:
            committee = self.log.lineage.named(window.event.committee_id)
            window.event.verify(committee)
        except errors.CertificateError as error:
            message = f"the certificate of the votes is invalid: {error} ({error.name})"
            self._refuse(ReportReason.VOTES, message, header)
        if committee.epoch > (epoch := self.log.committee.epoch):
            message = (
                f"the committee of epoch {epoch} vouches for the log, and had handed over before "
                f"that of epoch {committee.epoch} found the window valid"
            )
            self._refuse(ReportReason.SUPERSEDED, message, header)

    def _check_inclusion(self, window: CertifiedWindow, inclusion: Sequence[bytes]) -> None:
        hashed = merkle.leaf_hash(event.leaf(window.event, window.ledger_index))
        size, root = self.log.size, self.log.root
        try:
            merkle.verify_inclusion(hashed, window.position, size, inclusion, root)
        except errors.InvalidProof as error:
            message = f"the event is not entry {window.position} of the certified log: {error}"
            self._refuse(ReportReason.INCLUSION, message, window.header)

    def _refuse(self, reason: ReportReason, message: str, header: WindowHeader) -> Never:
        raise self.refused(reason, f"window {header.number}: {message}", window=header.number)
