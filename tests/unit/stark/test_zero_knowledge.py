"""The blinding suffices: ranks of the view of a verifier (sections 18.7, 18.10)."""

from __future__ import annotations

import pytest

from dragon.stark import extension as ext
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.deep import domain_points
from dragon.stark.extension import Element
from dragon.stark.field import P
from dragon.stark.hashchain import HashChain
from dragon.stark.parameters import Lengths, Parameters, Slack
from dragon.stark.rescue import rescue_hash
from plaintraces import blocks_rows
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
    """The first case is tight: it has as many random coefficients as residues."""
    lengths = strict(original, trace)

    view = residues(lengths, opened(lengths, q), Z)

    assert rank(view) == len(view[0]) == 9 * q + 24


def test_the_composition_row_of_an_unopened_leaf_is_uniform() -> None:
    parameters = Parameters(2, 3, 0, (0,), 128, slack=Slack.STRICT)
    lengths = parameters.lengths(64)
    points = opened(lengths, 4)

    view = residues(lengths, points[:3], Z, unopened=points[3:])

    assert rank(view) == len(view[0]) == 9 * 3 + 24 + 8


def test_one_query_too_many_determines_the_column() -> None:
    lengths = strict(32, 128)

    view = residues(lengths, opened(lengths, 9), Z)

    assert len(view[0]) == 9 * 9 + 24
    assert rank(view) == 128 - 32


def test_coinciding_moduli_reveal_less() -> None:
    """With x' = h^4·x, two residues of dimension four coincide."""
    lengths = strict(32, 128)
    x = opened(lengths, 1)[0]
    rows = [x, x * pow(lengths.row_generator, 4, P) % P]

    view = residues(lengths, rows, Z)

    assert rank(view) == len(view[0]) - 4


def test_a_point_on_an_original_row_would_reveal_the_row() -> None:
    """The blinding vanishes there. The verifier refuses such a z."""
    lengths = strict(16, 64)
    on_row = ext.embed(lengths.row_generator)

    view = residues(lengths, opened(lengths, 1), on_row)

    # In F, the eight points have one dimension each instead of three, and none on rows.
    assert rank(view) == 9


# -- the complete view of one block --------------------------------------------------------------


def view_of(trace: int, q: int) -> tuple[int, int]:
    """Ranks of the view: by the random cells alone, and together with the preimage."""
    random = HashChain(b"view %d %d" % (trace, q))
    lengths = strict(16, trace)
    preimage = [random.base() for _ in range(8)]
    air = BlocksAir((rescue_hash(preimage),), b"")
    noise = [random.base() for _ in range(997)]
    alphas, z = random.extensions(40), random.extension()
    rows, points = blocks_rows([preimage]), opened(lengths, q)
    view = View(air, rows, [preimage], lengths, noise, points, z, alphas)
    span = Span()
    return span.add(list(view.random_directions())), span.add(view.preimage_directions())


def test_the_view_of_a_strict_proof_reveals_nothing_about_the_preimage() -> None:
    """Section 18.10 states rank 105 for n = 64, q = 1: 108 less 3 for the relation at z."""
    assert view_of(64, 1) == (105, 105)


def test_the_view_reveals_the_preimage_if_the_bound_is_violated() -> None:
    """n = 32 has 192 random cells. Five queries exhaust them."""
    assert view_of(32, 5) == (192, 196)


def test_the_rule_for_strict_lengths_satisfies_the_bound() -> None:
    for q in (1, 8, 60, 90, 148, 256):
        for bits in range(4, 17):
            parameters = Parameters(2, q, 0, (0,), 1, slack=Slack.STRICT)
            assert parameters.trace_length(1 << bits) - (1 << bits) >= 9 * q + 24 + 8
