"""The plain prover, the oracle of the compiled one, makes the published proofs byte for byte."""

from __future__ import annotations

import pytest

import starkvectors as vectors
from dragon.stark import seeds, ziggy
from plainprover import Prover, prove_blocks
from plainreadings import ReadingsTrace, prove_readings
from plaintraces import Chain, blocks_rows
from starkvectors import bases


@pytest.mark.parametrize("name", ["ziggy_proof_1.json", "ziggy_proof_4.json", "ziggy_proof_5.json"])
def test_signatures_equal_the_published_ones(name: str) -> None:
    file = vectors.ziggy(name)
    air, parameters = vectors.ziggy_air(file), vectors.parameters(file["proof_parameters"])
    private_key = vectors.private_key(file)

    prover = Prover(air, parameters, seeds.ziggy_zk_seed(private_key, air.message))
    proof = prover.prove(blocks_rows([ziggy.secret_preimage(private_key)]))

    assert proof == vectors.proof_bytes(file)


@pytest.mark.parametrize("name", ["rescue_proof_1.json", "rescue_proof_2.json"])
def test_chains_equal_the_published_ones(name: str) -> None:
    file = vectors.ziggy(name)
    air, parameters = vectors.chain_air(file), vectors.parameters(file["proof_parameters"])
    witness = [bases(word) for word in file["private_input_for_tests_only"]["witness"]]

    prover = Prover(air, parameters, seeds.chain_zk_seed(witness))
    proof = prover.prove(Chain().run(witness, air.original_length))

    assert proof == vectors.proof_bytes(file)


@pytest.mark.parametrize("name", ["proof_reference_b1.json", "proof_reference_b2.json"])
def test_blocks_equal_the_published_ones(name: str) -> None:
    file = vectors.blocks(name)
    secrets = file["secrets_for_tests_only"]
    preimages = [bases(preimage) for preimage in secrets["preimages"]]
    padding = [preimages[0]] * (file["B"] - len(preimages))

    proof = prove_blocks(
        vectors.blocks_air(file),
        vectors.parameters(file["parameters"]),
        [*preimages, *padding],
        bytes.fromhex(secrets["rho"]),
    )

    assert proof == vectors.proof_bytes(file)


@pytest.mark.parametrize("name", ["valid_not_an_opening_b4.json", "valid_b8.json"])
def test_readings_proofs_equal_the_published_ones(name: str) -> None:
    file = vectors.readings(name)
    secrets = file["secrets_for_tests_only"]

    proof = prove_readings(
        vectors.readings_air(file),
        vectors.parameters(file["parameters"]),
        [bases(preimage) for preimage in secrets["preimages"]],
        bytes.fromhex(secrets["rho"]),
    )

    assert proof == vectors.proof_bytes(file)


@pytest.mark.parametrize(
    "name",
    [
        *(f"proof_standard_{b}.json" for b in ("b2", "b2_point", "b4_meter")),
        "proof_strong_b4.json",
        "valid_carried_b4.json",
    ],
)
def test_the_rows_of_readings_equal_the_published_ones(name: str) -> None:
    file = vectors.readings(name)
    preimages = [bases(preimage) for preimage in file["secrets_for_tests_only"]["preimages"]]

    rows = ReadingsTrace(vectors.readings_air(file), preimages).rows()

    assert rows[:32] == [bases(row) for row in file["trace_rows"]]
