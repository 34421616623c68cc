"""The out-of-domain check: the polynomials fit the statement at a random point (section 10.1)."""

from __future__ import annotations

from collections.abc import Sequence

from dragon.stark import extension as ext
from dragon.stark.air import Air, composition_at
from dragon.stark.channel import VerifierChannel
from dragon.stark.extension import Element
from dragon.stark.parameters import DEGREE_FACTOR, Lengths
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.transcript import OutOfDomain


def sample(air: Air, lengths: Lengths, channel: VerifierChannel) -> OutOfDomain:
    """Steps 1 to 6 of the transcript (section 8), and the check.

    Raises ProofRefused (oods, proof_too_short, non_canonical).
    """
    chain = channel.chain
    initial_state = chain.state
    trace_root = channel.receive_digest()
    after_trace = chain.state
    coefficients = chain.extensions(2 * air.n_constraints)
    composition_root = channel.receive_digest()
    after_composition = chain.state
    z = chain.extension()
    mask_values = [channel.receive_element() for _ in air.mask]
    composition_values = [channel.receive_element() for _ in range(DEGREE_FACTOR)]

    composition = _composition_at(air, lengths, z, mask_values, coefficients)
    if composition != recombined(z, composition_values):
        message = "the composition polynomial does not match the trace at z"
        raise ProofRefused(Reason.OODS, message)
    return OutOfDomain(
        initial_state,
        trace_root,
        after_trace,
        coefficients,
        composition_root,
        after_composition,
        z,
        mask_values,
        composition_values,
        composition,
        chain.state,
    )


def _composition_at(
    air: Air,
    lengths: Lengths,
    z: Element,
    mask_values: Sequence[Element],
    coefficients: Sequence[Element],
) -> Element:
    try:
        return composition_at(z, air.families_at(z, mask_values, lengths), coefficients)
    except ZeroDivisionError:
        raise ProofRefused(Reason.OODS, "z lies in the domain of a constraint") from None


def recombined(z: Element, parts: Sequence[Element]) -> Element:
    """C(z) = Σ z^b·h_b(z^4)."""
    total = ext.ZERO
    for part in reversed(parts):
        total = ext.add(ext.mul(total, z), part)
    return total
