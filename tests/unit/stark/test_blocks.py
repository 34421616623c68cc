"""Commitments, windows and signatures, as a relying party uses them."""

from __future__ import annotations

from typing import Any

import pytest

import starkvectors as vectors
from dragon.stark import field, seeds, ziggy
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.airs.rescue_chain import RescueChainAir
from dragon.stark.blocks import verify_blocks, verify_window, window_outputs
from dragon.stark.commitment import commit, decode_output, encode_output, is_opening, opening_limbs
from dragon.stark.field import P
from dragon.stark.hashchain import HashChain
from dragon.stark.parameter_sets import STANDARD, TEST_REFERENCE
from dragon.stark.refusal import ProofRefused, Reason
from starkvectors import bases, element, elements

COMMITMENTS = vectors.blocks("commitments.json")
IDENTITY = bytes.fromhex(COMMITMENTS["identity"]["wire"])
CHUNKS = [bytes.fromhex(case["commitment"]) for case in COMMITMENTS["openings"]]


# -- commitments ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", COMMITMENTS["openings"], ids=lambda case: case["digest"][:8])
def test_commitments_equal_the_published_ones(case: Any) -> None:
    opening = bytes.fromhex(case["digest"] + case["salt"])
    commitment = bytes.fromhex(case["commitment"])

    assert opening_limbs(opening) == bases(case["limbs"])
    assert commit(opening) == commitment
    assert decode_output(commitment) == vectors.digest(case["commitment_elements"])
    assert encode_output(decode_output(commitment)) == commitment
    assert is_opening(commitment, opening)
    assert not is_opening(commitment, opening[:-1] + bytes([opening[-1] ^ 1]))


@pytest.mark.parametrize("opening", [b"", bytes(59), bytes(61), "0" * 60, None, [0] * 60])
def test_an_opening_of_another_length_is_refused(opening: Any) -> None:
    with pytest.raises(ProofRefused) as refused:
        commit(opening)

    assert refused.value.reason is Reason.INPUT


@pytest.mark.parametrize(
    "output",
    [b"", IDENTITY[:31], IDENTITY + b"\0", P.to_bytes(8, "big") * 4, "x" * 32, None, 7],
    ids=repr,
)
def test_an_output_that_is_not_four_canonical_words_is_refused(output: Any) -> None:
    with pytest.raises(ProofRefused) as refused:
        decode_output(output)

    assert refused.value.reason is Reason.INPUT


# -- statements ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case", vectors.blocks("pk_evaluations.json")["cases"], ids=lambda c: c["B"]
)
def test_outputs_are_interpolated_over_their_rows(case: Any) -> None:
    air = BlocksAir(tuple(vectors.digest(output) for output in case["outputs"]), b"")
    lengths = TEST_REFERENCE.parameters(case["B"]).lengths(air.original_length)

    assert lengths.row_generator == int(case["h"], 16)
    for point in case["points"]:
        values = air.outputs_at(element(point["z"]), lengths)
        assert values == elements(point["pk"])


@pytest.mark.parametrize(
    "case", vectors.ziggy("ziggy_keys_kat.json")["cases"], ids=lambda case: case["message"]
)
def test_ziggy_keys_and_seeds_equal_the_published_ones(case: Any) -> None:
    private_key = bytes.fromhex(case["private_key_bytes"])
    message = bytes.fromhex(case["message_bytes"])

    assert ziggy.secret_preimage(private_key) == bases(case["secret_preimage"])
    public_key = ziggy.public_key(private_key)
    assert public_key == vectors.digest(case["public_key"])
    seed = seeds.ziggy_channel_seed(public_key, message)
    assert seed.hex() == case["initial_channel_seed"]
    assert HashChain(seed).state.hex() == case["initial_channel_state"]
    assert seeds.ziggy_zk_seed(private_key, message).hex() == case["zk_seed"]


def test_a_private_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ziggy.public_key(bytes(31))


@pytest.mark.parametrize("length", [0, -3, 1, 4, 3.0, "3", True, None, 3 << 60])
def test_other_chain_lengths_than_multiples_of_three_are_refused(length: Any) -> None:
    with pytest.raises(ProofRefused) as refused:
        RescueChainAir((1, 2, 3, 4), length)

    assert refused.value.reason is Reason.INPUT


# -- windows -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_chunks", "n_blocks"),
    [(0, 1), (1, 2), (2, 4), (3, 4), (4, 8), (7, 8), (8, 16), (4095, 4096)],
)
def test_a_window_is_padded_with_its_identity(n_chunks: int, n_blocks: int) -> None:
    chunks = [field.encode([i, 1, 2, 3]) for i in range(n_chunks)]

    outputs = window_outputs(IDENTITY, chunks)

    assert len(outputs) == n_blocks
    assert outputs[0] == IDENTITY
    assert outputs[1 : n_chunks + 1] == chunks
    assert set(outputs[n_chunks + 1 :]) <= {IDENTITY}


def test_equal_chunks_are_allowed() -> None:
    assert window_outputs(IDENTITY, [CHUNKS[0], CHUNKS[0]]).count(CHUNKS[0]) == 2


@pytest.mark.parametrize(
    "commitments",
    [
        [CHUNKS[0], IDENTITY],
        [CHUNKS[0]] * 4096,
        [CHUNKS[0][:-1]],
        [b"\xff" * 32],
        [None],
        [CHUNKS[0].hex()],
        CHUNKS[0],
        None,
        {"0": CHUNKS[0]},
    ],
    ids=["identity", "too many", "short", "not canonical", "none", "text", "bytes", "null", "map"],
)
def test_invalid_commitments_of_a_window_are_refused(commitments: Any) -> None:
    with pytest.raises(ProofRefused) as refused:
        window_outputs(IDENTITY, commitments)

    assert refused.value.reason is Reason.INPUT


@pytest.mark.parametrize("name", ["proof_standard_b1", "proof_standard_b2", "proof_standard_b4"])
def test_a_window_proof_verifies_from_identity_and_commitments(name: str) -> None:
    file = vectors.blocks(f"{name}.json")
    message = bytes.fromhex(file["statement"]["message_hex"])
    chunks, proof = CHUNKS[: file["n_chunks"]], vectors.proof_bytes(file)

    verify_window("standard", IDENTITY, chunks, message, proof)
    verify_blocks("standard", window_outputs(IDENTITY, chunks), message, proof)

    with pytest.raises(ProofRefused):
        verify_window("strong", IDENTITY, chunks, message, proof)
    with pytest.raises(ProofRefused):
        verify_window("standard", IDENTITY, chunks, message + b"!", proof)
    with pytest.raises(ProofRefused):
        verify_window("standard", IDENTITY, [*chunks, CHUNKS[9]], message, proof)


def test_a_classic_signature_is_not_accepted_for_a_window() -> None:
    file = vectors.ziggy("ziggy_proof_1.json")
    message, proof = file["public_input"]["message"].encode(), vectors.proof_bytes(file)
    verify_blocks("ziggy-classic", [IDENTITY], message, proof)
    ziggy.verify_signature(IDENTITY, message, proof)

    with pytest.raises(ProofRefused) as refused:
        verify_window("ziggy-classic", IDENTITY, [], message, proof)

    assert refused.value.reason is Reason.PARAMETERS


def test_the_leaking_blinding_cannot_be_chosen_by_name() -> None:
    file = vectors.blocks("proof_reference_b4.json")
    outputs = [bytes.fromhex(output) for output in file["statement"]["outputs"]]
    message = bytes.fromhex(file["statement"]["message_hex"])

    for name in ("test-reference", "standard", "strong", "ziggy-classic"):
        with pytest.raises(ProofRefused):
            verify_blocks(name, outputs, message, vectors.proof_bytes(file))


STATEMENT: dict[str, Any] = {"outputs": [IDENTITY], "message": b"", "proof": bytes(70000)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"outputs": None}, Reason.INPUT),
        ({"outputs": IDENTITY}, Reason.INPUT),
        ({"outputs": "text"}, Reason.INPUT),
        ({"outputs": [None]}, Reason.INPUT),
        ({"outputs": [IDENTITY.hex()]}, Reason.INPUT),
        ({"outputs": [bytearray(IDENTITY)]}, Reason.INPUT),
        ({"outputs": [IDENTITY[:31]]}, Reason.INPUT),
        ({"outputs": [IDENTITY, b"\xff" * 32]}, Reason.INPUT),
        ({"outputs": []}, Reason.PARAMETERS),
        ({"outputs": [IDENTITY] * 3}, Reason.PARAMETERS),
        ({"outputs": [IDENTITY] * 8192}, Reason.PARAMETERS),
        ({"message": None}, Reason.INPUT),
        ({"message": "text"}, Reason.INPUT),
        ({"proof": None}, Reason.INPUT),
        ({"proof": "0x00"}, Reason.INPUT),
        ({"proof": b""}, Reason.PROOF_TOO_SHORT),
        ({"proof": bytes(6920)}, Reason.PROOF_TOO_SHORT),
        ({"proof": bytes(1 << 20)}, Reason.TRAILING_BYTES),
    ],
    ids=lambda value: str(value)[:40],
)
def test_invalid_statements_and_proofs_are_refused_by_name(change: Any, reason: Reason) -> None:
    given = STATEMENT | change

    with pytest.raises(ProofRefused) as refused:
        verify_blocks("standard", given["outputs"], given["message"], given["proof"])

    assert refused.value.reason is reason


def test_a_window_may_have_4095_chunks() -> None:
    chunks = [field.encode([i, 1, 2, 3]) for i in range(4095)]
    outputs = window_outputs(IDENTITY, chunks)

    with pytest.raises(ProofRefused) as refused:
        verify_blocks("standard", outputs, b"", bytes(120_000))

    assert refused.value.reason is Reason.OODS
    assert STANDARD.parameters(4096).lengths(16 * 4096).trace_length == 1 << 17
