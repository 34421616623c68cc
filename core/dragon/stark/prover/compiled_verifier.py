"""The compiled functions of a verifier: `use` them where many proofs are verified."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Final

import numpy as np

from dragon.stark import compiled, field
from dragon.stark import extension as ext
from dragon.stark.extension import Element
from dragon.stark.prover.compiled_queries import check_queries
from dragon.stark.prover.kernels import query_layers, query_openings, query_values
from dragon.stark.prover.kernels.jit import KERNELS, Words
from dragon.stark.prover.kernels.query_values import interpolants
from dragon.stark.prover.montgomery import integers, montgomery, wire, word, words
from dragon.stark.reciprocals import Reciprocals
from dragon.stark.rescue import Matrix

_MODULES: Final = {each.__name__ for each in (query_layers, query_openings, query_values)}


class CompiledVerifier:
    """See `dragon.stark.compiled.Compiled`."""

    check_queries = staticmethod(check_queries)

    @staticmethod
    def interpolants_at(columns: Sequence[Sequence[int]], u: Element) -> list[Element]:
        size = len(columns[0])
        at = Reciprocals(u)
        vanishing = ext.sub(ext.power(u, size), ext.ONE)
        geometry = words((*at.product, *at.total, *at.norm, *vanishing))
        generator, inverse_size = word(field.root_of_unity(size)), word(field.inverse(size))
        values = np.empty(3 * len(columns), np.uint64)
        flat = _flat(columns) if isinstance(columns, tuple) else words(chain(*columns))
        if not interpolants(flat, size, geometry, generator, inverse_size, values):
            raise ZeroDivisionError("u lies in the subgroup")
        found = iter(integers(values))
        return list(zip(found, found, found, strict=True))

    @staticmethod
    def encode(elements: Sequence[int]) -> bytes:
        return wire(montgomery(np.array(elements, dtype=np.uint64)))

    @staticmethod
    def decode(raw: bytes) -> list[int]:
        return integers(np.frombuffer(raw, dtype=">u8").astype(np.uint64))


@lru_cache(maxsize=8)
def _flat(columns: Matrix) -> Words:
    """The numbers of constant columns. Outputs, which change, are given as lists."""
    return words(chain(*columns))


def use_compiled_verifier() -> None:
    """Read the kernels from the cache, or compile them (seconds), and use them from now on."""
    for each in KERNELS:
        if each.module in _MODULES:
            each.prepare()
    compiled.use(CompiledVerifier())
