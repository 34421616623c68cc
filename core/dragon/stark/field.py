"""The base field F of p = 2^61 + 20·2^32 + 1 elements (section 1).

Elements are integers in [0, p). Montgomery form occurs on the wire only; `encode` and `decode`
convert it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from dragon.stark import compiled
from dragon.stark.refusal import ProofRefused, Reason

P: Final = 2**61 + 20 * 2**32 + 1
GENERATOR: Final = 3  # of F*; also the offset of the evaluation domain
TWO_ADICITY: Final = 34  # p - 1 = 2^34 · 13 · 167 · 211 · 293
ELEMENT_BYTES: Final = 8
R: Final = 2**64 % P
R_INVERSE: Final = pow(R, -1, P)

_MANY: Final = 128  # elements: fewer are converted as fast in plain Python

_ROOTS: Final = tuple(pow(GENERATOR, (P - 1) >> k, P) for k in range(TWO_ADICITY + 1))


def log2(size: int) -> int:
    """The base-2 logarithm. Raises ValueError: `size` is not a power of two."""
    if size < 1 or size & (size - 1):
        raise ValueError(f"{size} is not a power of two")
    return size.bit_length() - 1


def ceil_log2(size: int) -> int:
    """The smallest k with 2^k >= size. Requires size >= 1."""
    return (size - 1).bit_length()


def root_of_unity(size: int) -> int:
    """ω_size, the generator of the subgroup of this order (section 1.1).

    `size` is a power of two up to 2^34.
    """
    return _ROOTS[log2(size)]


def powers(base: int, count: int) -> list[int]:
    """base^0, base^1, …, base^(count - 1)."""
    result, step = [1], base % P
    while len(result) < count:
        result += [power * step % P for power in result]
        step = step * step % P
    return result[:count]


def bit_reverse(index: int, bits: int) -> int:
    """rev_bits(index): the lowest `bits` bits in reverse order. rev_0(0) = 0."""
    return int(f"{index:0{bits}b}"[::-1], 2) if bits else 0


def inverse(x: int) -> int:
    """1/x. Raises ZeroDivisionError: x is zero."""
    if x % P == 0:
        raise ZeroDivisionError("zero has no inverse")
    return pow(x, -1, P)


def batch_inverse(elements: Sequence[int]) -> list[int]:
    """The inverse of each element, with a single inversion (Montgomery's trick).

    Raises ZeroDivisionError: an element is zero.
    """
    products, product = [], 1
    for x in elements:
        products.append(product)
        product = product * x % P
    suffix = inverse(product)
    inverses = [0] * len(elements)
    for i in range(len(elements) - 1, -1, -1):
        inverses[i] = suffix * products[i] % P
        suffix = suffix * elements[i] % P
    return inverses


def encode(elements: Iterable[int]) -> bytes:
    """Encode each element in 8 bytes: Montgomery form, big endian (section 1.2)."""
    elements = list(elements)
    if len(elements) >= _MANY and (functions := compiled.in_use()):
        return functions.encode([x % P for x in elements])
    words = [x * R % P for x in elements]
    return struct.pack(f">{len(words)}Q", *words)


def decode(raw: bytes) -> list[int]:
    """Decode elements from `raw`, a multiple of 8 bytes.

    Raises ProofRefused (non_canonical): a word is not below p.
    """
    words = _words(raw)
    if len(words) >= _MANY and (functions := compiled.in_use()):
        return functions.decode(raw)
    return [word * R_INVERSE % P for word in words]


def check_encoded(raw: bytes) -> None:
    """Check that `raw`, a multiple of 8 bytes, encodes elements. Raises as `decode` does."""
    _words(raw)


def _words(raw: bytes) -> tuple[int, ...]:
    words = struct.unpack(f">{len(raw) // ELEMENT_BYTES}Q", raw)
    if words and max(words) >= P:
        message = "a field element is encoded as a word that is not below p"
        raise ProofRefused(Reason.NON_CANONICAL, message)
    return words
