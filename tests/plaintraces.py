"""Execution traces and constraints in plain Python, from sections 5, 11 and 18.3 literally.

This is an oracle: it uses the coefficient forms of the specification where the verifier uses closed
forms. It is slow; use it with small sizes only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from operator import mul

from dragon.stark.airs import blocks, rescue_chain
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.airs.rescue_chain import RescueChainAir
from dragon.stark.field import GENERATOR, P, root_of_unity
from dragon.stark.parameters import Lengths
from dragon.stark.rescue import CUBE_ROOT_EXPONENT, mds_matrix, mds_matrix_inverse, round_constants

Row = list[int]
Spoil = Callable[[int, Row], Row]  # (round, state before it) -> the state to continue with

K, M, M_INVERSE = round_constants(), mds_matrix(), mds_matrix_inverse()


# -- polynomials ---------------------------------------------------------------------------------


def ntt(values: Sequence[int], root: int) -> list[int]:
    """Σ_j values_j·root^(ij) for every i. The length is the order of `root`, a power of two."""
    if len(values) == 1:
        return list(values)
    if len(values) == 2:
        return [(values[0] + values[1]) % P, (values[0] - values[1]) % P]
    square = root * root % P
    even, odd = ntt(values[::2], square), ntt(values[1::2], square)
    twisted = [b * power % P for b, power in zip(odd, _powers(root, len(odd)), strict=True)]
    low = [(a + b) % P for a, b in zip(even, twisted, strict=True)]
    return low + [(a - b) % P for a, b in zip(even, twisted, strict=True)]


@cache
def _powers(base: int, count: int) -> list[int]:
    """1, base, base², …: every transform of one length needs the same ones."""
    powers = [1]
    while len(powers) < count:
        powers.append(powers[-1] * base % P)
    return powers


def interpolate(values: Sequence[int], offset: int = 1) -> list[int]:
    """The coefficients of the polynomial with these values on offset·⟨ω⟩, in natural order."""
    size = len(values)
    scaled = ntt(values, pow(root_of_unity(size), -1, P))
    factor, shrink = pow(size, -1, P), pow(offset, -1, P)
    result = []
    for coefficient in scaled:
        result.append(coefficient * factor % P)
        factor = factor * shrink % P
    return result


def evaluate(coefficients: Sequence[int], size: int, offset: int = GENERATOR) -> list[int]:
    """The values on offset·⟨ω_size⟩, in natural order."""
    padded, power = [0] * size, 1
    for j, coefficient in enumerate(coefficients):
        padded[j] = coefficient * power % P
        power = power * offset % P
    return ntt(padded, root_of_unity(size))


# -- Rescue, half a round at a time --------------------------------------------------------------


def _apply(matrix: Sequence[Sequence[int]], vector: Sequence[int]) -> Row:
    assert len(vector) == len(matrix[0])
    return [sum(map(mul, row, vector)) % P for row in matrix]


def _plus(left: Sequence[int], right: Sequence[int]) -> Row:
    return [(a + b) % P for a, b in zip(left, right, strict=True)]


def middle_of(state: Sequence[int], r: int) -> Row:
    """The middle of round r, from the state before the round."""
    return _plus(_apply(M, [pow(x, CUBE_ROOT_EXPONENT, P) for x in state]), K[2 * r + 1])


def end_of(middle: Sequence[int], r: int) -> Row:
    """The state after round r, from the middle of the round."""
    return _plus(_apply(M, [pow(x, 3, P) for x in middle]), K[2 * r + 2])


def before(middle: Sequence[int], r: int) -> Row:
    """The state before round r, from its middle. It recovers secrets from a trace row."""
    cubes = _apply(M_INVERSE, [(x - k) % P for x, k in zip(middle, K[2 * r + 1], strict=True)])
    return [pow(x, 3, P) for x in cubes]


def middle_before(state: Sequence[int], r: int) -> Row:
    """The middle of round r, from the state after the round."""
    cubed = _apply(M_INVERSE, [(x - k) % P for x, k in zip(state, K[2 * r + 2], strict=True)])
    return [pow(x, CUBE_ROOT_EXPONENT, P) for x in cubed]


def preimage_of(middle: Sequence[int], r: int) -> Row:
    """The twelve inputs of the permutation, from the middle of round r."""
    state = before(middle, r)
    while r:
        r -= 1
        state = before(middle_before(state, r), r)
    return [(x - k) % P for x, k in zip(state, K[0], strict=True)]


def rounds(inputs: Sequence[int], spoil: Spoil = lambda _, state: state) -> tuple[list[Row], Row]:
    """The ten middles and the output of the permutation. `spoil` may change states on the way."""
    state, middles = _plus(inputs, K[0]), []
    for r in range(10):
        middles.append(middle_of(spoil(r, state), r))
        state = end_of(middles[-1], r)
    return middles, state


# -- traces --------------------------------------------------------------------------------------


def block_rows(inputs: Sequence[int], spoil: Spoil = lambda _, state: state) -> list[Row]:
    """The 16 rows of one block, from the twelve inputs of the permutation."""
    middles, _ = rounds(inputs, spoil)
    return [[0] * 12, *middles, *[[0] * 12 for _ in range(5)]]


def blocks_rows(preimages: Sequence[Sequence[int]]) -> list[Row]:
    """The rows of all blocks."""
    return [row for preimage in preimages for row in block_rows([*preimage, 0, 0, 0, 0])]


@dataclass
class Chain:
    """The rows of a Rescue chain, batch by batch, optionally with errors.

    `between` may change the twelve inputs of hash j (from 0), `spoil` the state before round r of
    that hash.
    """

    between: Callable[[int, Row], Row] = lambda _, inputs: inputs
    spoil: Callable[[int, int, Row], Row] = lambda _, __, state: state
    rows: list[Row] = field(default_factory=list)

    def run(self, witness: Sequence[Sequence[int]], original_length: int) -> list[Row]:
        carried, words, j = list(witness[0]), iter(witness[1:]), 0
        while len(self.rows) < original_length:
            for third in range(3):
                inputs = self.between(j, [*carried, *next(words, [0] * 4), 0, 0, 0, 0])
                if third == 0:
                    self.rows.append(inputs)
                middles, output = rounds(inputs, partial(self.spoil, j))
                self.rows += middles
                carried, j = output[:4], j + 1
            self.rows.append(output)
        return self.rows


def chain_output(rows: Sequence[Row], chain_length: int) -> tuple[int, int, int, int]:
    """The output of a chain, read from its rows."""
    a, b, c, d = rows[32 * (chain_length // 3) - 1][:4]
    return a, b, c, d


# -- constraints ---------------------------------------------------------------------------------


@cache
def _periodic(column: tuple[int, ...], lengths: Lengths) -> list[int]:
    """A periodic column on the coset 3·⟨ω_4n⟩ (section 5.3). Many statements share these."""
    n, s = lengths.trace_length, lengths.slackness
    spaced = [0] * (s * len(column))
    spaced[::s] = column
    coefficients = [0] * n
    coefficients[:: n // len(spaced)] = interpolate(spaced)
    return evaluate(coefficients, 4 * n)


class Constraints:
    """All quotients c_k·num_k/den_k on the coset 3·⟨ω_4n⟩, from the rows of a statement."""

    def __init__(self, air: BlocksAir | RescueChainAir, lengths: Lengths) -> None:
        self.air, self.lengths = air, lengths
        self.size = 4 * lengths.trace_length
        self.points = evaluate([0, 1], self.size)
        statement = blocks if isinstance(air, BlocksAir) else rescue_chain
        columns = [_periodic(column, lengths) for column in statement.periodic_columns()]
        self.even, self.odd = columns[:12], columns[12:]
        if isinstance(air, BlocksAir):
            self._outputs = [self._output(column) for column in zip(*air.outputs, strict=True)]

    def _output(self, column: Sequence[int]) -> list[int]:
        shift = pow(self.lengths.row_generator, -10, P)
        shifted = [c * pow(shift, j, P) % P for j, c in enumerate(interpolate(column))]
        return evaluate(shifted, self.size)

    def quotients(self, columns: Sequence[Sequence[int]]) -> list[list[int]]:
        """All quotients at each point, in natural order. `columns` is the trace at these points."""
        step = 4 * self.lengths.slackness
        table = list(zip(*columns, strict=True))
        return [self._at(i, table[i], table[(i + step) % self.size]) for i in range(self.size)]

    def _at(self, i: int, current: Sequence[int], following: Sequence[int]) -> list[int]:
        even, odd = [c[i] for c in self.even], [c[i] for c in self.odd]
        ends = _plus(_apply(M, [pow(x, 3, P) for x in current]), even)
        shifted = [(x - k) % P for x, k in zip(following, odd, strict=True)]
        starts = [pow(x, 3, P) for x in _apply(M_INVERSE, shifted)]
        if isinstance(self.air, BlocksAir):
            return self._blocks(i, even, ends, starts)
        return self._chain(self.air, i, current, following, even, ends, starts)

    def _blocks(self, i: int, even: Row, ends: Row, starts: Row) -> list[int]:
        y, h = pow(self.points[i], len(self.air.outputs), P), root_of_unity(16)  # type: ignore[union-attr]
        chained = 1
        for r in range(1, 10):
            chained = chained * (y - pow(h, r, P)) % P
        first, middle, last = (pow(d, -1, P) for d in (y - 1, chained, y - pow(h, 10, P)))
        return [
            *[(even[j] - starts[j]) * first % P for j in range(8, 12)],
            *[(ends[j] - starts[j]) * middle % P for j in range(12)],
            *[(ends[j] - self._outputs[j][i]) * last % P for j in range(4)],
        ]

    def _chain(
        self,
        air: RescueChainAir,
        i: int,
        current: Sequence[int],
        following: Sequence[int],
        even: Row,
        ends: Row,
        starts: Row,
    ) -> list[int]:
        x, length, h = self.points[i], self.lengths.original_length, self.lengths.row_generator
        y = pow(x, length // 32, P)
        y0, y10, y20, y30, y31 = (y - pow(h, length * t // 32, P) for t in (0, 10, 20, 30, 31))
        every = pow(pow(x, length, P) - 1, -1, P)
        out_row = 32 * (air.chain_length // 3 - 1) + 31
        within = y0 * y30 * y31 % P * every
        inner = within * y10 % P * y20
        capacity = pow(y10 * y20, -1, P)
        linked = (x - pow(h, length - 1, P)) * pow(y31, -1, P)
        at_0, at_30 = pow(y0, -1, P), pow(y30, -1, P)
        at_end = pow(x - pow(h, out_row, P), -1, P)
        return [
            *[current[j] * at_0 % P for j in range(8, 12)],
            *[(current[j] + even[j] - starts[j]) * at_0 % P for j in range(12)],
            *[(ends[j] - starts[j]) * within % P for j in range(4)],
            *[(ends[j] - starts[j]) * inner % P for j in range(4, 12)],
            *[(even[j] - starts[j]) * capacity % P for j in range(8, 12)],
            *[(ends[j] - following[j]) * at_30 % P for j in range(12)],
            *[(current[j] - following[j]) * linked % P for j in range(4)],
            *[(current[j] - air.output[j]) * at_end % P for j in range(4)],
        ]

    def violated(self, rows: Sequence[Row]) -> set[int]:
        """The constraints that these rows violate."""
        exponents = self.air.exponents(self.lengths)
        return violated(self.quotients, exponents, self.lengths, rows)


def violated(
    quotients: Callable[[Sequence[Sequence[int]]], list[list[int]]],
    exponents: Sequence[int],
    lengths: Lengths,
    rows: Sequence[Row],
) -> set[int]:
    """The constraints k for which the quotient is not a polynomial of degree 4n - 1 - e_k."""
    size, slackness = 4 * lengths.trace_length, lengths.slackness
    columns = [
        evaluate(interpolate(_slackened(column, slackness)), size)
        for column in zip(*rows, strict=True)
    ]
    by_constraint = zip(*quotients(columns), strict=True)
    return {
        k
        for k, (quotient, e) in enumerate(zip(by_constraint, exponents, strict=True))
        if any(interpolate(quotient, GENERATOR)[size - e :])
    }


def _slackened(column: Sequence[int], slackness: int) -> list[int]:
    """A column with arbitrary cells between the original rows."""
    return [c if k == 0 else (c * 7 + k) % P for c in column for k in range(slackness)]
