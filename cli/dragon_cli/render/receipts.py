"""What a receipt proves, in words, with the source of every time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from dragon.encoding import to_hex
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.streams.chunks import digest_of
from dragon.protocol.streams.reading_text import reading_text
from dragon.protocol.streams.receipt import Receipt
from dragon.protocol.streams.receipt_contents import disclosed_reading
from dragon.protocol.streams.receipt_verification import Check, Outcome, counts
from dragon.protocol.trust import Trust
from dragon_cli.render.output import plain
from dragon_cli.render.text import moment

MARKS: Final = {
    Outcome.HOLDS: "[green]✓[/]",
    Outcome.REFUSED: "[red]✗[/]",
    Outcome.ABSENT: "[yellow]–[/]",
}


def check_line(check: Check) -> str:
    """Return one line with the outcome of a check."""
    return f"{MARKS[check.outcome]} {check.name:10} {plain(check.detail)}"


def statement(receipt: Receipt, checks: Sequence[Check], trust: Trust) -> Iterator[str]:
    """Yield what a verified receipt proves, and which statements are not certified."""
    claim, place = receipt.event.claim, receipt.place
    committee = trust.lineage.named(receipt.event.committee_id)
    data_checked = checks[0].outcome is Outcome.HOLDS
    stream = to_hex(receipt.descriptor.id)
    yield f"{_data(receipt, data_checked)} chunk {receipt.chunk.sequence} of stream {stream}."
    yield from _readings(receipt, checks)
    yield _name(receipt, checks)
    if isinstance(claim, WindowClaim):
        by = f"certified by {len(receipt.event.signers)} of {len(committee.operators)} operators"
        # The claim says "in the round that starts at its timestamp", so this is the round's end.
        latest = moment(claim.timestamp + committee.rounds.seconds)
        yield f"The data existed no later than {latest} ({by})."
    if place and isinstance(mark := place.checkpoint.claim, CheckpointClaim | HandoverClaim):
        begin = moment(mark.timestamp)
        yield f"Its window is in a log that a quorum certified in the round from {begin}."
    for each in receipt.endorsements:
        yield _endorsement(each, is_counted=counts(each, trust))
    received = moment(receipt.chunk.received_ms // 1000)
    yield f"Received at {received} (reported by the stream's owner, not certified)."
    if not data_checked:
        yield "The data itself was not checked: compare a file with the receipt by `--data FILE`."


def _data(receipt: Receipt, data_checked: bool) -> str:
    chunk = receipt.chunk
    if receipt.descriptor.readings:  # chunk headers do not tell the length of the data
        if data_checked:
            return "The data in the file is"
        if receipt.opening is None:
            return f"The data with commitment {to_hex(chunk.commitment)} is"
        return f"The data with digest {to_hex(digest_of(receipt.opening))} is"
    if data_checked:
        return f"The {chunk.length} bytes of the file are"
    if receipt.opening is None:
        return f"The {chunk.length} bytes with commitment {to_hex(chunk.commitment)} are"
    return f"The {chunk.length} bytes with digest {to_hex(digest_of(receipt.opening))} are"


def _readings(receipt: Receipt, checks: Sequence[Check]) -> Iterator[str]:
    """Yield what was certified of the window's readings, and what was checked of this chunk's."""
    readings, said = receipt.descriptor.readings, {check.name: check for check in checks}
    if readings is None:
        return
    certified = said["readings"]
    if certified.outcome is Outcome.HOLDS:
        yield f"Certified: {plain(certified.detail)}."
    else:
        yield "The window carries no claim about its readings; its proof is about commitments only."
    if receipt.opening is None:
        return
    number = plain(reading_text(readings, disclosed_reading(receipt)))
    if said["data"].outcome is Outcome.HOLDS:
        yield f"The committed reading of this chunk is {number}, checked against the data."
    else:
        yield f"The committed reading of this chunk is {number}, not checked against the data."


def _name(receipt: Receipt, checks: Sequence[Check]) -> str:
    name = plain(receipt.descriptor.name)
    said = f"The name {name} of this stream is self-chosen, and another stream can have it"
    if any(check.name == "stream" for check in checks):
        return f"{said}; the id is the expected one."
    return f"{said}: compare the id, or pass the expected one with `--stream`."


def _endorsement(endorsement: Endorsement, *, is_counted: bool) -> str:
    claim = endorsement.claim
    windows = f"windows {claim.first} to {claim.last}"
    if claim.first == claim.last:
        windows = f"window {claim.first}"
    why = "not certified: the receipt proves neither its time nor its place in the log"
    if not is_counted:
        why = "not counted: the newest committee does not list the key that signed it"
    signed = f"Expert {plain(claim.expert)} signed the verdict {claim.verdict} on {windows}"
    return f"{signed} of the stream ({why})."
