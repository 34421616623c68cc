"""Offline verification of receipts: separate checks of all links from the data to the log.

Only the committee file is needed, or the lineage of a network that has changed its committee. What
a committee signed that has handed over counts only if a mark covers it. A refused check states the
members of which at least one must be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from dragon import errors
from dragon.encoding import to_hex
from dragon.protocol import event, merkle
from dragon.protocol.claims.base import utc
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.claims.window import Statement, Verdict
from dragon.protocol.committee import Committee
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.lineage import Lineage
from dragon.protocol.streams.receipt import Receipt
from dragon.protocol.streams.receipt_checks import Absent, Check, Outcome, refuse, run_check
from dragon.protocol.streams.receipt_contents import (
    check_certified_readings,
    check_chunk,
    check_commitment,
    check_proof,
    check_receipt_data,
    window_claim,
)
from dragon.protocol.streams.statements import statement_of
from dragon.protocol.streams.window_readings import readings_header_fault
from dragon.protocol.trust import Anchor, Trust

__all__ = [
    "SUPERSEDED",
    "Check",
    "Outcome",
    "counts",
    "is_complete",
    "refused",
    "verify",
    "verify_receipt",
]

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
    "commitment", "proof", "readings", "checkpoint" and "experts" can be absent. "readings" is a
    check of streams with readings only: it holds if the window carries the claim, and its detail
    says what was certified; it is absent if "window" or "votes" is refused. With `stream`, the
    expected id of the stream, "stream" is the last check.

    Args:
        known: a verified lineage, or one committee; see `dragon.protocol.trust`.
    """
    trust = Trust.of(known)
    window = run_check("window", lambda: _check_window(receipt, trust))
    votes = run_check("votes", lambda: _check_votes(receipt, trust))
    readings = [run_check("readings", lambda: _check_readings(receipt, window, votes))]
    checks = [
        run_check("data", lambda: check_receipt_data(receipt, data)),
        run_check("commitment", lambda: check_commitment(receipt)),
        run_check("chunk", lambda: check_chunk(receipt)),
        window,
        run_check("proof", lambda: check_proof(receipt)),
        votes,
        *(readings if receipt.descriptor.readings else ()),
        run_check("checkpoint", lambda: _check_checkpoint(receipt, trust)),
        run_check("experts", lambda: _check_experts(receipt, trust)),
    ]
    if stream is not None:
        checks.append(run_check("stream", lambda: _check_stream(receipt, stream)))
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


def _refuse_checkpoint(refusal: errors.CertificateError) -> NoReturn:
    refuse(f"the checkpoint is invalid: {refusal} ({refusal.name})", "checkpoint")


def _refuse_place(refusal: errors.InvalidProof) -> NoReturn:
    message = f"the event is not at this position of the certified log: {refusal}"
    refuse(message, "event", "position", "ledger_index", "inclusion")


def _check_window(receipt: Receipt, trust: Trust) -> str:
    descriptor, header = receipt.descriptor, receipt.header
    if descriptor.network_id != trust.lineage.network_id:
        refuse("the stream belongs to another network", "descriptor")
    if header.stream != descriptor.id:
        wrong = "header" if window_claim(receipt).stream == descriptor.id else "descriptor"
        refuse("the window does not belong to the described stream", wrong)
    if not receipt.is_signed:
        same = header.hash == window_claim(receipt).header
        wrong = "header_signature" if same else "header"
        refuse("the window header does not have the stream's signature", wrong)
    if fault := readings_header_fault(descriptor.readings, header, None):
        refuse(f"the window header contradicts the descriptor: {fault}", "header", "descriptor")
    return f"window {header.number} has the signature of stream {to_hex(descriptor.id)}"


def _check_votes(receipt: Receipt, trust: Trust) -> str:
    claim, place = window_claim(receipt), receipt.place
    anchor = Anchor(place.checkpoint, place.position, place.inclusion) if place else None
    try:
        committee = trust.lineage.named(receipt.event.committee_id)
        receipt.event.verify(committee)
    except errors.CertificateError as refusal:
        refuse(f"the certificate of the votes is invalid: {refusal} ({refusal.name})", "event")
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
        refuse(f"the operators found the window invalid ({claim.reason})", "event")
    header = receipt.header
    voted = claim.stream, claim.number, claim.previous, claim.header
    if voted != (header.stream, header.number, header.previous, header.hash):
        refuse("the operators voted on another window", "header", "event")
    if claim.parameters != receipt.descriptor.parameters:
        message = (
            f"the operators verified with the parameters {claim.parameters}, but the stream has "
            f"{receipt.descriptor.parameters}"
        )
        refuse(message, "descriptor", "event")
    if claim.statement != (expected := statement_of(receipt.descriptor, header)):
        message = (
            f"the event must state {_stated(expected)}, as the header does, but it states "
            f"{_stated(claim.statement)}"
        )
        refuse(message, "event")
    signers, members = receipt.event.signers, len(committee.operators)
    return f"{len(signers)} of {members} operators found the window valid: {', '.join(signers)}"


def _check_readings(receipt: Receipt, *certified: Check) -> str:
    """Return what was certified of the readings. Args: `certified`, the checks that it needs."""
    if missing := refused(certified):
        raise Absent(f"nothing is certified of the readings: {missing[0].name} is refused")
    return check_certified_readings(receipt)


def _stated(statement: Statement | None) -> str:
    return f"the statement {statement}" if statement else "no statement"


def _leaf_hash(receipt: Receipt) -> bytes | None:
    """Return the hash of the event's leaf in the log, as far as the receipt states its place."""
    if receipt.place is None:
        return None
    return merkle.leaf_hash(event.leaf(receipt.event, receipt.place.ledger_index))


def _check_checkpoint(receipt: Receipt, trust: Trust) -> str:
    place, hashed = receipt.place, _leaf_hash(receipt)
    if place is None or hashed is None:
        raise Absent("no certified checkpoint yet; run `dragon receipt complete` later")
    claim = place.checkpoint.claim
    if not isinstance(claim, CheckpointClaim | HandoverClaim):
        refuse(f"the certificate is of kind {claim.KIND}, not checkpoint", "checkpoint")
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
        raise Absent("the receipt contains no endorsements")
    suspects = () if receipt.is_signed else ("header",)
    for each in receipt.endorsements:
        claim = each.claim
        if claim.stream != receipt.header.stream:
            refuse(
                f"the endorsement of {claim.expert} is about another stream",
                "endorsements",
                *suspects,
            )
        if not claim.first <= receipt.header.number <= claim.last:
            refuse(
                f"the endorsement of {claim.expert} is about other windows",
                "endorsements",
                *suspects,
            )
        try:
            each.verify(trust.lineage.named(each.committee_id))
        except errors.CertificateError as refusal:
            message = f"the endorsement of {claim.expert} is invalid: {refusal} ({refusal.name})"
            refuse(message, "endorsements")
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
