"""Findings: what follows about a window from its objects alone.

`invalid` is a finding that anyone can reproduce from the same objects. It never rests on what a
voter does not know, or on what somebody other than the stream submitted. Everything else that
prevents a vote is a refusal, with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, Self

from dragon.encoding import Json, Members
from dragon.errors import AttestationRefused
from dragon.protocol.claims.window import InvalidReason, Verdict, WindowClaim
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams.chunks import ChunkHeader, tree_of
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.window import (
    WindowHeader,
    chunks_fault,
    expected_previous,
    header_fault,
    is_signed,
    outputs,
)
from dragon.stark.blocks import MAX_CHUNKS, verify_window
from dragon.stark.refusal import ProofRefused

MAX_CLOCK_LEAD_MS: Final = 2000  # by which a stream's clock may be ahead of a voter's
MAX_PROOF_BYTES: Final = 384 * 1024  # larger than any proof under a window's parameter sets


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict on a window: the first reason why it is invalid, or `none`."""

    reason: InvalidReason
    detail: str = ""  # for people; not part of any signature

    @property
    def verdict(self) -> Verdict:
        return Verdict.VALID if self.reason is InvalidReason.NONE else Verdict.INVALID

    @property
    def is_valid(self) -> bool:
        return self.reason is InvalidReason.NONE

    def claim(
        self, descriptor: Descriptor, header: WindowHeader, proof_digest: bytes, timestamp: int
    ) -> WindowClaim:
        """Return the claim that states this finding.

        Args:
            proof_digest: SHA-256 of the proof that was verified, 32 bytes.
            timestamp: Unix seconds, the start of the round in which it is signed.
        """
        return WindowClaim(
            stream=descriptor.id,
            number=header.number,
            previous=header.previous,
            header=header.hash,
            verdict=self.verdict,
            reason=self.reason,
            proof=proof_digest,
            parameters=descriptor.parameters,
            timestamp=timestamp,
        )

    def members(self) -> dict[str, Json]:
        """Return the members that state this finding in a vote."""
        return {
            "verdict": str(self.verdict),
            "reason": str(self.reason),
            "detail": self.detail,
        }

    @classmethod
    def take(cls, members: Members) -> Self | None:
        """Take a finding out of a vote; None if the vote has none yet. Raises InvalidEncoding."""
        verdict, detail = members.take("verdict"), members.take("detail")
        if verdict is None:
            return None
        reason = InvalidReason(members.word("reason", InvalidReason))
        return cls(reason, detail if isinstance(detail, str) else "")


def check_announced(
    descriptor: Descriptor,
    header: WindowHeader,
    signature: bytes,
    *,
    now_ms: int,
    committee_id: bytes,
) -> None:
    """Check whether a header is worth storing, before any of the window's objects is fetched.

    Raises AttestationRefused: `malformed`, the stream did not sign it; `clock`, its times lie in
    the future. Such a header is neither stored nor counted, and no evidence against the stream.
    """
    if descriptor.committee_id != committee_id:
        _refuse(RefusalReason.MALFORMED, "the stream belongs to another committee")
    if not is_signed(header, descriptor, signature):
        _refuse(RefusalReason.MALFORMED, "the header does not have its stream's signature")
    latest = max(header.first_received_ms, header.last_received_ms)
    if latest > now_ms + MAX_CLOCK_LEAD_MS:
        message = f"a chunk has a time of arrival {latest - now_ms} ms in the future"
        _refuse(RefusalReason.CLOCK, message)


def judge(
    descriptor: Descriptor,
    header: WindowHeader,
    signature: bytes,
    chunks: Sequence[ChunkHeader],
    proof: bytes,
    *,
    previous: WindowHeader | None,
    now_ms: int,
    committee_id: bytes,
) -> Finding:
    """Return the finding on a window: the first fault that its objects prove; cheap checks first.

    Args:
        previous: the header that this window must follow, as the voter knows it: that of the last
            window it voted on or applied, whichever is later; None where the stream begins.
        now_ms: the voter's clock, Unix milliseconds. Lateness is no fault.
        committee_id: the voter's committee.

    Raises AttestationRefused: there is no finding, for one of these reasons.
        malformed: the stream did not sign the header, or what was submitted beside it is not what
            the header names, or is too large.
        clock: a time of arrival lies more than two seconds in the future.
        behind: the header follows another window than the last one that the voter knows.
    """
    # (1) Within the sizes that a window can have.
    if len(chunks) > MAX_CHUNKS:
        _refuse(RefusalReason.MALFORMED, f"a window has at most {MAX_CHUNKS} chunks")
    if len(proof) > MAX_PROOF_BYTES:
        _refuse(RefusalReason.MALFORMED, f"a proof has at most {MAX_PROOF_BYTES} bytes")
    # (2) Signed by the stream, and not from the future.
    check_announced(descriptor, header, signature, now_ms=now_ms, committee_id=committee_id)
    # (3) After a window that we know. We cannot judge a window with an unknown predecessor.
    if header.previous != expected_previous(descriptor.id, previous):
        _refuse(RefusalReason.BEHIND, "it follows a window that is not the last one known here")
    # (4) Two headers that the stream signed prove a contradiction between them.
    if fault := header_fault(header, previous):
        return Finding(InvalidReason.HEADER, fault)
    # (5) Chunk headers that are not under the signed root prove nothing: anyone can make them.
    if tree_of(chunks).root() != header.chunks_root:
        _refuse(RefusalReason.MALFORMED, "these are not the chunk headers that the header names")
    if fault := chunks_fault(header, chunks):
        return Finding(InvalidReason.ROOT, fault)
    # (6) Commitments that a proof can be about.
    try:
        outputs(descriptor, chunks)
    except ProofRefused as refusal:
        return Finding(InvalidReason.STATEMENT, str(refusal))
    # (7) Proven under the stream's own parameters, bound to this header. The most expensive check.
    commitments = [chunk.commitment for chunk in chunks]
    try:
        verify_window(descriptor.parameters, descriptor.identity, commitments, header.hash, proof)
    except ProofRefused as refusal:
        return Finding(InvalidReason.STARK, f"{refusal} ({refusal.reason})")
    return Finding(InvalidReason.NONE)


def _refuse(reason: RefusalReason, message: str) -> NoReturn:
    raise AttestationRefused(reason, message)
