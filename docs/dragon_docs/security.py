"""The table of what proofs cost and how secure they are, for each parameter set."""

from __future__ import annotations

from typing import Final

from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.bounds import largest_size
from dragon.stark.parameter_sets import BLOCK_ROWS, SETS, ParameterSet
from dragon.stark.security import set_security
from dragon_docs import tables
from dragon_docs.tables import code

BLOCKS: Final = (1, 16, 64, 256, 1024, 4096)
HEAD: Final = (
    *("set", "blocks", "rows", "blow-up", "queries", "grinding", "bytes at most"),
    *("provable", "conjectured", "binding", "level"),
)
_ANY_OUTPUT: Final = (0, 0, 0, 0)  # a proof's size does not depend on what is proven


def table(_argument: str) -> str:
    """Every set with the usual numbers of blocks that it admits."""
    rows = [
        _row(chosen, n_blocks)
        for chosen in SETS.values()
        for n_blocks in BLOCKS
        if n_blocks in chosen.block_counts()
    ]
    lines = tables.table(HEAD, rows).splitlines()
    lines[1] = "|---|" + "---:|" * (len(HEAD) - 1)
    return "\n".join(lines)


def _row(chosen: ParameterSet, n_blocks: int) -> list[str]:
    parameters = chosen.parameters(n_blocks)
    lengths = parameters.lengths(BLOCK_ROWS * n_blocks)
    air = BlocksAir((_ANY_OUTPUT,) * n_blocks, b"")
    costs = (
        *(n_blocks, lengths.trace_length, 1 << parameters.log_n_cosets, parameters.n_queries),
        *(parameters.proof_of_work_bits, largest_size(air, parameters, lengths)),
    )
    bits = set_security(chosen, n_blocks).rounded().values()
    return [code(chosen.name), *map(str, costs), *map(str, bits)]
