"""Each of the 38 constraints of a readings proof is needed.

For every constraint there is a false statement with a trace that violates this constraint alone. A
verifier without the constraint accepts the proof; the verifier refuses it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pytest

from dragon.stark import extension as ext
from dragon.stark import ziggy
from dragon.stark.air import Family
from dragon.stark.airs.readings import READING_COLUMN, ReadingsAir
from dragon.stark.commitment import encode_output, opening_limbs, reading_opening
from dragon.stark.extension import Element
from dragon.stark.field import P
from dragon.stark.parameters import Lengths, Parameters, Slack
from dragon.stark.reading_bounds import ReadingBounds, RowPair, digits, weights
from dragon.stark.readings import readings_statement
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.rescue import Digest, rescue_hash
from dragon.stark.verifier import verify
from plainreadings import (
    Encoder,
    ReadingsSystem,
    ReadingsTrace,
    committed_readings,
    dot,
    prove_readings,
)
from plaintraces import Row, Spoil, block_rows, rounds

KEY = bytes(range(32))
IDENTITY = encode_output(ziggy.public_key(KEY))
PARAMETERS = Parameters(2, 2, 1, (0, 1), 64, slack=Slack.STRICT)  # for B = 4, and for tests only
SHORT = Lengths(64, 64, 14, 3, 2)  # without slack rows: enough to see which constraints hold

# The widest range: a digit of any weight can then be needed.
WIDTH = (1 << 43) - 1
LOW, HIGH = -5, WIDTH - 5


class Window(NamedTuple):
    """A statement about three readings, the preimages of its blocks, and rows of a trace."""

    air: ReadingsAir
    preimages: list[list[int]]
    rows: list[Row]


def window(readings: Sequence[int], bounds: ReadingBounds) -> tuple[ReadingsAir, list[list[int]]]:
    """The statement about three committed readings, and its preimages."""
    chunks = [
        opening_limbs(
            reading_opening(
                hashlib.sha256(b"%d" % i).digest(), hashlib.sha256(b"salt %d" % i).digest()[:20], v
            )
        )
        for i, v in enumerate(readings)
    ]
    commitments = [encode_output(rescue_hash(chunk)) for chunk in chunks]
    air = readings_statement(IDENTITY, commitments, False, bounds, b"window 7")
    return air, [list(ziggy.secret_preimage(KEY)), *chunks]


def bounds_of(
    low: int, high: int, step: int | None = None, total: tuple[int, int] | None = None
) -> ReadingBounds:
    """Bounds of three readings; what is not given is as wide as possible."""
    width = high - low if step is None else step
    first, last = total or (3 * low, 3 * high)
    return ReadingBounds(low, high, -width, width, first, last)


NEAR_THE_TOP = bounds_of(LOW, HIGH, total=(3 * HIGH - (1 << 43), 3 * HIGH))
STEPS_OF_2_40 = bounds_of(LOW, HIGH, step=1 << 40, total=(0, (1 << 44) - 1))


def test_an_honest_trace_violates_no_constraint() -> None:
    for readings, bounds in (
        ([HIGH, HIGH - 5, HIGH], NEAR_THE_TOP),
        ([0, 1 << 40, 5], STEPS_OF_2_40),
        ([1, 2, 3], bounds_of(-100, 100)),
    ):
        air, preimages = window(readings, bounds)
        rows = ReadingsTrace(air, preimages).rows()
        assert ReadingsSystem(air, SHORT).violated(rows) == set()
        assert weakened(air, None).exponents(SHORT) == air.exponents(SHORT)


# -- false statements ----------------------------------------------------------------------------


def any_element_in(column: int) -> Encoder:
    """Puts the whole number into one cell, which is then no digit."""

    def encode(number: int, width: int) -> RowPair:
        if 0 <= number <= width:
            return digits(number, width)
        cell = number * pow(weights(width)[0][column], -1, P) % P
        return tuple(cell if j == column else 0 for j in range(12)), (0,) * 12

    return encode


def no_digits_outside(number: int, width: int) -> RowPair:
    """Digits that do not add up: zeros for a number outside of the interval."""
    return digits(number, width) if 0 <= number <= width else ((0,) * 12, (0,) * 12)


def cell_that_is_no_digit(column: int) -> Window:
    """Every reading is above the range; one cell holds a number that is no digit."""
    air, preimages = window([HIGH + 12345] * 3, NEAR_THE_TOP)
    encode = any_element_in(column)
    trace = ReadingsTrace(air, preimages, encode_range=encode, encode_sum=encode)
    return Window(air, preimages, trace.rows())


def other_readings_than_committed() -> Window:
    """Readings above the range; the trace shows others in their place."""
    air, preimages = window([HIGH + 1000] * 3, NEAR_THE_TOP)
    return Window(air, preimages, ReadingsTrace(air, preimages, readings=[HIGH] * 4).rows())


def reading_that_changes_within_a_block() -> Window:
    """The first reading is above the range; after the first row the trace shows another."""
    committed = [HIGH + 1, HIGH - 5, HIGH - 5]
    air, preimages = window(committed, NEAR_THE_TOP)
    shown, first = [HIGH, HIGH, *committed[1:]], [HIGH, *committed]
    trace = ReadingsTrace(air, preimages, readings=shown, first_readings=first)
    return Window(air, preimages, trace.rows())


def reading_out_of_range() -> Window:
    """The first reading is above the range; its digits do not add up."""
    air, preimages = window([HIGH + 5, HIGH - 5, HIGH - 5], NEAR_THE_TOP)
    trace = ReadingsTrace(air, preimages, encode_range=no_digits_outside)
    return Window(air, preimages, trace.rows())


def step_denied_in_first_half() -> Window:
    """A step of 2^42 where 2^40 is allowed; the row before the step does not add up."""
    air, preimages = window([0, 1 << 42, 0], STEPS_OF_2_40)
    rows = ReadingsTrace(air, preimages, encode_step=no_digits_outside).rows()
    second = weights(air.bounds.step_width)[1]
    readings = committed_readings(air, preimages)
    for b in (2, 3):
        row = rows[16 * b]
        row[READING_COLUMN] = (readings[b] - dot(second, row)) % P
    return Window(air, preimages, rows)


def step_denied_in_second_half() -> Window:
    """A step of 2^42 where 2^40 is allowed; the first row of the block does not add up."""
    air, preimages = window([0, 1 << 42, 0], STEPS_OF_2_40)
    trace = ReadingsTrace(air, preimages, encode_step=no_digits_outside)
    return Window(air, preimages, trace.rows())


def other_sum() -> Window:
    """The readings sum to 101, not 100."""
    air, preimages = window([30, 30, 41], bounds_of(LOW, HIGH, total=(100, 100)))
    trace = ReadingsTrace(air, preimages, encode_sum=no_digits_outside)
    return Window(air, preimages, trace.rows())


def shifted(row: Row, column: int) -> Row:
    return [(x + 1) % P if i == column else x for i, x in enumerate(row)]


def with_second_commitment(output: Row, inputs: Row, spoil: Spoil) -> Window:
    """The rows of the second chunk come from these inputs, its commitment from nowhere."""
    air, preimages = window([1, 2, 3], bounds_of(-100, 100))
    a, b, c, d = output
    replaced: tuple[Digest, ...] = (*air.outputs[:2], (a, b, c, d), *air.outputs[3:])
    air = ReadingsAir(replaced, 3, False, air.bounds, air.message)
    rows = ReadingsTrace(air, preimages).rows()
    for r, row in enumerate(block_rows(inputs, spoil)[1:11], start=33):
        rows[r][:12] = row
    return Window(air, preimages, rows)


def no_preimage(k: int) -> Window:
    """A commitment without a known preimage: capacity, a round or the output is wrong."""
    _, preimages = window([1, 2, 3], bounds_of(-100, 100))
    inputs = [*preimages[2], 0, 0, 0, 0]
    column, at_round = (k - 4) % 12, 1 + (k - 4) % 9

    def spoil(r: int, state: Row) -> Row:
        return shifted(state, column) if 4 <= k < 16 and r == at_round else state

    if k < 4:
        inputs = shifted(inputs, 8 + k)
    _, output = rounds(inputs, spoil)
    shown = shifted(output[:4], k - 16) if k >= 16 else output[:4]
    return with_second_commitment(shown, inputs, spoil)


OTHERS = {
    32: other_readings_than_committed,
    33: reading_that_changes_within_a_block,
    34: reading_out_of_range,
    35: step_denied_in_first_half,
    36: step_denied_in_second_half,
    37: other_sum,
}


def forgery(k: int) -> Window:
    """A false statement, with rows that violate constraint k alone."""
    if k < 20:
        return no_preimage(k)
    return cell_that_is_no_digit(k - 20) if k < 32 else OTHERS[k]()


# -- a verifier without one constraint -----------------------------------------------------------


@dataclass(frozen=True)
class WeakenedAir(ReadingsAir):
    """The statement without the constraint `dropped`."""

    dropped: int | None = None

    def families_at(
        self, z: Element, values: Sequence[Element], lengths: Lengths
    ) -> Sequence[Family]:
        k, weakened = 0, []
        for family in ReadingsAir.families_at(self, z, values, lengths):
            numerators = list(family.numerators)
            if self.dropped is not None and 0 <= self.dropped - k < len(numerators):
                numerators[self.dropped - k] = ext.ZERO
            k += len(numerators)
            weakened.append(Family(numerators, family.factor, family.vanishing, family.exponent))
        return weakened


def weakened(air: ReadingsAir, dropped: int | None) -> WeakenedAir:
    return WeakenedAir(
        air.outputs, air.n_readings, air.carried, air.bounds, air.message, dropped=dropped
    )


@pytest.mark.parametrize("k", range(38))
def test_each_constraint_is_needed(k: int) -> None:
    air, preimages, rows = forgery(k)
    lengths = PARAMETERS.lengths(air.original_length, air.columns)
    assert ReadingsSystem(air, SHORT).violated(rows) == {k}

    system = ReadingsSystem(air, lengths, dropped=[k])
    proof = prove_readings(air, PARAMETERS, preimages, bytes(32), rows, system)

    verify(weakened(air, k), PARAMETERS, proof)
    with pytest.raises(ProofRefused) as refused:
        verify(air, PARAMETERS, proof)
    assert refused.value.reason is Reason.OODS
