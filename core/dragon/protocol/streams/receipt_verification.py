"""Offline verification of receipts: separate checks of all links from the data to the log.

Only the committee file is needed, or the lineage of a network that has changed its committee. What
a committee signed that has handed over counts only if a mark covers it. A refused check states the
members of which at least one must be wrong.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from dragon import errors
from dragon.encoding import to_hex
from dragon.protocol import event, merkle
from dragon.protocol.claims.base import utc
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.claims.window import Verdict, WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.lineage import Lineage
from dragon.protocol.streams.chunks import digest, digest_of, tree_of
from dragon.protocol.streams.receipt import Receipt
from dragon.protocol.streams.window import chunks_fault, outputs
from dragon.protocol.trust import Anchor, Trust
from dragon.stark.blocks import verify_window
from dragon.stark.commitment import is_opening


class Outcome(enum.StrEnum):
    """The outcome of a check."""

    HOLDS = "holds"
    REFUSED = "refused"
    ABSENT = "absent"  # the receipt does not have the members that the check needs


@dataclass(frozen=True, slots=True)
class Check:
    """The check of one link."""

    name: str
    outcome: Outcome
    detail: str  # a sentence for people
    refusal: str = ""  # the error's name; empty if the check was not refused
    fields: tuple[str, ...] = ()  # members of which at least one must be wrong


SUPERSEDED: Final = "receipt_superseded"
_RAISED: Final[Mapping[str, type[errors.ReceiptRefused]]] = {
    SUPERSEDED: errors.ReceiptSuperseded,
    "other_stream": errors.OtherStream,
}


def verify(
    known: Trust | Lineage | Committee,
    receipt: Receipt,
    data: bytes | None = None,
    *,
    stream: bytes | None = None,
) -> list[Check]:
    """Check every link from `data` to the certified log; return all checks, in order.

    A receipt is valid if no check is refused, and complete if "checkpoint" holds. Only "data",
    "commitment", "proof", "checkpoint" and "experts" can be absent. With `stream`, the expected id
    of the stream, "stream" is the last check.

    Args:
        known: a verified lineage, or one committee; see `dragon.protocol.trust`.
    """
    trust = Trust.of(known)
    checks = [
        _check("data", lambda: _check_data(receipt, data)),
        _check("commitment", lambda: _check_commitment(receipt)),
        _check("chunk", lambda: _check_chunk(receipt)),
        _check("window", lambda: _check_window(receipt, trust)),
        _check("proof", lambda: _check_proof(receipt)),
        _check("votes", lambda: _check_votes(receipt, trust)),
        _check("checkpoint", lambda: _check_checkpoint(receipt, trust)),
        _check("experts", lambda: _check_experts(receipt, trust)),
    ]
    if stream is not None:
        checks.append(_check("stream", lambda: _check_stream(receipt, stream)))
    return checks


def verify_receipt(
    receipt: Receipt,
    known: Trust | Lineage | Committee,
    data: bytes | None = None,
    *,
    stream: bytes | None = None,
) -> list[Check]:
    """Verify a receipt; return all checks if none is refused.

    `is_complete` tells whether a certified checkpoint covers the receipt.

    Args:
        known: a verified lineage, or one committee; see `dragon.protocol.trust`.
        data: the chunk's data; None to verify everything except the data.
        stream: the id of the stream to which the receipt must belong; None for any stream. The name
            in a descriptor is self-chosen: anyone can have a stream of the same name.

    Raises:
        OtherStream: the receipt is valid, but belongs to another stream.
        ReceiptSuperseded: its committee has handed over, and no mark that counts covers it.
        ReceiptRefused: the first refused check; `fields` names the members of which at least one
            must be wrong.
    """
    checks = verify(known, receipt, data, stream=stream)
    for check in refused(checks):
        refusal = _RAISED.get(check.refusal, errors.ReceiptRefused)
        raise refusal(f"{check.name}: {check.detail}", *check.fields)
    return checks


def refused(checks: Sequence[Check]) -> list[Check]:
    """Return the refused checks."""
    return [check for check in checks if check.outcome is Outcome.REFUSED]


def is_complete(checks: Sequence[Check]) -> bool:
    """Return whether no check is refused and a certified checkpoint covers the window's event."""
    held = {check.name for check in checks if check.outcome is Outcome.HOLDS}
    return not refused(checks) and "checkpoint" in held


class _Absent(Exception):
    """The receipt does not have the members that this check needs."""


def _check(name: str, find: Callable[[], str]) -> Check:
    try:
        return Check(name, Outcome.HOLDS, find())
    except _Absent as absent:
        return Check(name, Outcome.ABSENT, str(absent))
    except errors.ReceiptRefused as refusal:
        return Check(name, Outcome.REFUSED, str(refusal), refusal.name, refusal.fields)


def _refuse(message: str, *fields: str) -> NoReturn:
    raise errors.ReceiptRefused(message, *fields)


def _refuse_checkpoint(refusal: errors.CertificateError) -> NoReturn:
    _refuse(f"the checkpoint is invalid: {refusal} ({refusal.name})", "checkpoint")


def _refuse_place(refusal: errors.InvalidProof) -> NoReturn:
    message = f"the event is not at this position of the certified log: {refusal}"
    _refuse(message, "event", "position", "ledger_index", "inclusion")


def _check_data(receipt: Receipt, data: bytes | None) -> str:
    if data is None:
        raise _Absent("no data was given")
    if receipt.opening is None:
        _refuse("the receipt has no opening, so data cannot be compared with it", "opening")
    if len(data) != receipt.chunk.length:
        message = f"the data has {len(data)} bytes, but the chunk has {receipt.chunk.length}"
        _refuse(message, "data", "chunk")
    if not hmac.compare_digest(digest(data), digest_of(receipt.opening)):
        _refuse("the SHA-256 of the data is not the digest in the opening", "data", "opening")
    return f"the {len(data)} bytes of data have the digest {to_hex(digest_of(receipt.opening))}"


def _check_commitment(receipt: Receipt) -> str:
    if receipt.opening is None:
        raise _Absent("the receipt has no opening of the chunk's commitment")
    if not is_opening(receipt.chunk.commitment, receipt.opening):
        # A chunk header under a signed root is authentic, so only the opening can be wrong.
        suspects = () if receipt.is_under_root and receipt.is_signed else ("chunk",)
        _refuse("the opening does not open the chunk's commitment", "opening", *suspects)
    return "digest and salt open the chunk's commitment"


def _check_chunk(receipt: Receipt) -> str:
    chunk, header = receipt.chunk, receipt.header
    suspects = () if receipt.is_signed else ("header",)
    if not header.first <= chunk.sequence < header.next_first:
        message = f"chunk {chunk.sequence} is not in the window"
        _refuse(message, "chunk", *suspects)
    if not receipt.is_under_root:
        message = "the path does not lead from the chunk to the window's root"
        _refuse(message, "chunk", "path", *suspects)
    if not header.first_received_ms <= chunk.received_ms <= header.last_received_ms:
        _refuse("the chunk's time is outside the times of its window", "chunk", *suspects)
    place = f"{chunk.sequence - header.first + 1} of {header.count}"
    return f"chunk {chunk.sequence} ({chunk.length} bytes) is number {place} of the window's chunks"


def _check_window(receipt: Receipt, trust: Trust) -> str:
    descriptor, header = receipt.descriptor, receipt.header
    if descriptor.network_id != trust.lineage.network_id:
        _refuse("the stream belongs to another network", "descriptor")
    if header.stream != descriptor.id:
        wrong = "header" if _claim(receipt).stream == descriptor.id else "descriptor"
        _refuse("the window does not belong to the described stream", wrong)
    if not receipt.is_signed:
        same = header.hash == _claim(receipt).header
        wrong = "header_signature" if same else "header"
        _refuse("the window header does not have the stream's signature", wrong)
    return f"window {header.number} has the signature of stream {to_hex(descriptor.id)}"


def _check_proof(receipt: Receipt) -> str:
    proven, header, descriptor = receipt.proven, receipt.header, receipt.descriptor
    if proven is None:
        raise _Absent("the receipt does not contain the window's proof")
    if hashlib.sha256(proven.proof).digest() != _claim(receipt).proof:
        _refuse("the operators voted on another proof", "proof", "event")
    if tree_of(proven.chunks).root() != header.chunks_root:
        _refuse("the chunk headers do not have the root in the window header", "chunks", "header")
    if why := chunks_fault(header, proven.chunks):
        _refuse(f"the chunk headers contradict the window header: {why}", "chunks", "header")
    try:
        outputs(descriptor, proven.chunks)
        commitments = [chunk.commitment for chunk in proven.chunks]
        verify_window(
            descriptor.parameters, descriptor.identity, commitments, header.hash, proven.proof
        )
    except errors.ProofRefused as refusal:
        _refuse(f"the proof is not valid for the window ({refusal.reason})", "proof")
    return f"the prover knew all {len(proven.chunks)} openings and the secret key of the identity"


def _check_votes(receipt: Receipt, trust: Trust) -> str:
    claim, place = _claim(receipt), receipt.place
    anchor = Anchor(place.checkpoint, place.position, place.inclusion) if place else None
    try:
        committee = trust.lineage.named(receipt.event.committee_id)
        receipt.event.verify(committee)
    except errors.CertificateError as refusal:
        _refuse(f"the certificate of the votes is invalid: {refusal} ({refusal.name})", "event")
    try:
        trust.verify(receipt.event, leaf_hash=_leaf_hash(receipt), anchor=anchor)
    except errors.Superseded as refusal:
        message = f"the votes prove nothing: {refusal}"
        raise errors.ReceiptSuperseded(message, "checkpoint") from None
    except errors.InvalidProof as refusal:
        _refuse_place(refusal)
    except errors.CertificateError as refusal:
        _refuse_checkpoint(refusal)
    if claim.verdict is not Verdict.VALID:
        _refuse(f"the operators found the window invalid ({claim.reason})", "event")
    header = receipt.header
    voted = claim.stream, claim.number, claim.previous, claim.header
    if voted != (header.stream, header.number, header.previous, header.hash):
        _refuse("the operators voted on another window", "header", "event")
    if claim.parameters != receipt.descriptor.parameters:
        message = (
            f"the operators verified with the parameters {claim.parameters}, but the stream has "
            f"{receipt.descriptor.parameters}"
        )
        _refuse(message, "descriptor", "event")
    signers, members = receipt.event.signers, len(committee.operators)
    return f"{len(signers)} of {members} operators found the window valid: {', '.join(signers)}"


def _leaf_hash(receipt: Receipt) -> bytes | None:
    """Return the hash of the event's leaf in the log, as far as the receipt states its place."""
    if receipt.place is None:
        return None
    return merkle.leaf_hash(event.leaf(receipt.event, receipt.place.ledger_index))


def _check_checkpoint(receipt: Receipt, trust: Trust) -> str:
    place, hashed = receipt.place, _leaf_hash(receipt)
    if place is None or hashed is None:
        raise _Absent("no certified checkpoint yet; run `dragon receipt complete` later")
    claim = place.checkpoint.claim
    if not isinstance(claim, CheckpointClaim | HandoverClaim):
        _refuse(f"the certificate is of kind {claim.KIND}, not checkpoint", "checkpoint")
    try:
        trust.verify_mark(place.checkpoint, covered=_committee_of_votes(receipt, trust))
    except errors.Superseded as refusal:
        raise errors.ReceiptSuperseded(str(refusal), "checkpoint") from None
    except errors.CertificateError as refusal:
        _refuse_checkpoint(refusal)
    try:
        merkle.verify_inclusion(hashed, place.position, claim.size, place.inclusion, claim.log_root)
    except errors.InvalidProof as refusal:
        _refuse_place(refusal)
    log = f"a log of {claim.size} entries, certified in the round from {utc(claim.timestamp)}"
    return f"the event is entry {place.position} of {log}"


def _committee_of_votes(receipt: Receipt, trust: Trust) -> Committee | None:
    """Return the committee of the event; None if it is unknown, which "votes" refuses."""
    try:
        return trust.lineage.named(receipt.event.committee_id)
    except errors.WrongCommittee:
        return None


def _check_experts(receipt: Receipt, trust: Trust) -> str:
    """Check the endorsements and list their verdicts, which may differ from the majority's.

    The endorsement of an older committee counts if the expert still has the same key.
    """
    if not receipt.endorsements:
        raise _Absent("the receipt contains no endorsements")
    suspects = () if receipt.is_signed else ("header",)
    for each in receipt.endorsements:
        claim = each.claim
        if claim.stream != receipt.header.stream:
            _refuse(
                f"the endorsement of {claim.expert} is about another stream",
                "endorsements",
                *suspects,
            )
        if not claim.first <= receipt.header.number <= claim.last:
            _refuse(
                f"the endorsement of {claim.expert} is about other windows",
                "endorsements",
                *suspects,
            )
        try:
            each.verify(trust.lineage.named(each.committee_id))
        except errors.CertificateError as refusal:
            message = f"the endorsement of {claim.expert} is invalid: {refusal} ({refusal.name})"
            _refuse(message, "endorsements")
    verdicts = [_verdict(each, trust) for each in receipt.endorsements]
    return f"{', '.join(verdicts)}; signed by each expert, but not certified"


def counts(endorsement: Endorsement, trust: Trust) -> bool:
    """Return whether a verified endorsement counts: the expert's key must not have gone.

    Raises WrongCommittee: the lineage does not have its committee.
    """
    signer, expert = trust.lineage.named(endorsement.committee_id), endorsement.claim.expert
    key = signer.expert_keys[expert]
    return signer.epoch >= trust.least_epoch or trust.newest.expert_keys.get(expert) == key


def _verdict(endorsement: Endorsement, trust: Trust) -> str:
    said = f"{endorsement.claim.expert}: {endorsement.claim.verdict}"
    if counts(endorsement, trust):
        return said
    return f"{said} (not counted: the newest committee does not list this key)"


def _check_stream(receipt: Receipt, expected: bytes) -> str:
    found = receipt.descriptor.id
    if found != expected:
        message = f"the receipt belongs to stream {to_hex(found)}, not to {to_hex(expected)}"
        raise errors.OtherStream(message, "descriptor")
    return f"the receipt belongs to the expected stream {to_hex(found)}"


def _claim(receipt: Receipt) -> WindowClaim:
    claim = receipt.event.claim
    if not isinstance(claim, WindowClaim):
        _refuse(f"the certificate is of kind {claim.KIND}, not window", "event")
    return claim
