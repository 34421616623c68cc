"""A short test of the compiled functions on the processor at hand, before they are used."""

from __future__ import annotations

from typing import Final

from dragon_sequencer.bn254 import G1_GENERATOR, curve_root_plain, multiply_g1, negate_g1
from dragon_sequencer.compiled import Compiled
from dragon_sequencer.pairing import GENERATOR_LINES
from dragon_sequencer.weighted_sum import weighted_sum_plain

_FACTORS: Final = [(1 << 128) - 3, 0xD0C5 << 100]


def check(functions: Compiled) -> None:
    """Compare functions with the plain ones, on a few arguments.

    Raises RuntimeError: they differ.
    """
    double = multiply_g1(G1_GENERATOR, 2) or G1_GENERATOR
    points, minus = [G1_GENERATOR, double], negate_g1(double)
    twice = [(G1_GENERATOR, GENERATOR_LINES)] * 2
    results = (
        functions.is_one([*twice, (minus, GENERATOR_LINES)]),
        not functions.is_one([*twice, (double, GENERATOR_LINES)]),
        functions.weighted_sum(points, _FACTORS) == weighted_sum_plain(points, _FACTORS),
        functions.weighted_sum([double, minus], [7, 7]) is None,
        all(functions.curve_root(x) == curve_root_plain(x) for x in (0, 1, 4)),
    )
    if not all(results):
        raise RuntimeError("the compiled pairings fail their test on this processor")
