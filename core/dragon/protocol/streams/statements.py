"""What the proof of a window must show: its commitments, or also that readings are within bounds.

Nothing of a statement comes from the prover. Each verifier computes it from the descriptor, the
signed headers and the chunk headers (sections 19.10 and 19.16).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dragon.protocol.claims.window import Statement
from dragon.protocol.streams.chunks import ChunkHeader
from dragon.protocol.streams.closing import HeaderClaim
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.readings import Readings
from dragon.protocol.streams.window import WindowHeader, outputs
from dragon.stark.blocks import verify_window
from dragon.stark.reading_bounds import ReadingBounds
from dragon.stark.readings import readings_statement, verify_readings
from dragon.stark.refusal import ProofRefused, Reason


@dataclass(frozen=True, slots=True)
class ReadingsStatement:
    """The claim of a window that all its committed readings are within these bounds."""

    carried: bytes | None  # the previous window's last commitment, if steps reach across windows
    bounds: ReadingBounds

    def commitments(self, chunks: Sequence[ChunkHeader]) -> list[bytes]:
        """Return the commitments that the proof is about: the carried one first."""
        carried = [] if self.carried is None else [self.carried]
        return [*carried, *(chunk.commitment for chunk in chunks)]


def statement_of(descriptor: Descriptor, header: WindowHeader) -> Statement | None:
    """Return the member `statement` of claims about a window; None without readings."""
    if descriptor.readings is None:
        return None
    return Statement.READINGS if header.claim is HeaderClaim.READINGS else Statement.BLOCKS


def needs_previous(descriptor: Descriptor, header: WindowHeader) -> bool:
    """Return whether the window's proof begins with the last commitment of the previous window."""
    readings = descriptor.readings
    is_claimed = header.claim is HeaderClaim.READINGS
    return readings is not None and is_claimed and readings.is_carried(header.number)


def proven_chunks(descriptor: Descriptor, header: WindowHeader) -> int:
    """Return the number of chunks that the window's proof is about, a carried one included."""
    return header.count + needs_previous(descriptor, header)


def window_statement(
    descriptor: Descriptor, header: WindowHeader, previous: WindowHeader | None
) -> ReadingsStatement | None:
    """Return the statement about a window's readings; None: the proof is a blocks proof.

    Args:
        header: a header without a fault, see `dragon.protocol.streams.window_readings`.
        previous: the previous window's header; None for the stream's first window.

    Raises ProofRefused (input): the window cannot make the statement, for example because the sum
    that it states is not admissible, or `previous` is missing or another window.
    """
    readings = descriptor.readings
    if readings is None or header.claim is not HeaderClaim.READINGS:
        return None
    carried = _carried(readings, header, previous)
    bounds = readings.bounds(header.count, carried is not None, header.stated)
    if bounds is None:
        message = "the window cannot claim its readings: no sum in the stream's bounds is possible"
        raise ProofRefused(Reason.INPUT, message)
    return ReadingsStatement(carried, bounds)


def _carried(
    readings: Readings, header: WindowHeader, previous: WindowHeader | None
) -> bytes | None:
    if not readings.is_carried(header.number):
        return None
    if previous is None or previous.hash != header.previous or previous.last is None:
        message = "the statement needs the last commitment in the previous window's header"
        raise ProofRefused(Reason.INPUT, message)
    return previous.last


def check_statement(
    descriptor: Descriptor,
    header: WindowHeader,
    previous: WindowHeader | None,
    chunks: Sequence[ChunkHeader],
) -> ReadingsStatement | None:
    """Return the window's statement if something can be proven about it.

    Raises ProofRefused (input): as `window_statement`; or a commitment is malformed, or equals the
    identity.
    """
    statement = window_statement(descriptor, header, previous)
    if statement is None:
        outputs(descriptor, chunks)
        return None
    identity, commitments = descriptor.identity, statement.commitments(chunks)
    carried = statement.carried is not None
    readings_statement(identity, commitments, carried, statement.bounds, header.hash)
    return statement


def verify_window_proof(
    descriptor: Descriptor,
    header: WindowHeader,
    previous: WindowHeader | None,
    chunks: Sequence[ChunkHeader],
    proof: bytes,
) -> None:
    """Verify that `proof` proves the statement of this window. Returns nothing.

    A window that claims its readings needs a readings proof under the descriptor's bounds, and any
    other window a blocks proof: neither is accepted in place of the other.

    Args:
        previous: the previous window's header; only needed if the proof begins with its last chunk.

    Raises ProofRefused: the proof is invalid; `reason` names the check that failed first.
    """
    statement = window_statement(descriptor, header, previous)
    name, identity, message = descriptor.parameters, descriptor.identity, header.hash
    if statement is None:
        commitments = [chunk.commitment for chunk in chunks]
        verify_window(name, identity, commitments, message, proof)
        return
    commitments, carried = statement.commitments(chunks), statement.carried is not None
    verify_readings(name, identity, commitments, carried, statement.bounds, message, proof)
