"""Verifying receipts offline: every link from data to the certified log, each by itself.

With the committee file nothing else is needed. What is refused is refused by the name of the check
and of the members of which one must be wrong.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from dragon import errors
from dragon.encoding import to_hex
from dragon.protocol import event, merkle
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.window import Verdict, WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.streams.chunks import digest, digest_of, tree_of
from dragon.protocol.streams.receipt import Receipt
from dragon.protocol.streams.window import chunks_fault, outputs
from dragon.stark.blocks import verify_window
from dragon.stark.commitment import is_opening


class Outcome(enum.StrEnum):
    HOLDS = "holds"
    REFUSED = "refused"
    ABSENT = "absent"  # the receipt does not have what it takes


@dataclass(frozen=True, slots=True)
class Check:
    """One link of the chain."""

    name: str
    outcome: Outcome
    detail: str  # a sentence for people
    refusal: str = ""  # the error's name
    fields: tuple[str, ...] = ()  # the members of which one must be wrong


def verify(committee: Committee, receipt: Receipt, data: bytes | None = None) -> list[Check]:
    """Every link from `data` to the certified log, in order, each by itself.

    A receipt is right if no check is refused, and complete if "checkpoint" holds. Only "data",
    "commitment", "proof", "checkpoint" and "experts" can be absent; the rest always holds or is
    refused.
    """
    return [
        _check("data", lambda: _check_data(receipt, data)),
        _check("commitment", lambda: _check_commitment(receipt)),
        _check("chunk", lambda: _check_chunk(receipt)),
        _check("window", lambda: _check_window(receipt, committee)),
        _check("proof", lambda: _check_proof(receipt)),
        _check("votes", lambda: _check_votes(receipt, committee)),
        _check("checkpoint", lambda: _check_checkpoint(receipt, committee)),
        _check("experts", lambda: _check_experts(receipt, committee)),
    ]


def verify_receipt(
    receipt: Receipt, committee: Committee, data: bytes | None = None
) -> list[Check]:
    """Verify every link from `data` to the certified log; returns all checks, none of them refused.

    `is_complete` tells whether a certified checkpoint covers the receipt already. Without `data`,
    everything but the data itself is verified.

    Raises:
        ReceiptRefused: the first check that is refused; `fields` names the members of which one
            must be wrong.
    """
    checks = verify(committee, receipt, data)
    for check in refused(checks):
        raise errors.ReceiptRefused(f"{check.name}: {check.detail}", *check.fields)
    return checks


def refused(checks: Sequence[Check]) -> list[Check]:
    return [check for check in checks if check.outcome is Outcome.REFUSED]


def is_complete(checks: Sequence[Check]) -> bool:
    """Whether nothing is refused and a certified checkpoint covers the window's event."""
    held = {check.name for check in checks if check.outcome is Outcome.HOLDS}
    return not refused(checks) and "checkpoint" in held


class _Absent(Exception):
    """The receipt does not have what this check is about."""


def _check(name: str, find: Callable[[], str]) -> Check:
    try:
        return Check(name, Outcome.HOLDS, find())
    except _Absent as absent:
        return Check(name, Outcome.ABSENT, str(absent))
    except errors.ReceiptRefused as refusal:
        return Check(name, Outcome.REFUSED, str(refusal), refusal.name, refusal.fields)


def _refuse(message: str, *fields: str) -> NoReturn:
    raise errors.ReceiptRefused(message, *fields)


def _check_data(receipt: Receipt, data: bytes | None) -> str:
    if data is None:
        raise _Absent("no data was given")
    if receipt.opening is None:
        _refuse("the receipt discloses no digest that data could be held against", "opening")
    if len(data) != receipt.chunk.length:
        message = f"the data has {len(data)} bytes, the chunk {receipt.chunk.length}"
        _refuse(message, "data", "chunk")
    if not hmac.compare_digest(digest(data), digest_of(receipt.opening)):
        _refuse("the data has another SHA-256 than the opening says", "data", "opening")
    return f"the {len(data)} bytes have the digest {to_hex(digest_of(receipt.opening))}"


def _check_commitment(receipt: Receipt) -> str:
    if receipt.opening is None:
        raise _Absent("the receipt does not disclose the chunk's digest")
    if not is_opening(receipt.chunk.commitment, receipt.opening):
        # A chunk that stands under the signed root is what the stream committed to.
        doubtful = () if receipt.is_under_root and receipt.is_signed else ("chunk",)
        _refuse("the opening does not open the chunk's commitment", "opening", *doubtful)
    return "digest and salt open the chunk's commitment"


def _check_chunk(receipt: Receipt) -> str:
    chunk, header = receipt.chunk, receipt.header
    doubtful = () if receipt.is_signed else ("header",)
    if not header.first <= chunk.sequence < header.next_first:
        message = f"chunk {chunk.sequence} is none of those of the window"
        _refuse(message, "chunk", *doubtful)
    if not receipt.is_under_root:
        message = "the path does not lead from the chunk to the window's root"
        _refuse(message, "chunk", "path", *doubtful)
    if not header.first_received_ms <= chunk.received_ms <= header.last_received_ms:
        _refuse("the chunk came at a time outside its window", "chunk", *doubtful)
    place = f"{chunk.sequence - header.first + 1} of {header.count}"
    return f"chunk {chunk.sequence}, {chunk.length} bytes, is the window's {place}"


def _check_window(receipt: Receipt, committee: Committee) -> str:
    descriptor, header = receipt.descriptor, receipt.header
    if descriptor.committee_id != committee.id:
        _refuse("the stream belongs to another committee", "descriptor")
    if header.stream != descriptor.id:
        wrong = "header" if _claim(receipt).stream == descriptor.id else "descriptor"
        _refuse("the window is of another stream than is described", wrong)
    if not receipt.is_signed:
        same = header.hash == _claim(receipt).header
        wrong = "header_signature" if same else "header"
        _refuse("the window header does not bear the stream's signature", wrong)
    return f"window {header.number} of stream {descriptor.name} bears its signature"


def _check_proof(receipt: Receipt) -> str:
    proven, header, descriptor = receipt.proven, receipt.header, receipt.descriptor
    if proven is None:
        raise _Absent("the receipt does not hold the window's proof")
    if hashlib.sha256(proven.proof).digest() != _claim(receipt).proof:
        _refuse("the voters have seen another proof", "proof", "event")
    if tree_of(proven.chunks).root() != header.chunks_root:
        _refuse("the chunk headers have another root than the window", "chunks", "header")
    if why := chunks_fault(header, proven.chunks):
        _refuse(f"the chunk headers contradict the window: {why}", "chunks", "header")
    try:
        outputs(descriptor, proven.chunks)
        commitments = [chunk.commitment for chunk in proven.chunks]
        verify_window(
            descriptor.parameters, descriptor.identity, commitments, header.hash, proven.proof
        )
    except errors.ProofRefused as refusal:
        _refuse(f"the proof does not prove the window ({refusal.reason})", "proof")
    return f"the proof shows that all {len(proven.chunks)} openings and the identity are known"


def _check_votes(receipt: Receipt, committee: Committee) -> str:
    claim = _claim(receipt)
    try:
        receipt.event.verify(committee)
    except errors.CertificateError as refusal:
        _refuse(f"the votes do not hold: {refusal} ({refusal.name})", "event")
    if claim.verdict is not Verdict.VALID:
        _refuse(f"the voters found the window invalid ({claim.reason})", "event")
    header = receipt.header
    said = claim.stream, claim.number, claim.previous, claim.header
    if said != (header.stream, header.number, header.previous, header.hash):
        _refuse("the voters have seen another window", "header", "event")
    if claim.parameters != receipt.descriptor.parameters:
        message = "the voters have verified under other parameters than the stream's"
        _refuse(message, "descriptor", "event")
    signers = ", ".join(receipt.event.signers)
    return f"{len(receipt.event.signers)} of {len(committee.operators)} call it valid: {signers}"


def _check_checkpoint(receipt: Receipt, committee: Committee) -> str:
    place = receipt.place
    if place is None:
        raise _Absent("no certified checkpoint covers it yet; the receipt can be completed")
    claim = place.checkpoint.claim
    if not isinstance(claim, CheckpointClaim):
        _refuse(f"a certificate of kind {claim.KIND} is no checkpoint", "checkpoint")
    try:
        place.checkpoint.verify(committee)
    except errors.CertificateError as refusal:
        _refuse(f"the checkpoint does not hold: {refusal} ({refusal.name})", "checkpoint")
    leaf = event.leaf(receipt.event, place.ledger_index, place.ledger_time)
    hashed = merkle.leaf_hash(leaf)
    try:
        merkle.verify_inclusion(hashed, place.position, claim.size, place.inclusion, claim.log_root)
    except errors.InvalidProof as refusal:
        message = f"the event is not at that place of the certified log: {refusal}"
        _refuse(message, "event", "position", "ledger_index", "ledger_time", "inclusion")
    return f"event {place.position} of the {claim.size} that a quorum has certified"


def _check_experts(receipt: Receipt, committee: Committee) -> str:
    """Theirs is another word than the majority's: who calls a window invalid is shown."""
    if not receipt.endorsements:
        raise _Absent("no expert's word is in it")
    doubtful = () if receipt.is_signed else ("header",)
    for each in receipt.endorsements:
        claim = each.claim
        if claim.stream != receipt.header.stream:
            _refuse("an endorsement is about another stream", "endorsements", *doubtful)
        if not claim.first <= receipt.header.number <= claim.last:
            _refuse("an endorsement is about other windows", "endorsements", *doubtful)
        try:
            each.verify(committee)
        except errors.CertificateError as refusal:
            message = f"the word of {claim.expert} does not hold: {refusal} ({refusal.name})"
            _refuse(message, "endorsements")
    words = [f"{each.claim.expert} calls it {each.claim.verdict}" for each in receipt.endorsements]
    return ", ".join(words)


def _claim(receipt: Receipt) -> WindowClaim:
    claim = receipt.event.claim
    if not isinstance(claim, WindowClaim):
        _refuse(f"a certificate of kind {claim.KIND} says nothing about a window", "event")
    return claim
