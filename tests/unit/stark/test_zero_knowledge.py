"""The blinding suffices: ranks of what a verifier sees against what is random (18.7, 18.10)."""

from __future__ import annotations

import pytest

from dragon.stark import extension as ext
from dragon.stark.deep import domain_points
from dragon.stark.extension import Element
from dragon.stark.field import P
from dragon.stark.hashchain import HashChain
from dragon.stark.parameters import Lengths, Parameters, Slack
from ranks import Span, View, rank, residues

RANDOM = HashChain(b"ranks")
Z: Element = RANDOM.extension()


def strict(original: int, trace: int) -> Lengths:
    return Lengths(original, trace, air_columns=12, blinding_columns=3, log_n_cosets=2)


def opened(lengths: Lengths, count: int) -> list[int]:
    """Points of `count` distinct rows, spread over the evaluation domain."""
    size = lengths.domain_size
    return domain_points([(97 * i + 5) % size for i in range(count)], lengths)


# -- one column: n - L random coefficients against 9q + 24 residues ------------------------------


@pytest.mark.parametrize(("trace", "original", "q"), [(128, 32, 8), (256, 128, 9), (64, 16, 1)])
def test_every_opening_of_a_column_is_uniform(trace: int, original: int, q: int) -> None:
    """The first case is tight: as many random coefficients as residues."""
    lengths = strict(original, trace)

    view = residues(lengths, opened(lengths, q), Z)

    assert rank(view) == len(view[0]) == 9 * q + 24


def test_so_is_the_composition_row_of_a_leaf_that_stays_shut() -> None:
    parameters = Parameters(2, 3, 0, (0,), 128, slack=Slack.STRICT)
    lengths = parameters.lengths(64)
    points = opened(lengths, 4)

    view = residues(lengths, points[:3], Z, unopened=points[3:])

    assert rank(view) == len(view[0]) == 9 * 3 + 24 + 8


def test_with_one_query_too_many_the_column_is_determined() -> None:
    lengths = strict(32, 128)

    view = residues(lengths, opened(lengths, 9), Z)

    assert len(view[0]) == 9 * 9 + 24
    assert rank(view) == 128 - 32


def test_coinciding_moduli_show_less_not_more() -> None:
    """With x' = h^4·x two residues of dimension four are one."""
    lengths = strict(32, 128)
    x = opened(lengths, 1)[0]
    rows = [x, x * pow(lengths.row_generator, 4, P) % P]

    view = residues(lengths, rows, Z)

    assert rank(view) == len(view[0]) - 4


def test_a_point_on_an_original_row_would_show_it() -> None:
    """There the blinding vanishes. Such a z is refused out of domain."""
    lengths = strict(16, 64)
    on_row = ext.embed(lengths.row_generator)

    view = residues(lengths, opened(lengths, 1), on_row)

    # In F the eight points have one dimension instead of three; on rows these are nothing.
    assert rank(view) == 9


# -- the complete view of one block --------------------------------------------------------------


def view_of(trace: int, q: int) -> tuple[int, int]:
    """Ranks of the view: by the random cells, and by these and the preimage together."""
    random = HashChain(b"view %d %d" % (trace, q))
    lengths = strict(16, trace)
    preimage = [random.base() for _ in range(8)]
    noise = [random.base() for _ in range(997)]
    alphas, z = random.extensions(40), random.extension()
    view = View(lengths, preimage, noise, opened(lengths, q), z, alphas)
    span = Span()
    return span.add(view.random_directions()), span.add(view.preimage_directions())


def test_the_view_of_a_strict_proof_says_nothing_about_the_preimage() -> None:
    """Published for n = 64, q = 1: rank 105, which is 108 less the three of the relation at z."""
    assert view_of(64, 1) == (105, 105)


def test_the_view_says_everything_where_the_bound_is_violated() -> None:
    """n = 32 has 192 random cells; five queries use them all up, and the preimage shows."""
    assert view_of(32, 5) == (192, 196)


def test_the_rule_for_strict_lengths_covers_the_count() -> None:
    for q in (1, 8, 60, 90, 148, 256):
        for bits in range(4, 17):
            parameters = Parameters(2, q, 0, (0,), 1, slack=Slack.STRICT)
            assert parameters.trace_length(1 << bits) - (1 << bits) >= 9 * q + 24 + 8
