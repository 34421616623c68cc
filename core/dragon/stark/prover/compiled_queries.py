"""The query phase of the verifier with compiled kernels: most of the work of a verification.

It decides exactly as `dragon.stark.queries`, but does not say why it refuses. The verifier then
asks the plain functions, whose answer counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np

from dragon.stark import extension as ext
from dragon.stark import field, tables
from dragon.stark.channel import ProofReader
from dragon.stark.deep import DeepPolynomial
from dragon.stark.parameters import DEGREE_FACTOR, Lengths, Parameters
from dragon.stark.prover.kernels.jit import Bytes, Indices, Words
from dragon.stark.prover.kernels.query_layers import fold_rows, is_on_last_layer, open_layer
from dragon.stark.prover.kernels.query_openings import REFUSED, open_rows
from dragon.stark.prover.kernels.query_values import deep_at
from dragon.stark.prover.montgomery import words
from dragon.stark.reciprocals import Reciprocals
from dragon.stark.transcript import FriCommitments, OutOfDomain

_PARTS: Final = 3 * DEGREE_FACTOR  # numbers in a composition row


class _Refused(Exception):
    """A check failed. The plain verifier says which."""


def check_queries(
    parameters: Parameters,
    lengths: Lengths,
    reader: ProofReader,
    sampled: OutOfDomain,
    committed: FriCommitments,
) -> bool:
    """Steps 12 to 14 of the transcript (section 8), and all checks on them.

    Returns whether they hold; the reader then stands behind them. Otherwise it has not moved.
    """
    try:
        end = _checked(parameters, lengths, reader, sampled, committed)
    except _Refused:
        return False
    reader.offset = end
    return True


def _checked(
    parameters: Parameters,
    lengths: Lengths,
    reader: ProofReader,
    sampled: OutOfDomain,
    committed: FriCommitments,
) -> int:
    proof, size = _bytes(reader.proof), lengths.domain_size
    step, *steps = parameters.fri_step_list
    challenges = [words(challenge) for challenge in committed.challenges]

    # (1) Open trace and composition at the rows that the queries stand for.
    indices = np.unique(np.array(committed.queries, np.int64))
    rows = (indices[:, None] << step | np.arange(1 << step)).reshape(-1)
    salt = tables.SALT_BYTES if lengths.blinding_columns else 0
    width = lengths.columns
    trace, composition = _numbers(rows.size * width), _numbers(rows.size * _PARTS)
    at = _read(
        open_rows(proof, reader.offset, rows, width, salt, size, _bytes(sampled.trace_root), trace)
    )
    expected = _bytes(sampled.composition_root)
    at = _read(open_rows(proof, at, rows, _PARTS, 0, size, expected, composition))

    # (2) Compute the DEEP polynomial at these rows, and from it the first layer.
    values = _deep_values(lengths, committed, rows, trace, composition)
    if step:
        values, cells = _numbers(3 * indices.size), values
        fold_rows(indices, cells, step, challenges[0], _inverse_roots(), values)
        challenges = challenges[1:]
    size >>= step

    # (3) Check each committed layer against the one before, down to the last.
    for step, challenge, root in zip(steps, challenges, committed.roots, strict=True):
        size >>= step
        rows = np.unique(indices >> step)
        cells = _numbers(3 * rows.size << step)
        per_leaf = tables.package_rows(ext.ELEMENT_BYTES << step, size)
        expected = _bytes(root)
        at = _read(
            open_layer(proof, at, indices, values, rows, step, size, per_leaf, expected, cells)
        )
        indices, values = rows, _numbers(3 * rows.size)
        fold_rows(indices, cells, step, challenge, _inverse_roots(), values)
    last_layer = words(word for element in committed.last_layer for word in element)
    _require(is_on_last_layer(indices, values, last_layer, _roots()))
    return at


def _deep_values(
    lengths: Lengths, committed: FriCommitments, rows: Indices, trace: Words, composition: Words
) -> Words:
    deep = DeepPolynomial(committed.boundaries, committed.deep_coefficients, lengths)
    spans: list[int] = []
    weights: list[int] = []
    geometry: list[int] = []
    for point, group in deep.groups.items():
        used = [k for k, weight in enumerate(group.weights) if weight != ext.ZERO]
        first, last = (used[0], used[-1] + 1) if used else (0, 0)
        spans += first, last - first
        weights += (word for weight in group.weights[first:last] for word in weight)
        coefficients = Reciprocals(point)
        geometry += (*group.constant, *coefficients.product, *coefficients.total)
        geometry += coefficients.norm
    values = _numbers(3 * rows.size)
    _require(
        deep_at(
            rows,
            trace,
            lengths.columns,
            lengths.air_columns,
            composition,
            _PARTS,
            np.array(spans, np.int64),
            words(weights),
            words(geometry),
            _roots(),
            values,
        )
    )
    return values


def _numbers(count: int) -> Words:
    return np.empty(count, np.uint64)


def _bytes(raw: bytes) -> Bytes:
    """A copy, because kernels take arrays that can be written only."""
    return np.frombuffer(bytearray(raw), np.uint8)


def _read(offset: int) -> int:
    """The offset behind what was read."""
    _require(offset != REFUSED)
    return offset


def _require(holds: bool) -> None:
    if not holds:
        raise _Refused


@cache
def _roots() -> Words:
    """The root of unity of order 2^k, for each k."""
    return words(_orders(1))


@cache
def _inverse_roots() -> Words:
    """The inverses of `_roots`."""
    return words(_orders(-1))


def _orders(exponent: int) -> Sequence[int]:
    orders = range(field.TWO_ADICITY + 1)
    return [pow(field.root_of_unity(1 << k), exponent, field.P) for k in orders]
