"""Receipts in files: load and check them, and report the checks to programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dragon.encoding import to_hex
from dragon.errors import DragonError, WrongCommittee
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.streams.receipt import MAX_RECEIPT_BYTES, Place, Receipt
from dragon.protocol.streams.receipt_contents import disclosed_reading
from dragon.protocol.streams.receipt_verification import (
    SUPERSEDED,
    Check,
    Outcome,
    is_complete,
    refused,
)
from dragon_cli.command_line import command_of
from dragon_cli.errors import OtherStream, ReceiptRefused, ReceiptSuperseded
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.files import read_bytes
from dragon_cli.hints import HINTS, with_hint
from dragon_cli.trust import TRUST_OLDER


def load(file: Path) -> Receipt:
    """Read a receipt.

    Raises UnusableFile, TooLarge, WrongFile, InvalidEncoding, InvalidStream or UnknownKind. The
    message names the file and the member; the fact `field` names the member.
    """
    raw = read_bytes(file, most=MAX_RECEIPT_BYTES)
    with reading(file, raw, FileKind.RECEIPT):
        try:
            return Receipt.decode(raw)
        except DragonError as error:
            if field := error.facts.get("field", error.facts.get("member")):
                error.facts["field"] = field
            within = f"in {field}: " if field and str(field) not in str(error) else ""
            error.args = (f"{file}: {within}{error}",)
            raise


def raise_refused(receipt: Receipt, checks: Sequence[Check], file: Path) -> None:
    """Raise ReceiptRefused, ReceiptSuperseded or OtherStream for the first check that failed.

    The message names the check and the members of which one must be wrong. Args: `file`, that of
    the receipt, for the next step.
    """
    for check in refused(checks):
        names = ", ".join(check.fields)
        wrong = f"{names} is wrong" if len(check.fields) == 1 else f"one of {names} is wrong"
        told = report(receipt, checks)
        if check.name == "stream":
            message = f"{check.detail}; both may have the name {receipt.descriptor.name}"
            raise OtherStream(message, *check.fields, check=check.name, report=told)
        if is_superseded(check):
            message = f"{check.name}: {check.detail}"
            superseded = ReceiptSuperseded(message, *check.fields, check=check.name, report=told)
            step = f"`{command_of('receipt', 'complete', file)}` adds a mark that counts."
            raise with_hint(superseded, f"{step} {TRUST_OLDER}")
        message = f"{check.name}: {check.detail}; {wrong}"
        refusal = ReceiptRefused(message, *check.fields, check=check.name, report=told)
        if "(wrong_committee)" in check.detail:
            raise with_hint(refusal, HINTS[WrongCommittee])
        raise refusal


def is_superseded(check: Check) -> bool:
    """Return whether only a newer checkpoint or a handover is needed."""
    return check.refusal == SUPERSEDED


def report(receipt: Receipt, checks: Sequence[Check]) -> dict[str, object]:
    """Return verdict, times and checks for programs. A refused receipt has no times."""
    verified = not refused(checks)
    claim, place = receipt.event.claim, receipt.place
    times = {
        "received_ms": receipt.chunk.received_ms,  # reported by the stream, not certified
        "timestamp": claim.timestamp if isinstance(claim, WindowClaim) else None,
        "checkpoint": _checkpoint_time(place) if place else None,
    }
    return {
        "verdict": "verified" if verified else "refused",
        "complete": is_complete(checks),
        "stream": to_hex(receipt.descriptor.id),
        "name": receipt.descriptor.name,  # self-chosen, not unique
        "window": receipt.header.number,
        "chunk": receipt.chunk.sequence,
        "times": times if verified else None,
        # What the proof of the window is about: null in a stream without readings.
        "statement": claim.statement if verified and isinstance(claim, WindowClaim) else None,
        "reading": _reading(receipt, checks) if verified else None,
        "checks": [_check(check) for check in checks],
    }


def _reading(receipt: Receipt, checks: Sequence[Check]) -> dict[str, object] | None:
    """Return the disclosed reading, scaled as in the descriptor; None: none is disclosed."""
    readings = receipt.descriptor.readings
    if readings is None or receipt.opening is None:
        return None
    value = disclosed_reading(receipt)
    return {
        "value": None if value is None else str(value),  # null: a message without a number
        "scale": readings.rule.scale,
        "unit": readings.unit,
        "checked_against_data": checks[0].outcome is Outcome.HOLDS,
    }


def _checkpoint_time(place: Place) -> int | None:
    """Return the start of the round in which a quorum certified the log, in Unix seconds."""
    claim = place.checkpoint.claim
    return claim.timestamp if isinstance(claim, CheckpointClaim | HandoverClaim) else None


def _check(check: Check) -> dict[str, object]:
    return {
        "name": check.name,
        "outcome": str(check.outcome),
        "detail": check.detail,
        "refusal": check.refusal,
        "fields": list(check.fields),
    }
