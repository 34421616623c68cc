"""Verify blocks proofs and windows under a named parameter set (section 18)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.commitment import check_outputs, decode_outputs
from dragon.stark.parameter_sets import MAX_BLOCKS, named_set, strict_set
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.verifier import verify

MAX_CHUNKS: Final = MAX_BLOCKS - 1  # of a window; the identity takes one block


def statement(outputs: Sequence[bytes], message: bytes) -> BlocksAir:
    """The statement "I know preimages of these outputs", bound to `message`.

    Each output has 32 bytes; their number is a power of two up to 4096.

    Raises ProofRefused (input, parameters): the arguments do not form a statement.
    """
    if not isinstance(outputs, (list, tuple)) or not isinstance(message, bytes):
        text = "a statement needs a list of outputs and a message of bytes"
        raise ProofRefused(Reason.INPUT, text)
    if len(outputs) > MAX_BLOCKS:
        text = f"{len(outputs)} outputs; a proof covers at most {MAX_BLOCKS}"
        raise ProofRefused(Reason.PARAMETERS, text)
    return BlocksAir(decode_outputs(outputs), message)


def verify_blocks(set_name: str, outputs: Sequence[bytes], message: bytes, proof: bytes) -> None:
    """Verify that `proof` proves the statement under the named set. Returns nothing.

    The relying party chooses the set. Never take its name from the proof or from the sender.

    Raises ProofRefused: the proof is invalid; `reason` names the check that failed first.
    """
    chosen = named_set(set_name)
    air = statement(outputs, message)
    verify(air, chosen.parameters(air.n_blocks), proof)


def window_outputs(identity: bytes, commitments: Sequence[bytes]) -> list[bytes]:
    """The outputs of a window: the identity, the chunks, and the identity again as padding.

    `commitments` holds one output for each of the 0 to 4095 chunks, in order; equal ones may occur.
    The length of the result is the smallest power of two above the number of chunks.

    Raises ProofRefused (input): there are too many commitments, one is not an output, or one equals
    the identity. In the last case the number of chunks would be ambiguous (section 18.1).
    """
    if not isinstance(commitments, (list, tuple)) or len(commitments) > MAX_CHUNKS:
        message = f"a window must be a list of at most {MAX_CHUNKS} commitments"
        raise ProofRefused(Reason.INPUT, message)
    check_outputs((identity, *commitments))
    if identity in commitments:
        chunk = commitments.index(identity)
        message = f"the commitment of chunk {chunk} equals the identity"
        raise ProofRefused(Reason.INPUT, message)
    n_blocks = 1 << len(commitments).bit_length()
    return [identity, *commitments, *[identity] * (n_blocks - 1 - len(commitments))]


def verify_window(
    set_name: str, identity: bytes, commitments: Sequence[bytes], message: bytes, proof: bytes
) -> None:
    """Verify that `proof` proves the window's statement under the named set. Returns nothing.

    Raises ProofRefused: the proof is invalid, or the set is not strict.
    """
    strict_set(set_name)
    verify_blocks(set_name, window_outputs(identity, commitments), message, proof)
