"""Load or compile the kernels of all provers before the first proof."""

from __future__ import annotations

from dragon.stark.prover import (
    blocks,
    compiled_verifier,
    preparation,
    readings,
    rescue_chain,
    ziggy,
)
from dragon.stark.prover.preparation import Progress

PROVERS = (blocks, compiled_verifier, readings, rescue_chain, ziggy)


def is_compiled() -> bool:
    """Whether all kernels are in the cache. If not, `warm_up` takes half a minute."""
    return preparation.is_compiled()


def warm_up(progress: Progress) -> None:
    """Read every kernel from the cache, or compile it; see `preparation.prepare`."""
    preparation.prepare(progress)
