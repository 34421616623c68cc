"""Findings: verdicts on a window that follow from its objects alone.

Anyone can reproduce the finding `invalid` from the same objects. It never depends on missing
knowledge of a voter, or on data that another party than the stream submitted. Everything else that
prevents a vote is a refusal with a reason.
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
from dragon.protocol.streams.statements import (
    check_statement,
    statement_of,
    verify_window_proof,
)
from dragon.protocol.streams.window import (
    WindowHeader,
    chunks_fault,
    expected_previous,
    header_fault,
    is_signed,
)
from dragon.protocol.streams.window_readings import readings_chunks_fault, readings_header_fault
from dragon.stark.blocks import MAX_CHUNKS
from dragon.stark.refusal import ProofRefused

MAX_CLOCK_LEAD_MS: Final = 2000  # a stream's clock may be ahead of a voter's by this much
MAX_PROOF_BYTES: Final = 384 * 1024  # larger than any proof under a window's parameter sets


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict on a window: the first reason why it is invalid, or `none`."""

    reason: InvalidReason
    detail: str = ""  # for people; not signed

    @property
    def verdict(self) -> Verdict:
        """Valid or invalid."""
        return Verdict.VALID if self.reason is InvalidReason.NONE else Verdict.INVALID

    @property
    def is_valid(self) -> bool:
        """Whether the window is valid."""
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
            statement=statement_of(descriptor, header),
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
    network_id: bytes,
) -> None:
    """Check whether a header is worth storing, before any of the window's objects is fetched.

    Raises AttestationRefused: `malformed`, the stream did not sign it; `clock`, its times are in
    the future. Such a header is not stored, and is no evidence against the stream.
    """
    if descriptor.network_id != network_id:
        _refuse(RefusalReason.MALFORMED, "the stream belongs to another network")
    if not is_signed(header, descriptor, signature):
        _refuse(RefusalReason.MALFORMED, "the header does not have its stream's signature")
    latest = max(header.first_received_ms, header.last_received_ms)
    if latest > now_ms + MAX_CLOCK_LEAD_MS:
        message = f"a chunk's time of arrival is {latest - now_ms} ms in the future"
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
    network_id: bytes,
) -> Finding:
    """Return the first fault that a window's objects prove, or `none`. Cheap checks come first.

    Args:
        previous: the header that this window must follow: that of the last window that the voter
            voted on or applied, the later of both; None at the beginning of the stream.
        now_ms: the voter's clock, Unix milliseconds. A late window is no fault.
        network_id: the voter's network.

    Raises AttestationRefused: there is no finding, for one of these reasons.
        malformed: the stream did not sign the header, or the submitted objects are too large or
            not those of the header.
        clock: a time of arrival is more than two seconds in the future.
        behind: the header does not follow the last window that the voter knows.
    """
    # (1) The objects have possible sizes.
    if len(chunks) > MAX_CHUNKS:
        _refuse(
            RefusalReason.MALFORMED, f"a window has at most {MAX_CHUNKS} chunks, not {len(chunks)}"
        )
    if len(proof) > MAX_PROOF_BYTES:
        _refuse(
            RefusalReason.MALFORMED,
            f"the proof has {len(proof)} bytes; at most {MAX_PROOF_BYTES} are allowed",
        )
    # (2) The stream signed the header, and its times are not in the future.
    check_announced(descriptor, header, signature, now_ms=now_ms, network_id=network_id)
    # (3) The predecessor is known: no verdict is possible without it.
    if header.previous != expected_previous(descriptor.id, previous):
        _refuse(
            RefusalReason.BEHIND,
            "the window does not follow the last window that this operator knows",
        )
    # (4) The headers do not contradict each other. The stream signed both, so this is proof.
    readings = descriptor.readings
    if fault := header_fault(header, previous) or readings_header_fault(readings, header, previous):
        return Finding(InvalidReason.HEADER, fault)
    # (5) The chunk headers have the signed root, and do not contradict the header. Chunk headers
    # with another root prove nothing, because anyone can make them.
    if tree_of(chunks).root() != header.chunks_root:
        _refuse(
            RefusalReason.MALFORMED, "the chunk headers do not have the root in the window header"
        )
    if fault := chunks_fault(header, chunks) or readings_chunks_fault(readings, header, chunks):
        return Finding(InvalidReason.ROOT, fault)
    # (6) Something can be proven: the commitments are well-formed, and the bounds that the window
    # claims for its readings are possible.
    try:
        check_statement(descriptor, header, previous, chunks)
    except ProofRefused as refusal:
        return Finding(InvalidReason.STATEMENT, str(refusal))
    # (7) The proof is valid for the stream's parameters, this header and the statement that the
    # header and the descriptor determine. The most expensive check.
    try:
        verify_window_proof(descriptor, header, previous, chunks, proof)
    except ProofRefused as refusal:
        return Finding(InvalidReason.STARK, f"{refusal} ({refusal.reason})")
    return Finding(InvalidReason.NONE)


def _refuse(reason: RefusalReason, message: str) -> NoReturn:
    raise AttestationRefused(reason, message)
