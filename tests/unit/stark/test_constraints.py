"""Each constraint is needed: a trace that violates only one family of them cannot be proven."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.airs.rescue_chain import RescueChainAir
from dragon.stark.field import P
from dragon.stark.parameters import Parameters, Slack
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.rescue import Digest, rescue_hash
from dragon.stark.verifier import verify
from plainprover import Prover
from plaintraces import Chain, Constraints, Row, block_rows, blocks_rows, chain_output, rounds

PREIMAGES = [[10 * b + i for i in range(8)] for b in range(2)]
OUTPUTS = tuple(rescue_hash(preimage) for preimage in PREIMAGES)
BLOCKS_PARAMETERS = Parameters(2, 3, 1, (0, 1), 32, slack=Slack.REFERENCE)

WITNESS = [[7 * j + i for i in range(4)] for j in range(7)]
CHAIN_LENGTH = 6
CHAIN_PARAMETERS = Parameters(2, 3, 1, (1, 2), 8, zero_knowledge=False)

Blocks = tuple[BlocksAir, list[Row]]
Chained = tuple[RescueChainAir, list[Row]]


def shifted(row: Row, where: range) -> Row:
    return [(x + 1) % P if i in where else x for i, x in enumerate(row)]


# -- blocks: the second of two is wrong ----------------------------------------------------------


def with_second_block(inputs: Row, spoil: Callable[[int, Row], Row]) -> Blocks:
    _, output = rounds(inputs, spoil)
    a, b, c, d = output[:4]
    rows = blocks_rows(PREIMAGES[:1]) + block_rows(inputs, spoil)
    return BlocksAir((OUTPUTS[0], (a, b, c, d)), b"spoiled"), rows


def capacity_filled(where: range) -> Blocks:
    inputs = shifted([*PREIMAGES[1], 0, 0, 0, 0], where)
    return with_second_block(inputs, lambda _, state: state)


def round_bent(where: range, number: int) -> Blocks:
    inputs = [*PREIMAGES[1], 0, 0, 0, 0]
    return with_second_block(
        inputs, lambda r, state: shifted(state, where) if r == number else state
    )


def output_replaced(where: range) -> Blocks:
    a, b, c, d = shifted(list(OUTPUTS[1]), where)
    return BlocksAir((OUTPUTS[0], (a, b, c, d)), b"spoiled"), blocks_rows(PREIMAGES)


def test_correct_blocks_violate_no_constraint() -> None:
    air = BlocksAir(OUTPUTS, b"")
    assert not violated_blocks((air, blocks_rows(PREIMAGES)))


def violated_blocks(spoiled: Blocks) -> set[int]:
    air, rows = spoiled
    return Constraints(air, BLOCKS_PARAMETERS.lengths(air.original_length)).violated(rows)


@pytest.mark.parametrize("i", range(8, 12))
def test_each_capacity_constraint_is_needed(i: int) -> None:
    assert violated_blocks(capacity_filled(range(i, i + 1))) == {i - 8}


@pytest.mark.parametrize("i", range(12))
def test_each_round_constraint_is_needed(i: int) -> None:
    # Rounds 1 to 9 are linked to the previous round; each of them is changed once here.
    assert violated_blocks(round_bent(range(i, i + 1), 1 + i % 9)) == {4 + i}


@pytest.mark.parametrize("i", range(4))
def test_each_output_constraint_is_needed(i: int) -> None:
    assert violated_blocks(output_replaced(range(i, i + 1))) == {16 + i}


@pytest.mark.parametrize(
    "spoiled",
    [capacity_filled(range(9, 10)), round_bent(range(3, 4), 5), output_replaced(range(1))],
    ids=["capacity", "round", "output"],
)
def test_a_proof_of_wrong_blocks_fails_the_out_of_domain_check(spoiled: Blocks) -> None:
    air, rows = spoiled

    proof = Prover(air, BLOCKS_PARAMETERS, b"any").prove(rows)

    with pytest.raises(ProofRefused) as refused:
        verify(air, BLOCKS_PARAMETERS, proof)
    assert refused.value.reason is Reason.OODS


def test_the_same_prover_proves_correct_blocks() -> None:
    air = BlocksAir(OUTPUTS, b"spoiled")

    verify(
        air, BLOCKS_PARAMETERS, Prover(air, BLOCKS_PARAMETERS, b"any").prove(blocks_rows(PREIMAGES))
    )


# -- chains of two batches -----------------------------------------------------------------------


def chained(chain: Chain, output: Digest | None = None) -> Chained:
    rows = chain.run(WITNESS, 64)
    return RescueChainAir(output or chain_output(rows, CHAIN_LENGTH), CHAIN_LENGTH), rows


def bent_between(hash_number: int, where: range) -> Chain:
    return Chain(between=lambda j, row: shifted(row, where) if j == hash_number else row)


def bent_within(where: range) -> Chain:
    return Chain(spoil=lambda j, r, row: shifted(row, where) if (j, r) == (1, 5) else row)


def first_row_denied() -> Chained:
    """The inputs of the first hash differ from row 0."""
    air, rows = chained(bent_between(0, range(12)))
    honest = [*WITNESS[0], *WITNESS[1], 0, 0, 0, 0]
    return air, [honest, *rows[1:]]


def last_row_denied() -> Chained:
    """Row 31 differs from the end of the third hash; the next batch continues from row 31."""
    _, rows = chained(Chain())
    shown = shifted(rows[31], range(12))
    air, rows = chained(Chain(between=lambda j, row: [*shown[:4], *row[4:]] if j == 3 else row))
    return air, [*rows[:31], shown, *rows[32:]]


def output_denied() -> Chained:
    _, rows = chained(Chain())
    a, b, c, d = (x + 1 for x in chain_output(rows, CHAIN_LENGTH))
    return chained(Chain(), output=(a, b, c, d))


SPOILED_CHAINS = {
    "first capacity": (chained(bent_between(0, range(8, 12))), range(4)),
    "first row": (first_row_denied(), range(4, 16)),
    "rounds, left": (chained(bent_within(range(4))), range(16, 20)),
    "rounds, right": (chained(bent_within(range(4, 12))), range(20, 28)),
    "later capacity": (chained(bent_between(1, range(8, 12))), range(28, 32)),
    "last row": (last_row_denied(), range(32, 44)),
    "link of batches": (chained(bent_between(3, range(4))), range(44, 48)),
    "output": (output_denied(), range(48, 52)),
}


def test_a_correct_chain_violates_no_constraint() -> None:
    assert not violated_chain(chained(Chain()))


def violated_chain(spoiled: Chained) -> set[int]:
    air, rows = spoiled
    return Constraints(air, CHAIN_PARAMETERS.lengths(air.original_length)).violated(rows)


@pytest.mark.parametrize("name", SPOILED_CHAINS)
def test_each_family_of_chain_constraints_can_be_violated_alone(name: str) -> None:
    spoiled, constraints = SPOILED_CHAINS[name]

    assert violated_chain(spoiled) == set(constraints)


@pytest.mark.parametrize("name", SPOILED_CHAINS)
def test_a_proof_of_a_wrong_chain_fails_the_out_of_domain_check(name: str) -> None:
    (air, rows), _ = SPOILED_CHAINS[name]

    proof = Prover(air, CHAIN_PARAMETERS).prove(rows)

    with pytest.raises(ProofRefused) as refused:
        verify(air, CHAIN_PARAMETERS, proof)
    assert refused.value.reason is Reason.OODS


def test_the_same_prover_proves_a_correct_chain() -> None:
    air, rows = chained(Chain())

    verify(air, CHAIN_PARAMETERS, Prover(air, CHAIN_PARAMETERS).prove(rows))
