"""Check the disclosed opening of a chunk with a reading: number, value, digest and salt.

A readings proof speaks of committed values. That a committed value is the number in the data is
checked here, when the chunk is disclosed with its data (section 19.1 of
`docs/spec/ziggy-readings.md`).
"""

from __future__ import annotations

import enum
import hmac
from typing import NoReturn

from dragon import errors
from dragon.protocol.streams.chunks import digest, digest_of
from dragon.protocol.streams.readings import Readings
from dragon.stark.commitment import NO_READING, OPENING_BYTES, committed_reading, is_opening


class DisclosureReason(enum.StrEnum):
    """Why a disclosed opening is refused."""

    SIZE = "size"  # the opening does not have 60 bytes
    TOP_BITS = "top_bits"  # one of the top four bits of the value is set
    COMMITMENT = "commitment"  # digest, salt and value do not open the commitment
    LENGTH = "length"  # the data is longer than the descriptor's `length`
    DIGEST = "digest"  # the SHA-256 of the data is not the digest in the opening
    NUMBER = "number"  # the number in the data is not the committed value
    NO_NUMBER = "no_number"  # a reading is committed to, but the data has none
    UNCOMMITTED = "uncommitted"  # the data has a reading, but none is committed to


def committed_number(opening: bytes, commitment: bytes) -> int | None:
    """Return the reading that a commitment contains; None: a message without a reading.

    It is not compared with any data, so it is the owner's word.

    Raises DisclosureRefused (size, top_bits, commitment).
    """
    reading = _stored(opening)
    if not is_opening(commitment, opening):
        message = "digest, salt and value do not open the chunk's commitment"
        _refuse(DisclosureReason.COMMITMENT, message)
    return reading


def check_data(readings: Readings, opening: bytes, data: bytes) -> int | None:
    """Return the reading of `data` if it is the one in the opening; None: both have no reading.

    The opening must be compared with the commitment too, see `committed_number`.

    Raises DisclosureRefused (size, top_bits, length, digest, number, no_number, uncommitted).
    """
    stored = _stored(opening)
    if len(data) > readings.length:
        message = f"the data has {len(data)} bytes; the stream allows at most {readings.length}"
        _refuse(DisclosureReason.LENGTH, message)
    if not hmac.compare_digest(digest(data), digest_of(opening)):
        message = "the SHA-256 of the data is not the digest in the opening"
        _refuse(DisclosureReason.DIGEST, message)
    _compare(readings.rule.reading(data), stored)
    return stored


def check_disclosure(
    readings: Readings, commitment: bytes, opening: bytes, data: bytes
) -> int | None:
    """Return the reading of a chunk whose data, opening and commitment fit; None: no reading.

    Raises DisclosureRefused: `reason` names the first check that failed.
    """
    check_data(readings, opening, data)
    return committed_number(opening, commitment)


def _stored(opening: bytes) -> int | None:
    if len(opening) != OPENING_BYTES:
        message = f"the opening has {len(opening)} bytes, expected {OPENING_BYTES}"
        _refuse(DisclosureReason.SIZE, message)
    try:
        value = committed_reading(opening)
    except errors.ProofRefused as refusal:
        _refuse(DisclosureReason.TOP_BITS, str(refusal))
    return None if value == NO_READING else value


def _compare(read: int | None, stored: int | None) -> None:
    if read == stored:
        return
    if read is None:
        message = f"the committed value is {stored}, but the data has no reading"
        _refuse(DisclosureReason.NO_NUMBER, message)
    if stored is None:
        message = f"the reading of the data is {read}, but no reading is committed to"
        _refuse(DisclosureReason.UNCOMMITTED, message)
    message = f"the reading of the data is {read}, but the committed value is {stored}"
    _refuse(DisclosureReason.NUMBER, message)


def _refuse(reason: DisclosureReason, message: str) -> NoReturn:
    raise errors.DisclosureRefused(reason, message)
