"""Verify readings proofs of windows under a named parameter set (section 19)."""

from __future__ import annotations

from collections.abc import Sequence

from dragon.stark.airs.readings import ReadingsAir
from dragon.stark.blocks import window_outputs
from dragon.stark.commitment import decode_outputs
from dragon.stark.parameter_sets import strict_set
from dragon.stark.reading_bounds import ReadingBounds
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.verifier import verify


def readings_statement(
    identity: bytes,
    commitments: Sequence[bytes],
    carried: bool,
    bounds: ReadingBounds,
    message: bytes,
) -> ReadingsAir:
    """The statement "the numbers in these commitments keep the bounds", bound to `message`.

    It is about the committed numbers, in the order of the commitments. Only the disclosure of a
    chunk shows that its committed number is the number in its data.

    Args:
        identity: the output of the stream's owner, 32 bytes.
        commitments: 1 to 4095 outputs. With `carried`, the last commitment of the previous window
            comes first.
        carried: whether the first commitment is carried. It counts for range and steps, and not
            for the sum.
        bounds: the intervals, computed by the relying party.
        message: the bytes that the proof is bound to.

    Raises ProofRefused (input): the arguments do not form a statement.
    """
    well_typed = isinstance(bounds, ReadingBounds) and isinstance(message, bytes)
    if not well_typed:
        text = "a readings statement needs bounds, and a message of bytes"
        raise ProofRefused(Reason.INPUT, text)
    outputs = window_outputs(identity, commitments)
    return ReadingsAir(decode_outputs(outputs), len(commitments), carried, bounds, message)


def verify_readings(  # noqa: PLR0917 - the arguments of `readings_statement`, set and proof
    set_name: str,
    identity: bytes,
    commitments: Sequence[bytes],
    carried: bool,
    bounds: ReadingBounds,
    message: bytes,
    proof: bytes,
) -> None:
    """Verify that `proof` proves the readings statement under the named set. Returns nothing.

    The relying party chooses the set and computes every other argument except the proof. Never take
    bounds, the list of commitments or `carried` from the proof or from the sender.

    Raises ProofRefused: the proof is invalid, or the set is not strict.
    """
    chosen = strict_set(set_name)
    air = readings_statement(identity, commitments, carried, bounds, message)
    verify(air, chosen.parameters(air.n_blocks), proof)
