"""The test before compiled functions are used: it passes, and notices each fault."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dragon_sequencer import bn254, pairing
from dragon_sequencer.bn254 import G1
from dragon_sequencer.machine import self_test
from dragon_sequencer.pairing import Lines
from dragon_sequencer.weighted_sum import weighted_sum_plain


class Plain:
    """The plain functions."""

    def is_one(self, pairs: Sequence[tuple[G1, Lines]]) -> bool:
        return pairing.is_one_plain(pairs)

    def weighted_sum(self, points: Sequence[G1], factors: Sequence[int]) -> G1 | None:
        return weighted_sum_plain(points, factors)

    def curve_root(self, x: int) -> tuple[int, int]:
        return bn254.curve_root_plain(x)


class AlwaysOne(Plain):
    def is_one(self, _: Sequence[tuple[G1, Lines]]) -> bool:
        return True


class NeverOne(Plain):
    def is_one(self, _: Sequence[tuple[G1, Lines]]) -> bool:
        return False


class NoSum(Plain):
    def weighted_sum(self, _: Sequence[G1], __: Sequence[int]) -> G1 | None:
        return None


class NeverInfinite(Plain):
    def weighted_sum(self, points: Sequence[G1], factors: Sequence[int]) -> G1 | None:
        return weighted_sum_plain(points, factors) or (0, 0)


class OtherRoot(Plain):
    def curve_root(self, x: int) -> tuple[int, int]:
        square, y = bn254.curve_root_plain(x)
        return square, -y


def test_what_computes_the_same_passes() -> None:
    self_test.check(Plain())


def test_the_compiled_functions_pass() -> None:
    curve = pytest.importorskip("dragon_sequencer.machine.curve")

    self_test.check(curve.CompiledCurve())


@pytest.mark.parametrize("faulty", [AlwaysOne, NeverOne, NoSum, NeverInfinite, OtherRoot])
def test_each_fault_is_noticed(faulty: type[Plain]) -> None:
    with pytest.raises(RuntimeError, match="fail their test"):
        self_test.check(faulty())
