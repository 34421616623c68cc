"""What a statement has to tell prover and verifier: its algebraic intermediate representation.

A third statement is one more class with the members of `Air`; neither `verifier` nor the prover
names any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dragon.stark import extension as ext
from dragon.stark.extension import Element
from dragon.stark.parameters import Lengths, Parameters


@dataclass(frozen=True, slots=True)
class Family:
    """Constraints with one domain, evaluated at a point (5.5).

    Each contributes (α + α'·x^exponent) · numerator · factor / vanishing; what vanishes on the
    domain, and only there, is `vanishing`/`factor`.
    """

    numerators: Sequence[Element]
    factor: Element
    vanishing: Element
    exponent: int


class Air(Protocol):
    """A statement about a trace of `original_length` rows and `columns` columns over F."""

    @property
    def original_length(self) -> int:
        """L, a power of two."""

    @property
    def columns(self) -> int:
        """Columns of the trace without the blinding ones."""

    @property
    def n_constraints(self) -> int: ...

    @property
    def mask(self) -> Sequence[tuple[int, int]]:
        """The cells a constraint reads, as (row offset, column), rows counted in original rows.

        Also the order of the out-of-domain values. Every column occurs.
        """

    def admit(self, parameters: Parameters) -> None:
        """Raises ProofRefused (parameters): this statement is not proven with such parameters."""

    def channel_seed(self, parameters: Parameters) -> bytes:
        """Binds the proof to the statement."""

    def exponents(self, lengths: Lengths) -> Sequence[int]:
        """e_k for every constraint in order; all adjusted terms have degree < 4n."""

    def families_at(
        self, z: Element, values: Sequence[Element], lengths: Lengths
    ) -> Sequence[Family]:
        """All constraints in order, at a point of K.

        `values` are the trace polynomials there in the order of `mask`: entry (row, column) is
        f_column(z·h^row).

        Raises ZeroDivisionError: z lies in the subgroup of order L.
        """


def composition_at(
    z: Element, families: Sequence[Family], coefficients: Sequence[Element]
) -> Element:
    """C(z) = Σ_k (α_2k + α_2k+1·z^e_k) · c_k · num_k/den_k (5.5).

    Raises ZeroDivisionError: z lies in the domain of a constraint.
    """
    total, k = ext.ZERO, 0
    for family in families:
        plain, adjusted = ext.ZERO, ext.ZERO
        for numerator in family.numerators:
            plain = ext.add(plain, ext.mul(coefficients[2 * k], numerator))
            adjusted = ext.add(adjusted, ext.mul(coefficients[2 * k + 1], numerator))
            k += 1
        weighted = ext.add(plain, ext.mul(ext.power(z, family.exponent), adjusted))
        quotient = ext.mul(family.factor, ext.inverse(family.vanishing))
        total = ext.add(total, ext.mul(weighted, quotient))
    return total
