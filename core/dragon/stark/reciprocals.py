"""Compute 1/(u - a) for one u in K and many a in F, with a single inversion in F.

With ū and u̿ the conjugates of u, 1/(u - a) = (ū - a)(u̿ - a) / N(u - a). The numerator is the
quadratic `product` - `total`·a + a² over K. The norm is a cubic in a over F. The coefficients of
both depend on u only.
"""

from __future__ import annotations

from collections.abc import Sequence

from dragon.stark import extension as ext
from dragon.stark import field
from dragon.stark.extension import Element
from dragon.stark.field import P


class Reciprocals:
    """The coefficients of the quadratic and the cubic for one u."""

    def __init__(self, u: Element) -> None:
        first = ext.conjugate(u)
        second = ext.conjugate(first)
        self.total: Element = ext.add(first, second)
        self.product: Element = ext.mul(first, second)
        # N(u - a) = e3 - e2·a + e1·a² - a³ with the elementary symmetric functions e_i of u, ū, u̿.
        self.norm = (
            ext.add(u, self.total)[0],
            ext.add(ext.mul(u, self.total), self.product)[0],
            ext.mul(u, self.product)[0],
        )

    def norm_inverses(self, points: Sequence[int]) -> list[int]:
        """1/N(u - a) for each a of `points`. Raises ZeroDivisionError: a point equals u."""
        e1, e2, e3 = self.norm
        return field.batch_inverse([(e3 - a * (e2 - a * (e1 - a) % P)) % P for a in points])

    def cofactor(self, a: int) -> Element:
        """(ū - a)(u̿ - a)."""
        (p0, p1, p2), (t0, t1, t2) = self.product, self.total
        return (p0 - t0 * a + a * a) % P, (p1 - t1 * a) % P, (p2 - t2 * a) % P
