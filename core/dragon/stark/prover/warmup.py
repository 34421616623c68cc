"""Have all kernels ready before the first proof."""

from __future__ import annotations

from collections.abc import Callable

from dragon.stark.prover import blocks, rescue_chain, ziggy
from dragon.stark.prover.kernels.jit import KERNELS

Progress = Callable[[str, int, int], None]

PROVERS = (blocks, rescue_chain, ziggy)  # importing them registers every kernel


def warm_up(progress: Progress) -> None:
    """Read every kernel from the cache, or compile it (half a second to three each).

    `progress(name, done, total)` is called before each kernel, and once with the name "" at the
    end.
    """
    for done, kernel in enumerate(KERNELS):
        progress(kernel.name, done, len(KERNELS))
        kernel.prepare()
    progress("", len(KERNELS), len(KERNELS))
