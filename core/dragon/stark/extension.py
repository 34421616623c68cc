"""The cubic extension K = F[φ]/(φ³ + 2φ - 1) (section 1.3).

An element c0 + c1·φ + c2·φ² is the tuple (c0, c1, c2) of integers in [0, p). "Conjugate" always
means the Frobenius image z^p.

A verifier spends most of its time on sums of products with elements of F. They are computed on
*packed* elements, with the three coordinates side by side in one large integer: one multiplication
serves all three coordinates, and the sum is reduced once at its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import mul as times
from typing import Final, TypeAlias

from dragon.stark import field
from dragon.stark.field import P

Element: TypeAlias = tuple[int, int, int]

ZERO: Final[Element] = (0, 0, 0)
ONE: Final[Element] = (1, 0, 0)
PHI: Final[Element] = (0, 1, 0)
ELEMENT_BYTES: Final = 24
PHI_P: Final[Element] = (318233216319004744, 179006184179440168, 238674912239253558)  # φ^p
PHI_2P: Final[Element] = (2067168182873786313, 159116608159502372, 2126836910933599704)  # φ^2p

# Room for one packed coordinate: a sum of 2^34 products of two elements below 2^62.
_SHIFT: Final = 158
_MASK: Final = (1 << _SHIFT) - 1


def embed(x: int) -> Element:
    """Embed x of F into K."""
    return (x % P, 0, 0)


def add(a: Element, b: Element) -> Element:
    """a + b."""
    return ((a[0] + b[0]) % P, (a[1] + b[1]) % P, (a[2] + b[2]) % P)


def sub(a: Element, b: Element) -> Element:
    """a - b."""
    return ((a[0] - b[0]) % P, (a[1] - b[1]) % P, (a[2] - b[2]) % P)


def scale(a: Element, x: int) -> Element:
    """a·x for x in F."""
    return (a[0] * x % P, a[1] * x % P, a[2] * x % P)


def mul(a: Element, b: Element) -> Element:
    """a·b."""
    a0, a1, a2 = a
    b0, b1, b2 = b
    t3, t4 = a1 * b2 + a2 * b1, a2 * b2
    return (
        (a0 * b0 + t3) % P,
        (a0 * b1 + a1 * b0 - 2 * t3 + t4) % P,
        (a0 * b2 + a1 * b1 + a2 * b0 - 2 * t4) % P,
    )


def inner_product(left: Sequence[Element], right: Sequence[Element]) -> Element:
    """Σ left_i·right_i, reduced once at the end."""
    c0 = c1 = c2 = c3 = c4 = 0
    for (a0, a1, a2), (b0, b1, b2) in zip(left, right, strict=True):
        c0 += a0 * b0
        c1 += a0 * b1 + a1 * b0
        c2 += a0 * b2 + a1 * b1 + a2 * b0
        c3 += a1 * b2 + a2 * b1
        c4 += a2 * b2
    return (c0 + c3) % P, (c1 - 2 * c3 + c4) % P, (c2 - 2 * c4) % P


def product(factors: Iterable[Element]) -> Element:
    """The product of these elements; one if there are none."""
    result = ONE
    for each in factors:
        result = mul(result, each)
    return result


def power(a: Element, exponent: int) -> Element:
    """a^exponent for exponent >= 0, by squaring. A verifier takes many powers of the same a."""
    bits = f"{exponent:b}"[::-1]
    return product(_square(a, k) for k, bit in enumerate(bits) if bit == "1")


@lru_cache(maxsize=256)
def _square(a: Element, times_squared: int) -> Element:
    """a^(2^times_squared)."""
    if times_squared == 0:
        return a
    root = _square(a, times_squared - 1)
    return mul(root, root)


def conjugate(z: Element) -> Element:
    """z̄ = z^p, computed as a linear map over F."""
    c0, c1, c2 = z
    return (
        (c0 + c1 * PHI_P[0] + c2 * PHI_2P[0]) % P,
        (c1 * PHI_P[1] + c2 * PHI_2P[1]) % P,
        (c1 * PHI_P[2] + c2 * PHI_2P[2]) % P,
    )


def norm_and_cofactor(z: Element) -> tuple[int, Element]:
    """The norm N = z·z̄·z̿, an element of F, and the cofactor z̄·z̿. 1/z = cofactor/N."""
    conjugated = conjugate(z)
    cofactor = mul(conjugated, conjugate(conjugated))
    return mul(z, cofactor)[0], cofactor


def inverse(z: Element) -> Element:
    """1/z. Raises ZeroDivisionError: z is zero."""
    norm, cofactor = norm_and_cofactor(z)
    return scale(cofactor, field.inverse(norm))


def encode(elements: Iterable[Element]) -> bytes:
    """Encode each element as enc(c0) ‖ enc(c1) ‖ enc(c2)."""
    return field.encode(coordinate for element in elements for coordinate in element)


def decode(raw: bytes) -> list[Element]:
    """Decode elements from `raw`, a multiple of 24 bytes.

    Raises ProofRefused (non_canonical): a word is not below p.
    """
    words = field.decode(raw)
    return list(zip(words[::3], words[1::3], words[2::3], strict=True))


def pack(elements: Iterable[Element]) -> list[int]:
    """Pack each element into one integer, for `dot`."""
    return [c0 | c1 << _SHIFT | c2 << 2 * _SHIFT for c0, c1, c2 in elements]


def dot(packed: Iterable[int], scalars: Sequence[int]) -> Element:
    """Σ packed_i · scalars_i, up to the shorter length. At most 2^34 terms."""
    total = sum(map(times, packed, scalars))
    return (total & _MASK) % P, (total >> _SHIFT & _MASK) % P, (total >> 2 * _SHIFT) % P
