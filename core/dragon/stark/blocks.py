"""Blocks proofs for whoever relies on them: a set by name, a statement, a proof (section 18)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.commitment import decode_output
from dragon.stark.parameter_sets import MAX_BLOCKS, named_set
from dragon.stark.parameters import Slack
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.verifier import verify

MAX_CHUNKS: Final = MAX_BLOCKS - 1


def statement(outputs: Sequence[bytes], message: bytes) -> BlocksAir:
    """The statement "I know preimages of these outputs", each of 32 bytes, bound to `message`.

    Raises ProofRefused (input, parameters): it is none.
    """
    if not isinstance(outputs, (list, tuple)) or not isinstance(message, bytes):
        raise ProofRefused(Reason.INPUT, "a statement is a list of outputs and a message")
    if len(outputs) > MAX_BLOCKS:
        raise ProofRefused(Reason.PARAMETERS, f"a proof covers at most {MAX_BLOCKS} outputs")
    return BlocksAir(tuple(decode_output(output) for output in outputs), message)


def verify_blocks(set_name: str, outputs: Sequence[bytes], message: bytes, proof: bytes) -> None:
    """Return quietly if `proof` proves the statement under the named set.

    The name comes from the relying party's own policy, never from the proof or its bearer.

    Raises ProofRefused: it does not.
    """
    chosen = named_set(set_name)
    air = statement(outputs, message)
    verify(air, chosen.parameters(air.n_blocks), proof)


def window_outputs(identity: bytes, commitments: Sequence[bytes]) -> list[bytes]:
    """The outputs of a window: the identity, its chunks, and the identity again as padding.

    `commitments` are those of the 0 to 4095 chunks in their order; the same one may occur twice.
    The result has the smallest power of two of entries above their number.

    Raises ProofRefused (input): too many, an entry is no output, or one equals the identity, which
    would leave open where the chunks end.
    """
    if not isinstance(commitments, (list, tuple)) or len(commitments) > MAX_CHUNKS:
        raise ProofRefused(Reason.INPUT, f"a window is a list of at most {MAX_CHUNKS} commitments")
    for output in (identity, *commitments):
        decode_output(output)
    if identity in commitments:
        raise ProofRefused(Reason.INPUT, "a chunk's commitment equals the identity")
    n_blocks = 1 << len(commitments).bit_length()
    return [identity, *commitments, *[identity] * (n_blocks - 1 - len(commitments))]


def verify_window(
    set_name: str, identity: bytes, commitments: Sequence[bytes], message: bytes, proof: bytes
) -> None:
    """Return quietly if `proof` proves the window's statement under the named set.

    Only strict sets serve for windows, even for one without chunks: an identity that also signed
    under a base file would have the weaker secrecy of that (18.12).

    Raises ProofRefused: it does not.
    """
    if named_set(set_name).slack is not Slack.STRICT:
        raise ProofRefused(Reason.PARAMETERS, f"{set_name} is no set for windows")
    verify_blocks(set_name, window_outputs(identity, commitments), message, proof)
