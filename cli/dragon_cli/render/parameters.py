"""The figures of parameter sets, for people and for programs. None is shown without the others."""

from __future__ import annotations

from typing import Final

from rich.table import Table

from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.bounds import largest_size
from dragon.stark.parameter_sets import BLOCK_ROWS, ParameterSet
from dragon.stark.parameters import Slack
from dragon.stark.security import set_security

Figures = dict[str, int | float]

_ANY_OUTPUT: Final = (0, 0, 0, 0)  # a proof's size does not depend on what is proven
_KINDS: Final = ("provable", "conjectured", "binding", "level")
_COLUMNS: Final = {
    "blocks": "blocks",
    "chunks": "chunks ≤",
    "rows": "rows",
    "queries": "queries",
    "largest_proof_bytes": "bytes ≤",
    **{kind: kind for kind in _KINDS},
}

CAVEATS: Final = (
    "A window of N chunks has the smallest power of two above N as its number of blocks.",
    "The level is the least of the three figures. Provable: soundness of a proof, as published "
    "theorems give it.",
    "Conjectured: rests on a conjecture whose general form was refuted in 2025; it is shown for "
    "comparison.",
    "Binding: of the commitments, on the assumption that Rescue with ten rounds holds.",
)
HEURISTIC: Final = (
    "{name} serves for exchange with the original programs only. Its zero knowledge is heuristic "
    "and little of its soundness is provable: take another set wherever either is promised, and "
    "another key for everything else."
)


def figures(chosen: ParameterSet, n_blocks: int) -> Figures:
    """What a proof of `n_blocks` blocks costs and gives. Raises ProofRefused: not admitted."""
    parameters = chosen.parameters(n_blocks)
    lengths = parameters.lengths(BLOCK_ROWS * n_blocks)
    air = BlocksAir((_ANY_OUTPUT,) * n_blocks, b"")
    return {
        "blocks": n_blocks,
        "chunks": n_blocks - 1,
        "rows": lengths.trace_length,
        "blowup": 1 << parameters.log_n_cosets,
        "queries": parameters.n_queries,
        "grinding_bits": parameters.proof_of_work_bits,
        "largest_proof_bytes": largest_size(air, parameters, lengths),
        **set_security(chosen, n_blocks).rounded(),
    }


def warning(chosen: ParameterSet) -> str | None:
    """What whoever chooses this set has to know."""
    return None if chosen.slack is Slack.STRICT else HEURISTIC.format(name=chosen.name)


def table(chosen: ParameterSet, rows: list[Figures]) -> Table:
    shown = Table(
        title=f"{chosen.name}, in bits of security", title_justify="left", box=None, pad_edge=False
    )
    shown.padding = (0, 1, 0, 0)
    for heading in _COLUMNS.values():
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(*(str(row[column]) for column in _COLUMNS))
    return shown
