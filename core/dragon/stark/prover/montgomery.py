"""Constants for kernels, and conversion between integers and the words of kernels."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import numpy as np

from dragon.stark import field
from dragon.stark.field import TWO_ADICITY, P, R
from dragon.stark.prover.kernels import transforms
from dragon.stark.prover.kernels.jit import Words, Words32
from dragon.stark.prover.kernels.polynomials import powers, scale
from dragon.stark.rescue import mds_matrix, mds_matrix_inverse, round_constants

_MIN_ROOTS: Final = 1 << 9
_R_SQUARED: Final = np.uint64(R * R % P)
_LOCK: Final = threading.Lock()
_ROOTS: Final[dict[str, Words]] = {}


def words(elements: Iterable[int]) -> Words:
    """Convert elements of F to Montgomery form."""
    return montgomery(np.array([x % P for x in elements], dtype=np.uint64))


def montgomery(numbers: Words) -> Words:
    """Convert numbers below p to Montgomery form, in place. Returns the same array."""
    scale(numbers, _R_SQUARED)
    return numbers


def word(element: int) -> np.uint64:
    """Convert one element of F to Montgomery form."""
    return np.uint64(element * R % P)


def integers(numbers: Words) -> list[int]:
    """Convert Montgomery form to elements of F."""
    standard = numbers.copy()
    scale(standard, np.uint64(1))
    elements: list[int] = standard.tolist()
    return elements


def digest_words(digest: bytes) -> Words32:
    """The eight words of a BLAKE2s digest."""
    return np.frombuffer(bytearray(digest), dtype="<u4")


def wire(numbers: Words) -> bytes:
    """Encode numbers for the wire: enc(x) of each (section 1.2)."""
    return numbers.astype(">u8").tobytes()


def roots(size: int) -> Words:
    """At least `size` of the roots of unity that transforms use.

    A longer request extends the table; known entries never change.
    """
    return _roots("forward", size, 1)


def inverse_roots(size: int) -> Words:
    """The inverses of `roots`."""
    return _roots("backward", size, -1)


def _roots(name: str, size: int, exponent: int) -> Words:
    known = _ROOTS.get(name)
    if known is None or known.size < size:
        with _LOCK:
            grown = np.empty(1 << field.ceil_log2(max(size, _MIN_ROOTS)), dtype=np.uint64)
            grown[0] = R
            generators = [
                pow(field.root_of_unity(4 << v), exponent, P) for v in range(TWO_ADICITY - 1)
            ]
            transforms.extend_roots(grown, 1, words(generators))
            _ROOTS[name] = known = grown
    return known


def geometric(count: int, start: int, base: int) -> Words:
    """start·base^i for i < count."""
    result = np.empty(count, dtype=np.uint64)
    powers(result, word(start), word(base))
    return result


@lru_cache(maxsize=1)
def rescue_constants() -> Words:
    """The constants of Rescue, in the order that `kernels.rescue` expects."""
    padding = [0] * 4
    columns = [[*column, *padding] for column in zip(*mds_matrix(), strict=True)]
    rounds = [[*constants, *padding] for constants in round_constants()]
    return words(x for row in (*columns, *mds_matrix(), *rounds) for x in row)


@lru_cache(maxsize=1)
def matrices() -> Words:
    """M by rows, then M^-1 by rows."""
    return words(x for row in (*mds_matrix(), *mds_matrix_inverse()) for x in row)
