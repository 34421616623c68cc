"""What a voter concludes from a window's objects alone.

`invalid` is a verdict that anybody can come to again from the same objects: it never rests on what
the voter does not know, or on what somebody else than the stream handed over. Whatever else stands
in the way is a refusal to vote, with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

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

AHEAD_MS: Final = 2000  # by which a stream's clock may be ahead of a voter's
MAX_PROOF_BYTES: Final = 384 * 1024  # no proof of a set for windows is as large


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict with the first fault that the objects prove."""

    fault: InvalidReason
    detail: str = ""  # for people

    @property
    def verdict(self) -> Verdict:
        return Verdict.VALID if self.fault is InvalidReason.NONE else Verdict.INVALID

    def claim(
        self, descriptor: Descriptor, header: WindowHeader, proof_digest: bytes, timestamp: int
    ) -> WindowClaim:
        """What is signed of it in the round that begins at `timestamp`; the proof by SHA-256."""
        return WindowClaim(
            descriptor.id,
            header.number,
            header.previous,
            header.hash,
            self.verdict,
            self.fault,
            proof_digest,
            descriptor.parameters,
            timestamp,
        )


def check_announced(
    descriptor: Descriptor,
    header: WindowHeader,
    signature: bytes,
    *,
    now_ms: int,
    committee_id: bytes,
) -> None:
    """Whether a header is worth looking at: before any object of it is fetched.

    Raises AttestationRefused: `malformed`, it is not the stream's word; `clock`, it comes from the
    future. Nothing of it is stored, counted or held against the stream.
    """
    if descriptor.committee_id != committee_id:
        _refuse(RefusalReason.MALFORMED, "the stream belongs to another committee")
    if not is_signed(header, descriptor, signature):
        _refuse(RefusalReason.MALFORMED, "the header does not bear its stream's signature")
    latest = max(header.first_received_ms, header.last_received_ms)
    if latest > now_ms + AHEAD_MS:
        _refuse(RefusalReason.CLOCK, f"a chunk came {latest - now_ms} ms from now")


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
    """The verdict on a window, the first fault that its objects prove; cheap checks first.

    Args:
        previous: the header that this window must follow, as the voter knows it: of the last
            window that it has voted or applied, whichever is later; None where the stream begins.
        now_ms: the voter's clock, Unix milliseconds. Lateness is no fault.
        committee_id: the voter's committee.

    Raises AttestationRefused: there is no verdict, for one of these reasons.
        malformed: the header is not the stream's word, or what was handed over beside it is not
            what it names, or is larger than anything of the sort.
        clock: a chunk comes from more than two seconds in the future.
        behind: the header follows another window than the voter knows of.
    """
    # (1) Nothing that no window could have.
    if len(chunks) > MAX_CHUNKS:
        _refuse(RefusalReason.MALFORMED, f"a window has at most {MAX_CHUNKS} chunks")
    if len(proof) > MAX_PROOF_BYTES:
        _refuse(RefusalReason.MALFORMED, f"a proof has at most {MAX_PROOF_BYTES} bytes")
    # (2) The stream's word, and not from the future.
    check_announced(descriptor, header, signature, now_ms=now_ms, committee_id=committee_id)
    # (3) It follows what we know. What it follows else we cannot say.
    if header.previous != expected_previous(descriptor.id, previous):
        _refuse(RefusalReason.BEHIND, "it follows a window that is not the last known here")
    # (4) From here on all is proven by the objects: both headers are the stream's word.
    if why := header_fault(header, previous):
        return Finding(InvalidReason.HEADER, why)
    # (5) Chunk headers that are not under the signed root are anybody's, and prove nothing.
    if tree_of(chunks).root() != header.chunks_root:
        _refuse(RefusalReason.MALFORMED, "these are not the chunk headers that the header names")
    if why := chunks_fault(header, chunks):
        return Finding(InvalidReason.ROOT, why)
    # (6) Commitments about which something can be proven.
    try:
        outputs(descriptor, chunks)
    except ProofRefused as refusal:
        return Finding(InvalidReason.STATEMENT, str(refusal))
    # (7) Under the stream's own parameters, bound to this header. Last, because it is dear.
    commitments = [chunk.commitment for chunk in chunks]
    try:
        verify_window(descriptor.parameters, descriptor.identity, commitments, header.hash, proof)
    except ProofRefused as refusal:
        return Finding(InvalidReason.STARK, f"{refusal} ({refusal.reason})")
    return Finding(InvalidReason.NONE)


def _refuse(reason: RefusalReason, message: str) -> NoReturn:
    raise AttestationRefused(reason, message)
