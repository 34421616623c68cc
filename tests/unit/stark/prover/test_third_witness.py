"""A third kind of statement needs a class for its trace and constraints, but no new prover code.

"I know an x such that fifteen steps x → x³ + y, y → x from (x, 1) end in (end, …)."
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from dragon.stark import extension as ext
from dragon.stark import field as base
from dragon.stark.air import Family
from dragon.stark.extension import Element
from dragon.stark.field import P
from dragon.stark.parameters import Lengths, Parameters
from dragon.stark.prover.kernels.jit import Words
from dragon.stark.prover.montgomery import integers, words
from dragon.stark.prover.prover import prove
from dragon.stark.prover.threads import ThreadTeam
from dragon.stark.refusal import ProofRefused
from dragon.stark.verifier import verify
from plainprover import Prover as PlainProver
from plaintraces import evaluate

ROWS = 16
SEED = b"blinding"


@dataclass(frozen=True)
class StepsAir:
    end: int

    original_length: int = ROWS
    columns: int = 2
    n_constraints: int = 4
    mask: Sequence[tuple[int, int]] = ((0, 0), (0, 1), (1, 0), (1, 1))

    def admit(self, parameters: Parameters) -> None:
        pass

    def channel_seed(self, parameters: Parameters) -> bytes:
        return b"two columns\0" + base.encode([self.end])

    def exponents(self, lengths: Lengths) -> Sequence[int]:
        n = lengths.trace_length
        return [n + 1 + ROWS, 3 * n - 1 + ROWS, 3 * n + 1, 3 * n + 1]

    def families_at(
        self, z: Element, values: Sequence[Element], lengths: Lengths
    ) -> Sequence[Family]:
        x, y, next_x, next_y = values
        steps = ext.sub(ext.power(z, ROWS), ext.ONE)
        last = ext.sub(z, ext.embed(pow(lengths.row_generator, ROWS - 1, P)))
        first = ext.sub(z, ext.ONE)
        cubed = ext.sub(next_x, ext.add(ext.power(x, 3), y))
        e = self.exponents(lengths)
        return [
            Family([cubed], last, steps, e[0]),
            Family([ext.sub(next_y, x)], last, steps, e[1]),
            Family([ext.sub(y, ext.ONE)], ext.ONE, first, e[2]),
            Family([ext.sub(x, ext.embed(self.end))], ext.ONE, last, e[3]),
        ]


@dataclass(frozen=True)
class StepsWitness:
    air: StepsAir
    secret: list[list[int]] = field(repr=False)

    def zk_seed(self, parameters: Parameters, channel_seed: bytes) -> bytes:
        return SEED

    def rows(self, team: ThreadTeam) -> Words:
        return words(x for row in self.secret for x in row)

    def compose(
        self, trace: Words, lengths: Lengths, coefficients: Words, result: Words, team: ThreadTeam
    ) -> None:
        size = 4 * lengths.trace_length
        order = [base.bit_reverse(i, base.log2(size)) for i in range(size)]
        table = trace.reshape(lengths.columns, lengths.domain_size)[: self.air.columns, :size]
        columns = [integers(column[order]) for column in table]
        flat = integers(coefficients)
        alphas = [(flat[at], flat[at + 1], flat[at + 2]) for at in range(0, len(flat), 3)]
        system = StepsSystem(self.air, lengths)
        natural = np.empty((3, size), dtype=np.uint64)
        exponents = self.air.exponents(lengths)
        for i, (x, row) in enumerate(zip(system.points, system.quotients(columns), strict=True)):
            value = ext.ZERO
            for k, quotient in enumerate(row):
                adjusted = ext.scale(alphas[2 * k + 1], pow(x, exponents[k], P))
                value = ext.add(value, ext.scale(ext.add(alphas[2 * k], adjusted), quotient))
            natural[:, i] = words(value)
        result[:] = natural[:, order].reshape(-1)


class StepsSystem:
    """The constraints on the coset 3·⟨ω_4n⟩, for both provers."""

    def __init__(self, air: StepsAir, lengths: Lengths) -> None:
        self.air, self.lengths = air, lengths
        self.points = evaluate([0, 1], 4 * lengths.trace_length)

    def quotients(self, columns: Sequence[Sequence[int]]) -> list[list[int]]:
        xs, ys = columns
        step, size = 4 * self.lengths.slackness, len(self.points)
        last_row = pow(self.lengths.row_generator, ROWS - 1, P)
        result = []
        for i, point in enumerate(self.points):
            x, y, j = xs[i], ys[i], (i + step) % size
            active = (point - last_row) * pow(pow(point, ROWS, P) - 1, -1, P)
            row = [
                (xs[j] - x**3 - y) * active,
                (ys[j] - x) * active,
                (y - 1) * pow(point - 1, -1, P),
                (x - self.air.end) * pow(point - last_row, -1, P),
            ]
            result.append([quotient % P for quotient in row])
        return result


PARAMETERS = [
    Parameters(2, 4, 2, (1,), 8, zero_knowledge=False),
    Parameters(3, 9, 2, (0, 2), 8),
]


@pytest.mark.parametrize("parameters", PARAMETERS, ids=["plain", "zero knowledge"])
def test_a_third_statement_gives_the_proof_of_the_plain_prover(parameters: Parameters) -> None:
    rows = [[3, 1]]
    while len(rows) < ROWS:
        x, y = rows[-1]
        rows.append([(x**3 + y) % P, x])
    air = StepsAir(rows[-1][0])

    proof = prove(StepsWitness(air, rows), parameters, threads=2)

    system = StepsSystem(air, parameters.lengths(ROWS, air.columns))
    assert proof == PlainProver(air, parameters, SEED, system).prove(rows)
    verify(air, parameters, proof)
    with pytest.raises(ProofRefused):
        verify(StepsAir(air.end + 1), parameters, proof)
