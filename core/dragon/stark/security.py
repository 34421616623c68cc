"""The security of a parameter set, in bits (section 18.6).

Three figures are always shown together: the provable soundness and the conjectured soundness of a
proof, and the binding of the commitments. The level is the least of the three. The figures hold per
round: after T calls of the hash function a forger succeeds with probability at most
T·2^-bits + O(T²·2^-256). The sum over all rounds is at most one bit worse.

Sources: Ben-Sasson, Carmon, Ishai, Kopparty, Saraf, "Proximity gaps for Reed-Solomon codes" (ePrint
2020/654), Theorem 8.3; Haböck, "A summary on the FRI low degree test" (ePrint 2022/1216),
Theorem 8; the ethSTARK documentation (ePrint 2021/582) for the conjecture. Its general form was
refuted in 2025 (ePrint 2025/2010, 2025/2046), and near capacity over prime fields in 2026 (arXiv
2604.09724). The provable figures do not depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import floor, log2, sqrt
from typing import Final

from dragon.stark.field import P
from dragon.stark.parameter_sets import BLOCK_ROWS, ParameterSet, named_set
from dragon.stark.parameters import Lengths, Parameters
from dragon.stark.refusal import ProofRefused

FIELD_BITS: Final = 3 * log2(P)  # log |K|
COLLISION_BITS: Final = 128.0  # of BLAKE2s-256, and of the SHA-256 of the data
BINDING_BITS: Final = 122.0  # collisions of Rescue: output and capacity have 244 bits each
MIN_LIST_PARAMETER: Final = 3  # the smallest m that the theorems allow


@dataclass(frozen=True, slots=True)
class Security:
    """Security figures in bits. `list_parameter` is the m that maximises the provable figure."""

    provable: float
    conjectured: float
    binding: float
    list_parameter: int

    @property
    def level(self) -> float:
        """The least of the three figures."""
        return min(self.provable, self.conjectured, self.binding)

    def rounded(self) -> dict[str, float]:
        """All figures and the level, rounded down to a tenth of a bit."""
        names = ("provable", "conjectured", "binding", "level")
        return {name: floor(10 * getattr(self, name)) / 10 for name in names}

    def __str__(self) -> str:
        return (
            "provable {provable}, conjectured {conjectured}, "
            "binding of commitments {binding}: level {level}"
        ).format(**self.rounded())


@lru_cache(maxsize=64)  # more than there are sets and numbers of blocks; some take 50 ms
def set_security(chosen: ParameterSet, n_blocks: int) -> Security:
    """The figures of a parameter set for proofs of `n_blocks` blocks.

    Raises ProofRefused (parameters): the set does not allow this number of blocks.
    """
    parameters = chosen.parameters(n_blocks)
    return security(parameters, parameters.lengths(BLOCK_ROWS * n_blocks))


def window_security(set_name: str, n_chunks: int) -> Security | None:
    """The figures of a window's proof, which covers one block more than the window has chunks.

    Returns None if no window has this number of chunks, or no set has this name.
    """
    if n_chunks < 0:
        return None
    try:
        return set_security(named_set(set_name), 1 << n_chunks.bit_length())
    except ProofRefused:
        return None


def window_level_bits(set_name: str, n_chunks: int) -> int | None:
    """The security level of a window's proof in whole bits, rounded down. None as above."""
    found = window_security(set_name, n_chunks)
    return None if found is None else floor(found.level)


def security(parameters: Parameters, lengths: Lengths) -> Security:
    """The figures of arbitrary parameters."""
    provable, m = provable_bits(parameters, lengths)
    return Security(provable, conjectured_bits(parameters, lengths), BINDING_BITS, m)


def conjectured_bits(parameters: Parameters, lengths: Lengths) -> float:
    """The designers' estimate. It assumes list decoding up to capacity."""
    queries = parameters.log_n_cosets * parameters.n_queries + parameters.proof_of_work_bits
    return min(float(queries), COLLISION_BITS, FIELD_BITS - log2(lengths.domain_size))


def provable_bits(parameters: Parameters, lengths: Lengths) -> tuple[float, int]:
    """Soundness in the Johnson regime, capped by hash collisions, and the best parameter m.

    A larger m allows a longer list of close codewords: fewer false proofs escape the queries, but
    the other rounds become weaker. Returns 0 bits if no m is admissible.
    """
    best, best_m = 0.0, MIN_LIST_PARAMETER
    m = MIN_LIST_PARAMETER
    while _is_admissible(m, lengths):
        others = _other_rounds(m, parameters, lengths)
        bits = min(others, _query_round(m, parameters))
        if bits > best:
            best, best_m = bits, m
        if others < best:  # it only decreases from here on
            break
        m += 1
    return min(best, COLLISION_BITS), best_m


def _agreement(m: int, log_n_cosets: int) -> float:
    """α_m: one minus the proximity parameter."""
    return sqrt(2.0**-log_n_cosets) * (1 + 1 / (2 * m))


def _is_admissible(m: int, lengths: Lengths) -> bool:
    rho, domain = 2.0**-lengths.log_n_cosets, lengths.domain_size
    distinct = sqrt((lengths.trace_length + 2) / domain)
    return rho - 2 * m / domain > 0 and _agreement(m, lengths.log_n_cosets) > distinct


def _other_rounds(m: int, parameters: Parameters, lengths: Lengths) -> float:
    """The least of: constraint coefficients, out-of-domain point, batching with folding."""
    rho, domain = 2.0**-lengths.log_n_cosets, lengths.domain_size
    codewords = m / (rho - 2 * m / domain)
    coefficients = FIELD_BITS - log2(codewords)
    out_of_domain = FIELD_BITS - log2(codewords**2 * 8 * lengths.trace_length)
    batching = (m + 0.5) ** 7 * domain**2 / (2 * rho**1.5)
    widths = sum(2**step for step in parameters.fri_step_list if step)
    folding = (2 * m + 1) * (domain + 1) / sqrt(rho) * widths
    return min(coefficients, out_of_domain, FIELD_BITS - log2(batching + folding))


def _query_round(m: int, parameters: Parameters) -> float:
    agreement = _agreement(m, parameters.log_n_cosets)
    return -parameters.n_queries * log2(agreement) + parameters.proof_of_work_bits
