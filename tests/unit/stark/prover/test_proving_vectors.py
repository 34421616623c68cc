"""Proofs equal the published ones, byte for byte."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import starkvectors as vectors
from dragon.errors import UnsafeParameters
from dragon.stark import seeds
from dragon.stark.airs.rescue_chain import RescueChainAir
from dragon.stark.parameter_sets import TEST_REFERENCE
from dragon.stark.parameters import Parameters, Slack
from dragon.stark.prover.blocks import prove_blocks, window_witness
from dragon.stark.prover.prover import prove
from dragon.stark.prover.rescue_chain import chain_output, prove_rescue_chain_deterministically
from dragon.stark.prover.ziggy import prove_ziggy, prove_ziggy_deterministically
from plainprover import Prover as PlainProver
from plaintraces import Chain

RHO = bytes(32)


def preimages(file: Any) -> list[list[int]]:
    return [vectors.bases(each) for each in file["secrets_for_tests_only"]["preimages"]]


@pytest.mark.parametrize("name", vectors.ZIGGY_PROOFS)
def test_deterministic_ziggy_signatures_equal_the_published_ones(name: str) -> None:
    file = vectors.ziggy(name)
    key, message = vectors.private_key(file), file["public_input"]["message"].encode()

    proof = prove_ziggy_deterministically(
        key, message, vectors.parameters(file["proof_parameters"])
    )

    assert proof == vectors.proof_bytes(file)


def test_deterministic_ziggy_signatures_are_classic_by_default() -> None:
    file = vectors.ziggy("ziggy_proof_1.json")

    proof = prove_ziggy_deterministically(vectors.private_key(file), b"Hello World!")

    assert proof == vectors.proof_bytes(file)


@pytest.mark.parametrize("name", vectors.RESCUE_PROOFS)
def test_deterministic_rescue_chains_equal_the_published_ones(name: str) -> None:
    file = vectors.ziggy(name)
    witness = [vectors.bases(word) for word in file["private_input_for_tests_only"]["witness"]]
    output = vectors.digest(file["public_input"]["output"])

    proof = prove_rescue_chain_deterministically(
        witness, vectors.parameters(file["proof_parameters"])
    )

    assert proof == vectors.proof_bytes(file)
    assert chain_output(witness) == output


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "name", [name for name in vectors.BLOCKS_PROOFS if "reference" not in name]
)
def test_windows_equal_the_published_ones(name: str, threads: int) -> None:
    file = vectors.blocks(name)
    message = bytes.fromhex(file["statement"]["message_hex"])
    outputs = [bytes.fromhex(output) for output in file["statement"]["outputs"]]

    proof = prove_blocks(
        file["parameter_set"], preimages(file), message, RHO, outputs=outputs, threads=threads
    )

    assert proof == vectors.proof_bytes(file)


def test_chunks_can_be_given_as_openings() -> None:
    file = vectors.blocks("proof_standard_b4.json")
    opened = vectors.blocks("commitments.json")["openings"][: file["n_chunks"]]
    openings = [bytes.fromhex(case["digest"] + case["salt"]) for case in opened]
    message = bytes.fromhex(file["statement"]["message_hex"])

    proof = prove_blocks("standard", [preimages(file)[0], *openings], message, RHO)

    assert proof == vectors.proof_bytes(file)


@pytest.mark.parametrize("name", [name for name in vectors.BLOCKS_PROOFS if "reference" in name])
def test_the_blinding_of_the_reference_requires_a_flag_for_tests(name: str) -> None:
    file = vectors.blocks(name)
    parameters = vectors.parameters(file["parameters"])
    message = bytes.fromhex(file["statement"]["message_hex"])
    witness = window_witness(preimages(file), message, RHO)

    with pytest.raises(UnsafeParameters):
        prove(witness, parameters)
    proof = prove(dataclasses.replace(witness, leaky_for_tests=True), parameters)

    assert proof == vectors.proof_bytes(file)


def test_the_blinding_of_the_reference_cannot_be_chosen_by_name() -> None:
    parameters = TEST_REFERENCE.parameters(1)
    assert parameters.slack is Slack.REFERENCE

    with pytest.raises(UnsafeParameters):
        prove_ziggy(bytes(32), b"", RHO, parameters)
    with pytest.raises(UnsafeParameters):
        prove_ziggy_deterministically(bytes(32), b"", parameters)
    with pytest.raises(UnsafeParameters):
        prove_blocks("ziggy-classic", [[0] * 8], b"", RHO)


# Cases: runs of rows shorter and longer than a vector, slack, a folding first step, many layers.
CHAINS = [
    (3, Parameters(3, 7, 0, (1, 2), 4, zero_knowledge=False)),
    (9, Parameters(2, 5, 2, (0, 1, 3), 16)),
    (24, Parameters(4, 9, 1, (3, 1, 1), 8, zero_knowledge=False)),
]


@pytest.mark.parametrize(("length", "parameters"), CHAINS)
def test_chains_of_other_shapes_equal_those_of_the_plain_prover(
    length: int, parameters: Parameters
) -> None:
    witness = [[k, k + 1, k * k, 7] for k in range(length + 1)]
    air = RescueChainAir(chain_output(witness), length)

    proof = prove_rescue_chain_deterministically(witness, parameters, threads=2)

    rows = Chain().run(witness, air.original_length)
    assert proof == PlainProver(air, parameters, seeds.chain_zk_seed(witness)).prove(rows)
