"""Load or compile the kernels of the provers that are imported, before the first proof."""

from __future__ import annotations

from collections.abc import Callable

from dragon.stark.prover.kernels.jit import KERNELS

Progress = Callable[[str, int, int], None]  # kernel name, kernels done, kernels in total


def is_compiled() -> bool:
    """Whether all these kernels are in the cache. If not, `prepare` takes half a minute."""
    return all(kernel.is_cached() for kernel in KERNELS)


def prepare(progress: Progress) -> None:
    """Read every kernel from the cache, or compile it (0.5 to 3 seconds each).

    `progress(name, done, total)` is called before each kernel, and at the end with an empty name.
    """
    for done, kernel in enumerate(KERNELS):
        progress(kernel.name, done, len(KERNELS))
        kernel.prepare()
    progress("", len(KERNELS), len(KERNELS))
