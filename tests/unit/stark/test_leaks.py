"""The blinding of the reference reveals secrets; the strict blinding does not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import leak
import starkvectors as vectors
from dragon.stark import ziggy
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.commitment import decode_output
from dragon.stark.parameters import Parameters, Slack
from dragon.stark.rescue import rescue_hash
from dragon.stark.transcript import Transcript
from dragon.stark.verifier import replay
from plainprover import prove_blocks
from plaintraces import block_rows
from starkvectors import bases

PAIR = vectors.ziggy("leak_pair.json")
SIX = vectors.blocks("leak_reference_b4.json")
PREIMAGE = bases(SIX["expected"]["recovered_preimage"])
Replayed = tuple[BlocksAir, Parameters, Transcript]


def row_that_leaks(preimage: Sequence[int]) -> list[int]:
    return block_rows([*preimage, 0, 0, 0, 0])[leak.ROW_OF_BLOCK]


def system(proofs: Sequence[Replayed], n_masked: int = 1) -> list[leak.Equation]:
    return [equation for proof in proofs for equation in leak.equations(*proof, n_masked)]


# -- one message, two parameter sets (section 14.1) ----------------------------------------------


def test_two_signatures_of_one_message_under_two_parameter_sets_reveal_the_key() -> None:
    transcripts = []
    for signature in PAIR["signatures"]:
        air, parameters = (
            vectors.ziggy_air(signature),
            vectors.parameters(signature["proof_parameters"]),
        )
        transcripts.append(replay(air, parameters, vectors.proof_bytes(signature)))
    lengths = parameters.lengths(air.original_length)

    inputs = leak.preimage_in_row(leak.trace_row(transcripts, lengths, 1), 1)

    assert inputs == [*bases(PAIR["recovered_secret_preimage"]), 0, 0, 0, 0]
    assert rescue_hash(inputs[:8]) == air.outputs[0]
    private_key = bytes.fromhex(PAIR["private_key_for_tests_only"].removeprefix("0x"))
    assert ziggy.secret_preimage(private_key) == inputs[:8]

    for transcript in transcripts:
        with pytest.raises(ValueError, match="do not determine"):
            leak.trace_row([transcript], lengths, 1)


# -- one blinding column for four blocks (section 18.7) ------------------------------------------


@pytest.fixture(scope="module")
def reference_proofs() -> list[Replayed]:
    """Six honest proofs. Their fourth block is padding: the identity."""
    parameters = vectors.parameters(SIX["parameters"])
    result = []
    for file in SIX["proofs"]:
        air = vectors.blocks_air(file)
        result.append((air, parameters, replay(air, parameters, vectors.proof_bytes(file))))
    return result


@pytest.fixture(scope="module")
def strict_proofs() -> list[Replayed]:
    """Similar statements with three blinding columns and fresh randomness for each proof.

    The step list [0] publishes all of d, as in the proofs of the reference.
    """
    parameters = Parameters(2, 3, 1, (0,), 128, slack=Slack.STRICT)
    preimages = [PREIMAGE, [1, 2, 3, 4, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1], PREIMAGE]
    outputs = tuple(rescue_hash(preimage) for preimage in preimages)
    result = []
    for i in range(6):
        air = BlocksAir(outputs, b"window %d" % i)
        proof = prove_blocks(air, parameters, preimages, bytes([i]) * 32)
        result.append((air, parameters, replay(air, parameters, proof)))
    return result


def test_six_proofs_with_the_blinding_of_the_reference_reveal_the_preimage(
    reference_proofs: list[Replayed],
) -> None:
    cells = leak.solve(system(reference_proofs))

    assert cells == bases(SIX["expected"]["row_52_cells"])
    inputs = leak.preimage_in_row(cells, leak.ROW_OF_BLOCK)
    assert inputs == [*PREIMAGE, 0, 0, 0, 0]
    identity = bytes.fromhex(SIX["proofs"][0]["statement"]["outputs"][0])
    assert rescue_hash(inputs[:8]) == decode_output(identity)


def test_every_equation_of_the_reference_holds_for_the_secret_row(
    reference_proofs: list[Replayed],
) -> None:
    secret = row_that_leaks(PREIMAGE)

    assert [leak.holds(equation, secret) for equation in system(reference_proofs)] == [True] * 12


def test_the_first_coordinate_is_masked_even_in_the_reference(
    reference_proofs: list[Replayed],
) -> None:
    secret = row_that_leaks(PREIMAGE)

    held = [leak.holds(e, secret) for e in system(reference_proofs, n_masked=0)]

    assert held == [False, True, True] * 6


def test_no_equation_holds_for_strict_proofs(strict_proofs: list[Replayed]) -> None:
    secret = row_that_leaks(PREIMAGE)

    held = [leak.holds(equation, secret) for equation in system(strict_proofs, n_masked=0)]

    assert held == [False] * 18


def test_the_attack_on_six_strict_proofs_fails(strict_proofs: list[Replayed]) -> None:
    cells = leak.solve(system(strict_proofs))

    inputs = leak.preimage_in_row(cells, leak.ROW_OF_BLOCK)
    assert cells != row_that_leaks(PREIMAGE)
    assert inputs[8:] != [0, 0, 0, 0]
    assert rescue_hash(inputs[:8]) != strict_proofs[0][0].outputs[0]
