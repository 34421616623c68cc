"""The constraints of a readings proof mean what section 19.3 says about rows."""

from __future__ import annotations

import hashlib
from functools import cache
from random import Random

import pytest

from dragon.stark import ziggy
from dragon.stark.airs.readings import COLUMNS, DIGIT_ROWS, ReadingsAir
from dragon.stark.commitment import encode_output, opening_limbs, reading_opening
from dragon.stark.field import GENERATOR, P
from dragon.stark.parameters import Lengths
from dragon.stark.reading_bounds import ReadingBounds, weights
from dragon.stark.readings import readings_statement
from dragon.stark.rescue import rescue_hash
from plainreadings import ReadingsSystem, ReadingsTrace
from plaintraces import Row, evaluate, interpolate
from readingrows import broken_on_row, broken_rules

KEY = bytes(32)
READINGS = (5, 7, 7, 8, 9, 9, 9)


@cache
def traced(n_readings: int = 3, carried: bool = False) -> tuple[ReadingsAir, tuple[Row, ...]]:
    """A statement about the first of `READINGS`, and its honest rows."""
    readings = READINGS[:n_readings]
    salt, own = bytes(20), list(ziggy.secret_preimage(KEY))
    digests = [hashlib.sha256(b"%d" % i).digest() for i in range(n_readings)]
    openings = [reading_opening(d, salt, v) for d, v in zip(digests, readings, strict=True)]
    chunks = [opening_limbs(opening) for opening in openings]
    commitments = [encode_output(rescue_hash(chunk)) for chunk in chunks]
    total = sum(readings[carried:])
    bounds = ReadingBounds(-10, 20, -1, 3, total - 1, total + 1)
    identity = encode_output(ziggy.public_key(KEY))
    air = readings_statement(identity, commitments, carried, bounds, b"")
    preimages = [own, *chunks, *[own] * (air.n_blocks - 1 - n_readings)]
    return air, tuple(ReadingsTrace(air, preimages).rows())


def copy_of(rows: tuple[Row, ...]) -> list[Row]:
    return [list(row) for row in rows]


@pytest.mark.parametrize(("n_readings", "carried"), [(1, False), (2, True), (3, False), (7, True)])
def test_honest_rows_break_no_rule(n_readings: int, carried: bool) -> None:
    air, rows = traced(n_readings, carried)

    assert broken_rules(air, rows) == set()


def cells_without_use(air: ReadingsAir) -> set[tuple[int, int]]:
    """The digits that no rule uses: weight zero, or rows without a step or a sum."""
    used: set[tuple[int, int]] = set()
    for row in range(air.original_length):
        block, place = divmod(row, 16)
        bounds = air.bounds
        of_row = {
            11: weights(bounds.width)[0],
            12: weights(bounds.width)[1],
            15: weights(bounds.step_width)[0],
        }
        if 2 <= block <= air.n_readings:
            of_row[0] = weights(bounds.step_width)[1]
        if block == air.n_blocks - 1:
            of_row[13], of_row[14] = weights(bounds.sum_width)
        used |= {(row, j) for j, weight in enumerate(of_row.get(place, ())) if weight}
    digits = {(r, j) for r in range(air.original_length) if r % 16 in DIGIT_ROWS for j in range(12)}
    return digits - used


def test_no_cell_can_change_alone_but_digits_without_use() -> None:
    """Each of the 896 cells of a trace is changed in three ways."""
    air, honest = traced()
    rows, free = copy_of(honest), set()
    for r in range(64):
        for j in range(COLUMNS):
            kept = rows[r][j]
            for new in ((kept + 1) % P, (kept - 1) % P, 123456789):
                rows[r][j] = new
                if not broken_on_row(air, rows, r - 1) and not broken_on_row(air, rows, r):
                    free.add((r, j))
                    assert new in range(4)
            rows[r][j] = kept

    assert free == cells_without_use(air)
    assert len(free) == 266


@pytest.mark.parametrize("seed", range(12))
def test_constraints_and_row_rules_agree_on_changed_rows(seed: int) -> None:
    air, honest = traced(carried=seed % 2 == 1)
    random, rows = Random(seed), copy_of(honest)
    for _ in range(1 + seed % 3):
        r, j = random.randrange(64), random.choice([*range(12), 12, 12, 12, 13, 13, 13])
        rows[r][j] = (rows[r][j] + random.choice([1, 2, 5, P - 1])) % P

    system = ReadingsSystem(air, Lengths(64, 64, COLUMNS, 3, 2))

    assert system.violated(rows) == broken_rules(air, rows)


@pytest.mark.parametrize(("n_readings", "trace_length"), [(1, 64), (3, 128)])
def test_each_quotient_has_exactly_its_degree(n_readings: int, trace_length: int) -> None:
    """The adjusted degree is 4n - 1; constraint 36 vanishes identically without a step."""
    air, rows = traced(n_readings)
    lengths = Lengths(air.original_length, trace_length, COLUMNS, 3, 2)
    random, size = Random(n_readings), 4 * trace_length
    columns = []
    for column in zip(*rows, strict=True):
        cells = [random.randrange(P) for _ in range(trace_length)]
        cells[:: lengths.slackness] = column
        columns.append(evaluate(interpolate(cells), size))

    quotients = zip(*ReadingsSystem(air, lengths).quotients(columns), strict=True)
    exponents = air.exponents(lengths)
    degrees = [
        max((d for d, c in enumerate(interpolate(quotient, GENERATOR)) if c), default=-1)
        for quotient in quotients
    ]

    missing = {k: d + e for k, (d, e) in enumerate(zip(degrees, exponents, strict=True))}
    assert {k for k, degree in missing.items() if degree != size - 1} == (
        {36} if n_readings == 1 else set()
    )
    assert degrees[36] == (-1 if n_readings == 1 else size - 1 - exponents[36])
