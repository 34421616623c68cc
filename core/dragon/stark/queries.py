"""The query phase: check the openings (section 10.1, steps 7 to 10)."""

from __future__ import annotations

from collections.abc import Sequence

from dragon.stark import extension as ext
from dragon.stark import field, fri, tables
from dragon.stark.channel import ProofReader
from dragon.stark.deep import DeepPolynomial, domain_points
from dragon.stark.extension import Element
from dragon.stark.parameters import DEGREE_FACTOR, Lengths, Parameters
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.transcript import FriCommitments, Openings, OutOfDomain


def open_queries(
    parameters: Parameters,
    lengths: Lengths,
    reader: ProofReader,
    sampled: OutOfDomain,
    committed: FriCommitments,
) -> Openings:
    """Steps 12 to 14 of the transcript (section 8), and all checks on them.

    Raises ProofRefused (layer0_decommitment, fri_layer_decommitment, last_layer, oods,
    proof_too_short, non_canonical).
    """
    # (1) Open trace and composition. A query is an index into the layer after the first step; it
    #     stands for 2^step neighbouring rows before that step.
    query_offset = reader.offset
    step = parameters.fri_step_list[0]
    rows = [
        row
        for query in sorted(set(committed.queries))
        for row in range(query << step, (query + 1) << step)
    ]
    trace = _trace_opening(reader, lengths, rows, sampled.trace_root)
    trace_end = reader.offset
    composition = _composition_opening(reader, lengths, rows, sampled.composition_root)
    composition_end = reader.offset

    # (2) Compute the DEEP polynomial at these rows, and from it the first layer.
    words = [[*left, *right] for left, right in zip(trace, composition, strict=True)]
    deep_values = _deep_values(lengths, committed, rows, words)
    cells = dict(zip(rows, deep_values, strict=True))
    values = fri.first_fold(cells, step, lengths.domain_size, committed.challenges)

    # (3) Check each committed layer against the one before, down to the last.
    layers = fri.check_layers(parameters, lengths, reader, committed, values)
    return Openings(
        query_offset,
        trace_end,
        composition_end,
        reader.offset,
        rows,
        trace,
        composition,
        deep_values,
        layers,
    )


def _trace_opening(
    reader: ProofReader, lengths: Lengths, rows: Sequence[int], expected: bytes
) -> list[list[int]]:
    read = tables.read_salted if lengths.blinding_columns else tables.read_packaged
    row_bytes = field.ELEMENT_BYTES * lengths.columns
    return _checked(read(reader, rows, row_bytes, lengths.domain_size), expected, "trace")


def _composition_opening(
    reader: ProofReader, lengths: Lengths, rows: Sequence[int], expected: bytes
) -> list[list[int]]:
    row_bytes = ext.ELEMENT_BYTES * DEGREE_FACTOR
    opening = tables.read_packaged(reader, rows, row_bytes, lengths.domain_size)
    return _checked(opening, expected, "composition")


def _checked(opening: tuple[list[bytes], bytes], expected: bytes, what: str) -> list[list[int]]:
    """The words of the opened rows, after checking their Merkle root."""
    opened, root = opening
    if root != expected:
        message = f"the opening of the {what} table does not match its commitment"
        raise ProofRefused(Reason.LAYER0_DECOMMITMENT, message)
    return [field.decode(raw) for raw in opened]


def _deep_values(
    lengths: Lengths,
    committed: FriCommitments,
    rows: Sequence[int],
    words: Sequence[Sequence[int]],
) -> list[Element]:
    deep = DeepPolynomial(committed.boundaries, committed.deep_coefficients, lengths)
    try:
        return deep.at(domain_points(rows, lengths), words)
    except ZeroDivisionError:
        message = "the out-of-domain point lies in the evaluation domain"
        raise ProofRefused(Reason.OODS, message) from None
