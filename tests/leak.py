"""Two attacks on insufficient blinding, with public data only (sections 14.1 and 18.7).

They read transcripts as the verifier replays them, and use no secret.
"""

from __future__ import annotations

from collections.abc import Sequence

from dragon.stark import extension as ext
from dragon.stark import field
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.deep import domain_points
from dragon.stark.extension import Element
from dragon.stark.field import P
from dragon.stark.parameters import Lengths, Parameters
from dragon.stark.transcript import Transcript
from plaintraces import preimage_of

Equation = tuple[list[int], int]  # Σ coefficients·cells = value over F


# -- one blinded trace, opened twice (section 14.1) ----------------------------------------------


def trace_row(transcripts: Sequence[Transcript], lengths: Lengths, row: int) -> list[int]:
    """An original row of a trace that several proofs together opened in n distinct rows.

    Raises ValueError: they opened fewer rows.
    """
    opened: dict[int, Sequence[int]] = {}
    for transcript in transcripts:
        openings = transcript.openings
        opened.update(zip(openings.rows, openings.trace, strict=True))
    n = lengths.trace_length
    if len(opened) < n:
        raise ValueError(f"{len(opened)} rows do not determine a column of {n}")
    rows = sorted(opened)[:n]
    weights = lagrange_weights(domain_points(rows, lengths), pow(lengths.row_generator, row, P))
    return [
        sum(w * opened[r][column] for w, r in zip(weights, rows, strict=True)) % P
        for column in range(lengths.air_columns)
    ]


def lagrange_weights(points: Sequence[int], x: int) -> list[int]:
    """The weight of the value at each point in the value at x."""
    weights = []
    for i, a in enumerate(points):
        numerator = denominator = 1
        for j, b in enumerate(points):
            if i != j:
                numerator = numerator * (x - b) % P
                denominator = denominator * (a - b) % P
        weights.append(numerator * pow(denominator, -1, P) % P)
    return weights


def preimage_in_row(cells: Sequence[int], row_of_block: int) -> list[int]:
    """The twelve inputs of the permutation, from the middle of round `row_of_block` - 1."""
    return preimage_of(cells, row_of_block - 1)


# -- an unmasked DEEP polynomial (section 18.7) --------------------------------------------------

ROW_OF_BLOCK = 4  # row 4i of the trace for i ≡ 13 mod 16, in blocks ≡ 3 mod 4
QUIET_ROW = 13  # no constraint is active on rows ≡ 13 mod 16, and their cells are public zeros


def equations(
    air: BlocksAir, parameters: Parameters, transcript: Transcript, n_masked: int = 1
) -> list[Equation]:
    """Equations for the cells of row 4i, from d(h^4i) without its first `n_masked` coordinates.

    With i = 13, the four fourth roots of h^4i lie on rows ≡ 13 mod 16 for every power of two
    B >= 4, so every h_b(h^4i) is public. Requires the step list [0], which makes d the last layer.
    """
    lengths = parameters.lengths(air.original_length)
    x = pow(lengths.row_generator, 4 * QUIET_ROW, P)
    weights, constant = _public_terms(air, lengths, transcript, x)
    known = ext.sub(_deep_at(transcript, x), constant)
    return [([w[c] for w in weights], known[c]) for c in range(n_masked, 3)]


def _deep_at(transcript: Transcript, x: int) -> Element:
    """d(x). The last layer has its coefficients, in powers of x/3."""
    scalars = field.powers(x * pow(field.GENERATOR, -1, P) % P, len(transcript.fri.last_layer))
    return ext.dot(ext.pack(transcript.fri.last_layer), scalars)


def _public_terms(
    air: BlocksAir, lengths: Lengths, transcript: Transcript, x: int
) -> tuple[list[Element], Element]:
    """d(x) without the mask as Σ weights·cells + constant."""
    weights, constant = [ext.ZERO] * lengths.air_columns, ext.ZERO
    parts = _parts_at(air, lengths, transcript)
    fri = transcript.fri
    for delta, boundary in zip(fri.deep_coefficients, fri.boundaries, strict=True):
        factor = ext.mul(delta, ext.inverse(ext.sub(ext.embed(x), boundary.point)))
        shown = ext.scale(boundary.value, P - 1)
        if boundary.column < lengths.columns:
            weights[boundary.column] = ext.add(weights[boundary.column], factor)
        else:
            shown = ext.add(shown, parts[boundary.column - lengths.columns])
        constant = ext.add(constant, ext.mul(factor, shown))
    return weights, constant


def _parts_at(air: BlocksAir, lengths: Lengths, transcript: Transcript) -> list[Element]:
    """h_0(y^4) … h_3(y^4) for y = h^13, from C at the four points y·i^k."""
    y, quarter = pow(lengths.row_generator, QUIET_ROW, P), field.root_of_unity(4)
    values = [
        _quiet_composition(air, lengths, transcript, y * pow(quarter, k, P) % P) for k in range(4)
    ]
    parts = []
    for b in range(4):
        total = ext.ZERO
        for k, value in enumerate(values):
            total = ext.add(total, ext.scale(value, pow(quarter, -b * k, P)))
        parts.append(ext.scale(total, pow(4 * pow(y, b, P), -1, P)))
    return parts


def _quiet_composition(air: BlocksAir, lengths: Lengths, transcript: Transcript, y: int) -> Element:
    """C on a row without active constraints: this row, the next and the constants are zero.

    The round constraints vanish there, so only the outputs remain.
    """
    point, n = ext.embed(y), lengths.trace_length
    outputs = air.outputs_at(point, lengths)
    root = pow(lengths.row_generator, 10 * air.n_blocks, P)
    vanishing = pow(pow(y, air.n_blocks, P) - root, -1, P)
    total = ext.ZERO
    for i, output in enumerate(outputs):
        plain, adjusted = transcript.out_of_domain.coefficients[2 * (16 + i) :][:2]
        alpha = ext.add(plain, ext.scale(adjusted, pow(y, n + 2 + air.n_blocks, P)))
        total = ext.sub(total, ext.scale(ext.mul(alpha, output), vanishing))
    return total


def solve(system: Sequence[Equation]) -> list[int]:
    """Solve as many equations as unknowns. Raises ValueError: the solution is not unique."""
    rows = [[*coefficients, value] for coefficients, value in system]
    size = len(rows)
    for i in range(size):
        pivot = next((k for k in range(i, size) if rows[k][i]), None)
        if pivot is None:
            raise ValueError("the equations do not determine the cells")
        rows[i], rows[pivot] = rows[pivot], rows[i]
        factor = pow(rows[i][i], -1, P)
        rows[i] = [x * factor % P for x in rows[i]]
        for k in range(size):
            if k != i and rows[k][i]:
                factor = rows[k][i]
                rows[k] = [(a - factor * b) % P for a, b in zip(rows[k], rows[i], strict=True)]
    return [row[size] for row in rows]


def holds(equation: Equation, cells: Sequence[int]) -> bool:
    coefficients, value = equation
    return sum(a * x for a, x in zip(coefficients, cells, strict=True)) % P == value
