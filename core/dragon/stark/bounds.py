"""Bounds on the size of a proof, checked before the proof is parsed."""

from __future__ import annotations

from dragon.stark import extension as ext
from dragon.stark import field
from dragon.stark.air import Air
from dragon.stark.hashchain import DIGEST_BYTES, NONCE_BYTES
from dragon.stark.parameters import DEGREE_FACTOR, Lengths, Parameters
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.tables import SALT_BYTES, package_rows


def fixed_size(air: Air, parameters: Parameters) -> int:
    """The number of bytes before the query phase (section 8)."""
    elements = len(air.mask) + DEGREE_FACTOR + parameters.last_layer_degree_bound
    digests = 2 + len(parameters.fri_step_list) - 1
    nonce = NONCE_BYTES if parameters.proof_of_work_bits else 0
    return DIGEST_BYTES * digests + ext.ELEMENT_BYTES * elements + nonce


def largest_size(air: Air, parameters: Parameters, lengths: Lengths) -> int:
    """An upper bound on the bytes of a proof: the size if no two queries share a Merkle node."""
    steps = parameters.fri_step_list
    rows = min(parameters.n_queries << steps[0], lengths.domain_size)
    salt = SALT_BYTES if lengths.blinding_columns else 0
    total = fixed_size(air, parameters)
    trace_row = field.ELEMENT_BYTES * lengths.columns
    total += _opening(rows, trace_row + salt, lengths.domain_size, 1)
    total += _opening(rows, ext.ELEMENT_BYTES * DEGREE_FACTOR, lengths.domain_size, 1)
    n_rows = lengths.domain_size >> steps[0]
    for step in steps[1:]:
        n_rows >>= step
        row_bytes = ext.ELEMENT_BYTES << step
        per_leaf = package_rows(row_bytes, n_rows)
        total += _opening(min(parameters.n_queries, n_rows), row_bytes, n_rows, per_leaf)
    return total


def _opening(rows: int, row_bytes: int, n_rows: int, per_leaf: int) -> int:
    """Bytes for `rows` opened rows, the rest of their packages, and siblings on every level."""
    leaves, siblings = n_rows // per_leaf, 0
    level = leaves
    while level > 1:
        siblings += min(rows, level // 2)
        level //= 2
    return rows * per_leaf * row_bytes + siblings * DIGEST_BYTES


def check_size(air: Air, parameters: Parameters, lengths: Lengths, proof: bytes) -> None:
    """Refuse a proof of an impossible size.

    Raises ProofRefused (input, proof_too_short, trailing_bytes).
    """
    if not isinstance(proof, bytes):
        raise ProofRefused(Reason.INPUT, "a proof must be of type bytes")
    size = len(proof)
    least, most = fixed_size(air, parameters), largest_size(air, parameters, lengths)
    if size <= least:
        message = f"the proof has {size} bytes; these parameters require more than {least}"
        raise ProofRefused(Reason.PROOF_TOO_SHORT, message)
    if size > most:
        message = f"the proof has {size} bytes; these parameters allow at most {most}"
        raise ProofRefused(Reason.TRAILING_BYTES, message)
