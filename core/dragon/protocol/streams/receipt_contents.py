"""Checks of what a receipt contains: data, opening, chunk, proof, and what readings were certified.

That a committed reading is the number in the data is checked for the disclosed chunk only. All
other statements about readings are about committed numbers (section 19.16).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from dragon import errors
from dragon.encoding import to_hex
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.streams.chunks import digest, digest_of, tree_of
from dragon.protocol.streams.closing import HeaderClaim
from dragon.protocol.streams.disclosure import DisclosureReason, check_data, committed_number
from dragon.protocol.streams.reading_text import bounds_text, committed_text, reading_text
from dragon.protocol.streams.readings import Readings
from dragon.protocol.streams.receipt import Proven, Receipt
from dragon.protocol.streams.receipt_checks import Absent, refuse
from dragon.protocol.streams.statements import needs_previous, verify_window_proof
from dragon.protocol.streams.window import chunks_fault
from dragon.protocol.streams.window_readings import readings_chunks_fault
from dragon.stark.commitment import is_opening
from dragon.stark.reading_bounds import ReadingBounds

# The members of which one must be wrong if a disclosed opening is refused; `opening` by default.
_WRONG: Final[Mapping[str, tuple[str, ...]]] = {
    DisclosureReason.LENGTH: ("data",),
    DisclosureReason.DIGEST: ("data", "opening"),
}


def window_claim(receipt: Receipt) -> WindowClaim:
    """Return the claim of the receipt's event. Raises ReceiptRefused: it is about no window."""
    claim = receipt.event.claim
    if not isinstance(claim, WindowClaim):
        refuse(f"the certificate is of kind {claim.KIND}, not window", "event")
    return claim


def check_receipt_data(receipt: Receipt, data: bytes | None) -> str:
    """Compare data with the opening: length, digest and, in a stream with readings, the number."""
    if data is None:
        raise Absent("no data was given")
    if receipt.opening is None:
        refuse("the receipt has no opening, so data cannot be compared with it", "opening")
    readings = receipt.descriptor.readings
    if readings is not None:
        return _check_reading(readings, receipt.opening, data)
    if len(data) != receipt.chunk.length:
        message = f"the data has {len(data)} bytes, but the chunk has {receipt.chunk.length}"
        refuse(message, "data", "chunk")
    if not hmac.compare_digest(digest(data), digest_of(receipt.opening)):
        refuse("the SHA-256 of the data is not the digest in the opening", "data", "opening")
    return _digest_text(receipt.opening, data)


def _digest_text(opening: bytes, data: bytes) -> str:
    return f"the {len(data)} bytes of data have the digest {to_hex(digest_of(opening))}"


def _check_reading(readings: Readings, opening: bytes, data: bytes) -> str:
    try:
        reading = check_data(readings, opening, data)
    except errors.DisclosureRefused as refusal:
        refuse(f"{refusal} ({refusal.reason})", *_WRONG.get(refusal.reason, ("opening",)))
    checked = (
        f"the committed reading, checked against the data, is {reading_text(readings, reading)}"
    )
    return f"{_digest_text(opening, data)}; {checked}"


def check_commitment(receipt: Receipt) -> str:
    """Check that the opening opens the chunk's commitment."""
    if receipt.opening is None:
        raise Absent("the receipt has no opening of the chunk's commitment")
    # A chunk header under a signed root is authentic, so only the opening can be wrong.
    suspects = () if receipt.is_under_root and receipt.is_signed else ("chunk",)
    readings = receipt.descriptor.readings
    if readings is None:
        if not is_opening(receipt.chunk.commitment, receipt.opening):
            refuse("the opening does not open the chunk's commitment", "opening", *suspects)
        return "digest and salt open the chunk's commitment"
    try:
        reading = committed_number(receipt.opening, receipt.chunk.commitment)
    except errors.DisclosureRefused as refusal:
        refuse(f"{refusal} ({refusal.reason})", "opening", *suspects)
    opened = "digest, salt and reading open the chunk's commitment"
    return f"{opened}; the committed reading is {reading_text(readings, reading)}"


def disclosed_reading(receipt: Receipt) -> int | None:
    """Return the reading in the opening of a verified receipt.

    None: it discloses none, or its stream has none, or the message has no number.
    """
    if receipt.descriptor.readings is None or receipt.opening is None:
        return None
    return committed_number(receipt.opening, receipt.chunk.commitment)


def check_chunk(receipt: Receipt) -> str:
    """Check that the chunk header is in the window."""
    chunk, header, readings = receipt.chunk, receipt.header, receipt.descriptor.readings
    suspects = () if receipt.is_signed else ("header",)
    if not header.first <= chunk.sequence < header.next_first:
        message = f"chunk {chunk.sequence} is not in the window"
        refuse(message, "chunk", *suspects)
    if not receipt.is_under_root:
        message = "the path does not lead from the chunk to the window's root"
        refuse(message, "chunk", "path", *suspects)
    if not header.first_received_ms <= chunk.received_ms <= header.last_received_ms:
        refuse("the chunk's time is outside the times of its window", "chunk", *suspects)
    if readings and chunk.length != readings.length:
        message = (
            f"the chunk states a length of {chunk.length} bytes; in its stream, every chunk "
            f"states {readings.length}"
        )
        refuse(message, "chunk", "descriptor")
    place = f"number {chunk.sequence - header.first + 1} of {header.count}"
    size = f"{'at most ' if readings else ''}{chunk.length} bytes"
    return f"chunk {chunk.sequence} ({size}) is {place} of the window's chunks"


def check_proof(receipt: Receipt) -> str:
    """Verify the window's proof, if the receipt contains it."""
    proven, header = receipt.proven, receipt.header
    if proven is None:
        raise Absent("the receipt does not contain the window's proof")
    if hashlib.sha256(proven.proof).digest() != window_claim(receipt).proof:
        refuse("the operators voted on another proof", "proof", "event")
    if tree_of(proven.chunks).root() != header.chunks_root:
        refuse("the chunk headers do not have the root in the window header", "chunks", "header")
    readings = receipt.descriptor.readings
    why = chunks_fault(header, proven.chunks) or readings_chunks_fault(
        readings, header, proven.chunks
    )
    if why:
        refuse(f"the chunk headers contradict the window header: {why}", "chunks", "header")
    _check_previous(receipt, proven)
    try:
        verify_window_proof(
            receipt.descriptor, header, proven.previous, proven.chunks, proven.proof
        )
    except errors.ProofRefused as refusal:
        refuse(f"the proof is not valid for the window ({refusal.reason})", "proof")
    known = f"the prover knew all {len(proven.chunks)} openings and the secret key of the identity"
    bounds = _claimed_bounds(receipt)
    if readings is None or bounds is None:
        return known
    return f"{known}; {committed_text(header.count)} {bounds_text(readings, bounds)}"


def _check_previous(receipt: Receipt, proven: Proven) -> None:
    """Check the previous header: the window's header, which the stream signed, has its hash."""
    if proven.previous is None:
        if needs_previous(receipt.descriptor, receipt.header):
            message = (
                "the proof begins with the last chunk of the previous window, and the receipt "
                "lacks the header of that window"
            )
            refuse(message, "previous_header")
    elif proven.previous.hash != receipt.header.previous:
        message = "the previous header is not the one that the window follows"
        refuse(message, "previous_header", *(() if receipt.is_signed else ("header",)))


def check_certified_readings(receipt: Receipt) -> str:
    """Return what the operators certified of the window's committed readings.

    The event and the header are checked by the checks "votes" and "window".
    """
    readings, bounds = receipt.descriptor.readings, _claimed_bounds(receipt)
    if readings is None or bounds is None:
        raise Absent("the window carries no claim about its readings")
    return (
        f"{committed_text(receipt.header.count)} {bounds_text(readings, bounds)}, as the "
        "operators verified"
    )


def _claimed_bounds(receipt: Receipt) -> ReadingBounds | None:
    """Return the bounds of the window's readings; None if it claims nothing about them."""
    readings, header = receipt.descriptor.readings, receipt.header
    if readings is None or header.claim is not HeaderClaim.READINGS:
        return None
    bounds = readings.bounds(header.count, readings.is_carried(header.number), header.stated)
    if bounds is None:
        message = "the window claims its readings, but no bounds of its stream are possible for it"
        refuse(message, "header", "descriptor")
    return bounds
