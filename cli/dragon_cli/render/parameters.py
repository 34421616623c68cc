"""Security figures of parameter sets, for people and for programs. All are shown together."""

from __future__ import annotations

from typing import Final

from rich.table import Table

from dragon.stark.air import Air
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.airs.readings import ReadingsAir
from dragon.stark.bounds import largest_size
from dragon.stark.parameter_sets import ParameterSet
from dragon.stark.parameters import Slack
from dragon.stark.reading_bounds import ReadingBounds
from dragon.stark.security import set_security

Figures = dict[str, int | float]

_ANY_OUTPUT: Final = (0, 0, 0, 0)  # the size of a proof does not depend on its outputs
_ANY_COMMITMENT: Final = (1, 0, 0, 0)
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
    "blocks: for a window of N chunks, the smallest power of two above N.",
    "provable: soundness according to published theorems.",
    "conjectured: soundness under a conjecture (its general form was refuted in 2025, and again "
    "for codes over prime fields in 2026); shown for comparison only.",
    "binding: of the commitments, if Rescue with ten rounds is collision-resistant.",
    "level: the lowest of the three figures.",
)
HEURISTIC: Final = (
    "{name} is only for compatibility with the original Ziggy programs. Its zero knowledge is "
    "heuristic and little of its soundness is provable. Use another set where you need either, "
    "and another key for everything else."
)


def figures(chosen: ParameterSet, n_blocks: int, *, readings: bool = False) -> Figures:
    """Return cost and security of a blocks proof, or a readings proof, of `n_blocks` blocks.

    Both have the same security (section 19.7). A readings proof has at least 2 blocks.

    Raises ProofRefused: the parameter set does not allow this number of blocks.
    """
    parameters = chosen.parameters(n_blocks)
    air = _any_readings(n_blocks) if readings else _any_blocks(n_blocks)
    lengths = parameters.lengths(air.original_length, air.columns)
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


def _any_blocks(n_blocks: int) -> Air:
    return BlocksAir((_ANY_OUTPUT,) * n_blocks, b"")


def _any_readings(n_blocks: int) -> Air:
    outputs = (_ANY_OUTPUT, *[_ANY_COMMITMENT] * (n_blocks - 1))
    bounds = ReadingBounds(0, 0, 0, 0, 0, 0)
    return ReadingsAir(outputs, n_blocks - 1, False, bounds, b"")


def warning(chosen: ParameterSet) -> str | None:
    """Return a warning for users of this set, or None."""
    return None if chosen.slack is Slack.STRICT else HEURISTIC.format(name=chosen.name)


def table(chosen: ParameterSet, rows: list[Figures]) -> Table:
    """Return a table with one row for each number of blocks."""
    shown = Table(
        title=f"{chosen.name}: security in bits", title_justify="left", box=None, pad_edge=False
    )
    shown.padding = (0, 1, 0, 0)
    for heading in _COLUMNS.values():
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(*(str(row[column]) for column in _COLUMNS))
    return shown
