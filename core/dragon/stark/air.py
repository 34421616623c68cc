"""The interface of a statement: its algebraic intermediate representation (AIR).

To add a statement, write one more class with the members of `Air`. The verifier and the prover know
statements only through this interface.
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
    """Constraints that share one domain, evaluated at a point (section 5.5).

    Each constraint contributes (α + α'·x^exponent) · numerator · factor / vanishing. The quotient
    `vanishing`/`factor` vanishes exactly on the domain.
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
        """The number of trace columns, without blinding columns."""

    @property
    def n_constraints(self) -> int:
        """The number of constraints."""

    @property
    def mask(self) -> Sequence[tuple[int, int]]:
        """The cells that a constraint reads, as (row offset in original rows, column).

        The out-of-domain values are sent in this order. Every column occurs at least once.
        """

    def admit(self, parameters: Parameters) -> None:
        """Check that the parameters fit this statement. Raises ProofRefused (parameters)."""

    def channel_seed(self, parameters: Parameters) -> bytes:
        """The seed of the hash chain. It binds the proof to the statement (section 4)."""

    def exponents(self, lengths: Lengths) -> Sequence[int]:
        """The exponent e_k of every constraint, in order. All adjusted terms have degree < 4n."""

    def families_at(
        self, z: Element, values: Sequence[Element], lengths: Lengths
    ) -> Sequence[Family]:
        """All constraints, in order, evaluated at a point z of K.

        `values` holds the trace polynomials in the order of `mask`: entry (row, column) is
        f_column(z·h^row).

        Raises ZeroDivisionError: z lies in the subgroup of order L.
        """


def composition_at(
    z: Element, families: Sequence[Family], coefficients: Sequence[Element]
) -> Element:
    """C(z) = Σ_k (α_2k + α_2k+1·z^e_k) · c_k · num_k/den_k (section 5.5).

    Raises ZeroDivisionError: z lies in the domain of a constraint.
    """
    total, k = ext.ZERO, 0
    for family in families:
        end = k + len(family.numerators)
        plain = ext.inner_product(coefficients[2 * k : 2 * end : 2], family.numerators)
        adjusted = ext.inner_product(coefficients[2 * k + 1 : 2 * end : 2], family.numerators)
        k = end
        weighted = ext.add(plain, ext.mul(ext.power(z, family.exponent), adjusted))
        quotient = ext.mul(family.factor, ext.inverse(family.vanishing))
        total = ext.add(total, ext.mul(weighted, quotient))
    return total
