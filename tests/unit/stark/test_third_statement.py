"""A third kind of statement needs one new class, and no change to the verifier.

"I know a number b_0 such that fifteen steps (a, b) → (b, a³ + b) from (a_0, b_0) end in b_15."
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

import starkvectors as vectors
from dragon.stark import extension as ext
from dragon.stark import field
from dragon.stark.air import Family
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.airs.rescue_chain import RescueChainAir
from dragon.stark.channel import ProofReader
from dragon.stark.deep import DeepPolynomial, boundaries, domain_points
from dragon.stark.extension import Element
from dragon.stark.field import P
from dragon.stark.parameters import Lengths, Parameters
from dragon.stark.queries import open_queries
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.verifier import replay, verify
from plainprover import Prover
from plaintraces import evaluate

ROWS = 16


@dataclass(frozen=True)
class StepsAir:
    start: int
    end: int

    original_length: int = ROWS
    columns: int = 2
    n_constraints: int = 4
    mask: Sequence[tuple[int, int]] = ((0, 0), (0, 1), (1, 0), (1, 1))

    def admit(self, parameters: Parameters) -> None:
        if parameters.slack is not None:
            raise ProofRefused(Reason.PARAMETERS, "steps take a base parameter file")

    def channel_seed(self, parameters: Parameters) -> bytes:
        return b"steps\0" + field.encode([self.start, self.end])

    def exponents(self, lengths: Lengths) -> Sequence[int]:
        n = lengths.trace_length
        return [3 * n - 1 + ROWS, n + 1 + ROWS, 3 * n + 1, 3 * n + 1]

    def families_at(
        self, z: Element, values: Sequence[Element], lengths: Lengths
    ) -> Sequence[Family]:
        a, b, next_a, next_b = values
        steps = ext.sub(ext.power(z, ROWS), ext.ONE)
        last = ext.sub(z, ext.embed(pow(lengths.row_generator, ROWS - 1, P)))
        first = ext.sub(z, ext.ONE)
        grown = ext.add(ext.power(a, 3), b)
        e = self.exponents(lengths)
        return [
            Family([ext.sub(next_a, b)], last, steps, e[0]),
            Family([ext.sub(next_b, grown)], last, steps, e[1]),
            Family([ext.sub(a, ext.embed(self.start))], ext.ONE, first, e[2]),
            Family([ext.sub(b, ext.embed(self.end))], ext.ONE, last, e[3]),
        ]


class Steps:
    """The same constraints on the coset, for the plain prover."""

    def __init__(self, air: StepsAir, lengths: Lengths) -> None:
        self.air, self.lengths = air, lengths
        self.points = evaluate([0, 1], 4 * lengths.trace_length)

    def quotients(self, columns: Sequence[Sequence[int]]) -> list[list[int]]:
        left, right = columns
        step, size = 4 * self.lengths.slackness, len(self.points)
        last_row = pow(self.lengths.row_generator, ROWS - 1, P)
        result = []
        for i, x in enumerate(self.points):
            a, b, j = left[i], right[i], (i + step) % size
            last = x - last_row
            active = last * pow(pow(x, ROWS, P) - 1, -1, P) % P
            result.append(
                [
                    (left[j] - b) * active % P,
                    (right[j] - a**3 - b) * active % P,
                    (a - self.air.start) * pow(x - 1, -1, P) % P,
                    (b - self.air.end) * pow(last, -1, P) % P,
                ]
            )
        return result


def trace(a: int, b: int) -> list[list[int]]:
    rows = [[a, b]]
    while len(rows) < ROWS:
        a, b = rows[-1]
        rows.append([b, (a**3 + b) % P])
    return rows


def prove(air: StepsAir, parameters: Parameters, rows: list[list[int]]) -> bytes:
    system = Steps(air, parameters.lengths(ROWS, air.columns))
    return Prover(air, parameters, b"seed", system).prove(rows)


PARAMETERS = [
    Parameters(2, 4, 2, (1,), 8, zero_knowledge=False),
    Parameters(3, 9, 2, (0, 2), 8, zero_knowledge=True),
]


@pytest.mark.parametrize("parameters", PARAMETERS, ids=["plain", "zero knowledge"])
def test_a_third_statement_can_be_proven_and_verified(parameters: Parameters) -> None:
    rows = trace(3, 5)
    air = StepsAir(3, rows[-1][1])

    proof = prove(air, parameters, rows)

    verify(air, parameters, proof)
    with pytest.raises(ProofRefused) as refused:
        verify(StepsAir(3, air.end + 1), parameters, proof)
    assert refused.value.reason is Reason.OODS


@pytest.mark.parametrize("place", [(0, 0), (4, 1), (15, 1)])
def test_a_wrong_trace_is_refused(place: tuple[int, int]) -> None:
    rows = trace(3, 5)
    air = StepsAir(3, rows[-1][1])
    rows[place[0]][place[1]] += 1

    proof = prove(air, PARAMETERS[0], rows)

    with pytest.raises(ProofRefused) as refused:
        verify(air, PARAMETERS[0], proof)
    assert refused.value.reason is Reason.OODS


# -- points that cannot be evaluated -------------------------------------------------------------


class Unlucky(StepsAir):
    """A statement with a constraint that has z in its domain."""

    def families_at(
        self, z: Element, values: Sequence[Element], lengths: Lengths
    ) -> Sequence[Family]:
        return [Family([ext.ONE], ext.ONE, ext.ZERO, 0)]


def test_a_point_in_the_domain_of_a_constraint_is_refused() -> None:
    rows = trace(3, 5)
    proof = prove(StepsAir(3, rows[-1][1]), PARAMETERS[0], rows)

    with pytest.raises(ProofRefused) as refused:
        verify(Unlucky(3, rows[-1][1]), PARAMETERS[0], proof)

    assert refused.value.reason is Reason.OODS


def test_evaluating_constraints_on_a_row_is_an_error() -> None:
    blocks = BlocksAir(((1, 2, 3, 4), (5, 6, 7, 8)), b"")
    chain = RescueChainAir((1, 2, 3, 4), 3)
    for air in (blocks, chain):
        lengths = Parameters(2, 4, 2, (0,), 64).lengths(air.original_length)
        on_row = ext.embed(pow(lengths.row_generator, 11, P))
        with pytest.raises(ZeroDivisionError):
            air.families_at(on_row, [ext.ONE] * 24, lengths)


def test_evaluating_the_deep_polynomial_at_a_constraint_point_is_an_error() -> None:
    lengths = Parameters(2, 4, 2, (0,), 32).lengths(ROWS, 2)
    [x] = domain_points([7], lengths)
    mask = ((0, 0), (0, 1))
    constraints = boundaries(ext.embed(x), mask, [ext.ONE] * 2, [ext.ONE] * 4, lengths)
    deep = DeepPolynomial(constraints, [ext.ONE] * len(constraints), lengths)

    with pytest.raises(ZeroDivisionError):
        deep.at([x], [[0] * 15])


def test_a_constraint_point_in_the_evaluation_domain_is_refused() -> None:
    file = vectors.ziggy("ziggy_proof_5.json")
    air, parameters = vectors.ziggy_air(file), vectors.parameters(file["proof_parameters"])
    proof, lengths = vectors.proof_bytes(file), parameters.lengths(air.original_length)
    transcript = replay(air, parameters, proof)
    [x] = domain_points(transcript.openings.rows[:1], lengths)
    unlucky = dataclasses.replace(transcript.fri.boundaries[0], point=ext.embed(x))
    committed = dataclasses.replace(
        transcript.fri, boundaries=[unlucky, *transcript.fri.boundaries[1:]]
    )
    reader = ProofReader(proof)
    reader.take(transcript.openings.query_offset)

    with pytest.raises(ProofRefused) as refused:
        open_queries(parameters, lengths, reader, transcript.out_of_domain, committed)

    assert refused.value.reason is Reason.OODS
