"""The reasons of `ProofRefused`.

A verifier raises no other error for any content of a proof or a statement.
"""

from __future__ import annotations

import enum

from dragon.errors import ProofRefused

__all__ = ["ProofRefused", "Reason"]


class Reason(enum.StrEnum):
    """Why a proof is refused, in the terms of sections 10.1 and 18.8.

    `PROOF_TOO_SHORT` and `TRAILING_BYTES` also cover proofs that are shorter or longer than the
    parameters allow.
    """

    INPUT = "input"  # not a statement: wrong type, count, length or word
    PARAMETERS = "parameters"  # unknown set, or parameters that do not fit the statement
    PROOF_TOO_SHORT = "proof_too_short"  # the proof ends too early
    TRAILING_BYTES = "trailing_bytes"  # the proof has more bytes than it should
    NON_CANONICAL = "non_canonical"  # a field element is encoded as a word that is not below p
    OODS = "oods"  # the out-of-domain check
    PROOF_OF_WORK = "proof_of_work"  # the nonce does not meet the grinding bits
    LAYER0_DECOMMITMENT = "layer0_decommitment"  # trace or composition opening
    FRI_LAYER_DECOMMITMENT = "fri_layer_decommitment"  # opening of a FRI layer
    LAST_LAYER = "last_layer"  # the last layer is not the stated polynomial
