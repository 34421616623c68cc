"""The condition on the out-of-domain point that provers check (section 18.12)."""

from __future__ import annotations

from dragon.errors import UnluckyChallenge
from dragon.stark import field
from dragon.stark.extension import Element
from dragon.stark.field import GENERATOR, P
from dragon.stark.parameters import Lengths


def check_outside_domain(z: Element, lengths: Lengths) -> None:
    """Check that z and h·z lie neither in the evaluation domain nor in ⟨g⟩ (section 18.12).

    Raises UnluckyChallenge: one of them does.
    """
    c0, c1, c2 = z
    if c1 or c2:
        return
    # h is in the subgroup of both domains, so h·z lies in a domain exactly if z does.
    on_coset = pow(c0 * field.inverse(GENERATOR), lengths.domain_size, P) == 1
    if on_coset or pow(c0, lengths.trace_length, P) == 1:
        raise UnluckyChallenge("the out-of-domain point lies in the domain; prove again")
