"""The blinding of readings proofs suffices (section 19.9): residues, sufficiency, ranks."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import NamedTuple

import pytest

from dragon.stark import extension as ext
from dragon.stark import field, ziggy
from dragon.stark.airs.readings import ReadingsAir
from dragon.stark.commitment import encode_output, opening_limbs, reading_opening
from dragon.stark.deep import domain_points
from dragon.stark.extension import Element
from dragon.stark.field import P
from dragon.stark.hashchain import HashChain
from dragon.stark.parameters import Lengths, Parameters, Slack
from dragon.stark.reading_bounds import ReadingBounds
from dragon.stark.readings import readings_statement
from dragon.stark.rescue import rescue_hash
from plainprover import Prover, at
from plainreadings import ReadingsSystem, ReadingsTrace
from plaintraces import Row, evaluate, interpolate
from ranks import Span, rank, residues
from readingranks import ReadingsView

KEY = bytes(range(32))
RANDOM = HashChain(b"readings")


class Window(NamedTuple):
    """A statement about readings, with the preimages of its blocks and the honest rows."""

    air: ReadingsAir
    preimages: list[list[int]]
    rows: list[Row]


@cache
def window(*readings: int) -> Window:
    """One or three readings with bounds on range and step, and an exact sum."""
    chunks = [
        opening_limbs(reading_opening(hashlib.sha256(b"%d" % v).digest(), bytes(20), v))
        for v in readings
    ]
    total = sum(readings)
    bounds = ReadingBounds(-10, 20, 0, 3, total, total)
    commitments = [encode_output(rescue_hash(chunk)) for chunk in chunks]
    identity = encode_output(ziggy.public_key(KEY))
    air = readings_statement(identity, commitments, False, bounds, b"")
    preimages = [list(ziggy.secret_preimage(KEY)), *chunks]
    return Window(air, preimages, ReadingsTrace(air, preimages).rows())


def strict(original: int, trace: int) -> Lengths:
    return Lengths(original, trace, air_columns=14, blinding_columns=3, log_n_cosets=2)


def opened(lengths: Lengths, count: int) -> list[int]:
    """Points of `count` distinct rows, spread over the evaluation domain."""
    size = lengths.domain_size
    return domain_points([(97 * i + 5) % size for i in range(count)], lengths)


# -- (i) one column --------------------------------------------------------------------------------


def test_constraints_read_two_adjacent_rows_of_each_column() -> None:
    """The count of 9 residues per opened row and 24 for z rests on this."""
    assert set(window(5).air.mask) == {(row, column) for row in (0, 1) for column in range(14)}


@pytest.mark.parametrize(
    ("trace", "original", "q", "unopened"), [(128, 64, 4, 0), (128, 32, 6, 1), (128, 64, 3, 1)]
)
def test_every_opening_of_a_column_is_uniform(
    trace: int, original: int, q: int, unopened: int
) -> None:
    lengths = strict(original, trace)
    points = opened(lengths, q + unopened)

    view = residues(lengths, points[:q], RANDOM.extension(), unopened=points[q:])

    assert rank(view) == len(view[0]) == 9 * q + 24 + 8 * unopened


# -- (ii) other columns with the same openings -----------------------------------------------------


def product(left: list[int], right: list[int]) -> list[int]:
    """The product of two polynomials."""
    result = [0] * (len(left) + len(right) - 1)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            result[i + j] = (result[i + j] + a * b) % P
    return result


def minimal_polynomial(u: Element) -> list[int]:
    """(X - u)(X - ū)(X - u̿), which is a polynomial over F."""
    first = ext.conjugate(u)
    second = ext.conjugate(first)
    pairs = ext.add(ext.add(ext.mul(u, first), ext.mul(u, second)), ext.mul(first, second))
    trace = ext.add(ext.add(u, first), second)
    norm = ext.mul(u, ext.mul(first, second))
    return [-norm[0] % P, pairs[0], -trace[0] % P, 1]


def unseen(lengths: Lengths, points: list[int], z: Element) -> list[int]:
    """A polynomial that is zero on all original rows and has all seen residues zero."""
    h, original, quarter = lengths.row_generator, lengths.original_length, field.root_of_unity(4)
    result = [P - 1, *[0] * (original - 1), 1]
    for x in points:
        for factor in ([-x, 1], [-x, 0, 0, 0, 1], [-x * pow(h, 4, P), 0, 0, 0, 1]):
            result = product(result, factor)
    for k in range(4):
        for shift in (1, h):
            u = ext.scale(z, pow(quarter, k, P) * shift % P)
            result = product(result, minimal_polynomial(u))
    return result


def test_columns_that_differ_everywhere_else_show_the_same_openings() -> None:
    air, _, rows = window(5, 7, 7)
    parameters = Parameters(2, 2, 1, (0, 1), 64, slack=Slack.STRICT)
    lengths = parameters.lengths(air.original_length, air.columns)
    prover = Prover(air, parameters, b"", ReadingsSystem(air, lengths))
    alphas, z, points = RANDOM.extensions(76), RANDOM.extension(), opened(lengths, 2)
    hidden = unseen(lengths, points, z)
    columns = [interpolate(column) for column in prover.columns(rows)[:14]]
    others = [added(column, hidden, RANDOM.base()) for column in columns]

    first, second = (prover.parts(extended(each, lengths), alphas) for each in (columns, others))

    for one, other in zip(columns, others, strict=True):
        for place in [*map(ext.embed, points), z, ext.scale(z, lengths.row_generator)]:
            assert at(one, place) == at(other, place)
    for place in [*map(ext.embed, points), ext.power(z, 4)]:
        assert at_place(first, place) == at_place(second, place)
    unopened = domain_points([2, 33, 64, 95, 126], lengths)
    for place in map(ext.embed, unopened):
        assert at_place(first, place) != at_place(second, place)


def added(column: list[int], hidden: list[int], factor: int) -> list[int]:
    """The column plus a multiple of the hidden polynomial, which has a smaller degree."""
    padded = [*hidden, *[0] * (len(column) - len(hidden))]
    return [(a + factor * b) % P for a, b in zip(column, padded, strict=True)]


def extended(columns: list[list[int]], lengths: Lengths) -> list[list[int]]:
    return [evaluate(column, lengths.domain_size) for column in columns]


def at_place(parts: list[list[list[int]]], place: Element) -> list[Element]:
    return [at(coordinate, place) for part in parts for coordinate in part]


# -- (iii) the complete view -----------------------------------------------------------------------


def view_of(trace: int, q: int, *readings: int) -> ReadingsView:
    random = HashChain(b"view %d %d" % (trace, q))
    air, preimages, rows = window(*readings)
    lengths = strict(air.original_length, trace)
    noise = [random.base() for _ in range(997)]
    z, alphas = random.extension(), random.extensions(76)
    return ReadingsView(air, rows, preimages, lengths, noise, opened(lengths, q), z, alphas)


def test_the_slopes_are_those_of_the_constraints() -> None:
    """A difference over four neighbours is exact for polynomials of degree four."""
    view = view_of(64, 1, 5)
    cells = [RANDOM.base() for _ in range(28)]
    found: dict[tuple[int, int], int] = {}
    for i in (3, 77):
        found.clear()
        slopes = view.current_slopes(i, cells[:14])
        slopes += [(k, 14 + j, slope) for k, j, slope in view.next_slopes(i, cells[14:])]
        for k, j, slope in slopes:
            found[k, j] = (found.get((k, j), 0) + slope) % P
        for j in range(28):
            samples = [quotients_near(view, i, cells, j, step) for step in (-2, -1, 1, 2)]
            for k, (a, b, c, d) in enumerate(zip(*samples, strict=True), start=20):
                exact = (a - 8 * b + 8 * c - d) * pow(12, -1, P) % P
                assert found.get((k, j), 0) == exact


def quotients_near(view: ReadingsView, i: int, cells: list[int], j: int, step: int) -> list[int]:
    moved = [(c + step) % P if k == j else c for k, c in enumerate(cells)]
    return view.system.own(i, moved[:14], moved[14:])


def test_the_view_of_a_strict_proof_reveals_nothing_about_the_preimages() -> None:
    """Section 19.13 states rank 119: 122 less 3 for the relation at z.

    Random cells are added until they span everything that the view can show; then preimages with
    the same outputs and readings, and other running sums, add nothing.
    """
    view, span = view_of(128, 1, 5), Span()
    directions = view.random_directions()

    reached = 0
    while reached < 119:
        reached = span.add([next(directions)])

    assert len(next(directions)) == 122
    assert span.add([next(directions) for _ in range(20)]) == 119
    assert span.add([*view.preimage_directions(), view.constant_of_sums()]) == 119


@pytest.mark.timeout(400)  # some ten seconds of arithmetic, on a machine that may be busy
def test_the_view_reveals_the_preimages_if_the_bound_is_violated() -> None:
    """n = 64 has 448 random cells. Fourteen queries exhaust them."""
    view, span = view_of(64, 14, 5), Span()

    assert span.add(list(view.random_directions())) == 448
    assert span.add([*view.preimage_directions(), view.constant_of_sums()]) == 456
