"""The one way in which a verifier says no: `ProofRefused`, with one of these reasons.

Nothing else is ever raised by a verifier because of what a proof or a statement contains.
"""

from __future__ import annotations

import enum

from dragon.errors import ProofRefused

__all__ = ["ProofRefused", "Reason"]


class Reason(enum.StrEnum):
    """Why a proof is refused; the words are those of sections 10.1 and 18.8.

    `PROOF_TOO_SHORT` and `TRAILING_BYTES` are also said of a proof whose length alone is out of
    the bounds that its parameters set.
    """

    INPUT = "input"  # the statement is none: wrong types, counts, lengths or words
    PARAMETERS = "parameters"  # no such set, or parameters that do not fit
    PROOF_TOO_SHORT = "proof_too_short"
    TRAILING_BYTES = "trailing_bytes"
    NON_CANONICAL = "non_canonical"  # a field element written as a word of p or more
    OODS = "oods"  # the out-of-domain check
    PROOF_OF_WORK = "proof_of_work"
    LAYER0_DECOMMITMENT = "layer0_decommitment"  # trace or composition opening
    FRI_LAYER_DECOMMITMENT = "fri_layer_decommitment"
    LAST_LAYER = "last_layer"
