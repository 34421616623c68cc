"""Invalid proofs and non-strict encodings are refused by name."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

import starkvectors as vectors
from dragon.errors import DragonError, IntegerOutOfRange, InvalidHex, WrongType
from dragon.stark import files
from dragon.stark.air import Air
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.airs.rescue_chain import RescueChainAir
from dragon.stark.blocks import statement, verify_blocks
from dragon.stark.parameter_sets import CLASSIC
from dragon.stark.parameters import Parameters, Slack
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.verifier import verify
from dragon.stark.ziggy import verify_signature

ZIGGY = vectors.ziggy("invalid_proofs.json")["cases"]
LENIENT = {case["name"]: case for case in vectors.ziggy("reference_lenient.json")["cases"]}
BLOCKS = vectors.blocks("invalid_proofs.json")["cases"]

# Cases with another reason than the published one.
STRICTER = {
    # The shifted out-of-domain values contain words that are not below p; decoding fails first.
    "byte_inserted": Reason.NON_CANONICAL,
    # The missing node is noticed before its hash is computed.
    "truncated": Reason.PROOF_TOO_SHORT,
}


def test_every_published_case_is_here() -> None:
    assert (len(ZIGGY), len(BLOCKS), len(LENIENT)) == (58, 42, 10)


def name_of(case: Any) -> str:
    return str(case["name"])


def expected(case: Any, published: str) -> Reason:
    return STRICTER.get(case["name"], Reason(published))


def verify_as_stated(file: Any) -> None:
    """Verify with the parameters that the file states, like the original verifier."""
    is_chain = "chain_length" in file["public_input"]
    air = vectors.chain_air(file) if is_chain else vectors.ziggy_air(file)
    verify(air, vectors.parameters(file["proof_parameters"]), vectors.proof_bytes(file))


def verify_blocks_as_stated(file: Any) -> None:
    """Verify with the parameters that the file states: the transcript itself must refuse."""
    outputs = [bytes.fromhex(output) for output in file["statement"]["outputs"]]
    air = statement(outputs, bytes.fromhex(file["statement"]["message_hex"]))
    verify(air, vectors.parameters(file["parameters"]), vectors.proof_bytes(file))


@pytest.mark.parametrize("case", ZIGGY, ids=name_of)
def test_invalid_proofs_of_the_base_protocol_are_refused_by_name(case: Any) -> None:
    file = vectors.altered(vectors.ziggy(case["base"]), case["ops"])

    with pytest.raises(ProofRefused) as refused:
        verify_as_stated(file)

    assert refused.value.reason is expected(case, case["reference_reason"])


@pytest.mark.parametrize(
    "case", [case for case in ZIGGY if case["base"] == "ziggy_proof_1.json"], ids=name_of
)
def test_no_altered_file_is_accepted_as_a_classic_signature(case: Any) -> None:
    file = vectors.altered(vectors.ziggy(case["base"]), case["ops"])

    with pytest.raises(DragonError) as refused:
        files.read_ziggy_proof(json.dumps(file)).verify()

    if any("proof_parameters" in op.get("path", []) for op in case["ops"]):
        assert isinstance(refused.value, ProofRefused)
        assert refused.value.reason is Reason.PARAMETERS


@pytest.mark.parametrize("case", BLOCKS, ids=name_of)
def test_invalid_blocks_proofs_are_refused_by_name(case: Any) -> None:
    file = vectors.altered(vectors.blocks(case["base"]), case["ops"])

    with pytest.raises(ProofRefused) as refused:
        verify_blocks_as_stated(file)

    assert refused.value.reason is expected(case, case["reason"])


# -- stricter than the original programs ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("trailing_byte", Reason.TRAILING_BYTES),
        ("trailing_kilobyte", Reason.TRAILING_BYTES),
        ("noncanonical_trace_leaf", Reason.NON_CANONICAL),
        ("noncanonical_composition_leaf", Reason.NON_CANONICAL),
        ("noncanonical_last_layer", Reason.NON_CANONICAL),
    ],
)
def test_non_canonical_proofs_that_the_original_accepts_are_refused(
    name: str, refusal: Reason
) -> None:
    file = vectors.altered(vectors.ziggy(LENIENT[name]["base"]), LENIENT[name]["ops"])

    with pytest.raises(ProofRefused) as refused:
        files.read_ziggy_proof(json.dumps(file)).verify()

    assert refused.value.reason is refusal


@pytest.mark.parametrize(
    ("name", "refusal"),
    [("public_key_plus_p", IntegerOutOfRange), ("public_key_five_entries", WrongType)],
)
def test_statements_that_the_original_corrects_are_refused(
    name: str, refusal: type[DragonError]
) -> None:
    file = vectors.altered(vectors.ziggy(LENIENT[name]["base"]), LENIENT[name]["ops"])

    with pytest.raises(refusal):
        files.read_ziggy_proof(json.dumps(file))


@pytest.mark.parametrize("name", ["public_key_leading_zeros", "unknown_keys"])
def test_harmless_variants_are_accepted(name: str) -> None:
    file = vectors.altered(vectors.ziggy(LENIENT[name]["base"]), LENIENT[name]["ops"])

    files.read_ziggy_proof(json.dumps(file)).verify()


def test_an_odd_number_of_digits_is_refused() -> None:
    file = vectors.ziggy("ziggy_proof_1.json") | {"proof_hex": "0x0"}

    with pytest.raises(InvalidHex):
        files.read_ziggy_proof(json.dumps(file))


# -- the relying party chooses the parameters ----------------------------------------------------


def test_a_forgery_under_parameters_of_the_forgers_choice_is_refused() -> None:
    """With one query and no grinding, anyone can forge a signature of any message by any key.

    Under the parameters of the file, the forgery verifies; the original program accepts it. Ours
    does not take parameters from the file.
    """
    case = LENIENT["forged_signature_weak_parameters"]
    forged = vectors.altered(vectors.ziggy(case["base"]), case["ops"])
    weak = vectors.parameters(forged["proof_parameters"])
    air, proof = vectors.ziggy_air(forged), vectors.proof_bytes(forged)
    assert weak.n_queries == 1
    verify(air, weak, proof)

    key = vectors.encoded(forged["public_input"]["public_key"])
    with pytest.raises(ProofRefused):
        verify_signature(key, air.message, proof)
    with pytest.raises(ProofRefused):
        verify_blocks("ziggy-classic", [key], air.message, proof)
    with pytest.raises(ProofRefused) as refused:
        files.read_ziggy_proof(json.dumps(forged)).verify()
    assert refused.value.reason is Reason.PARAMETERS


def test_parameters_that_do_not_fit_the_statement_are_refused() -> None:
    one = BlocksAir(((1, 2, 3, 4),), b"")
    two = BlocksAir(((1, 2, 3, 4), (5, 6, 7, 8)), b"")
    chain = RescueChainAir((1, 2, 3, 4), 3)
    base = Parameters(3, 38, 8, (0,), 64)
    strict = dataclasses.replace(base, slack=Slack.STRICT)
    fitting: list[tuple[Air, Parameters]] = [
        (one, base),
        (one, strict),
        (two, strict),
        (chain, base),
    ]
    for air, parameters in fitting:
        air.admit(parameters)

    open_trace = dataclasses.replace(base, zero_knowledge=False)
    others: list[tuple[Air, Parameters]] = [(two, base), (one, open_trace), (chain, strict)]
    for air, parameters in others:
        with pytest.raises(ProofRefused) as refused:
            air.admit(parameters)
        assert refused.value.reason is Reason.PARAMETERS


def test_a_genuine_signature_under_other_parameters_is_refused_as_classic() -> None:
    file = vectors.ziggy("ziggy_proof_4.json")
    verify(
        vectors.ziggy_air(file),
        vectors.parameters(file["proof_parameters"]),
        vectors.proof_bytes(file),
    )

    with pytest.raises(ProofRefused) as refused:
        files.read_ziggy_proof(json.dumps(file)).verify()

    assert refused.value.reason is Reason.PARAMETERS


def test_a_chain_is_verified_under_the_required_parameters() -> None:
    read = files.read_chain_proof(json.dumps(vectors.ziggy("rescue_proof_2.json")))
    read.verify(read.parameters)

    with pytest.raises(ProofRefused) as refused:
        read.verify(CLASSIC.parameters(1))

    assert refused.value.reason is Reason.PARAMETERS
