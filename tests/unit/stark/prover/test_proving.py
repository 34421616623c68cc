"""Proofs of random statements verify; wrong secrets are refused; secrets stay secret."""

from __future__ import annotations

import dataclasses
import logging
import traceback

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragon.errors import UnluckyChallenge, WrongWitness
from dragon.stark import field
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.airs.rescue_chain import RescueChainAir
from dragon.stark.blocks import verify_window
from dragon.stark.commitment import commit, encode_output
from dragon.stark.field import GENERATOR, P
from dragon.stark.outside_domain import check_outside_domain
from dragon.stark.parameter_sets import CLASSIC, STANDARD
from dragon.stark.parameters import Lengths, Parameters
from dragon.stark.prover import prover
from dragon.stark.prover.blocks import hash_many, prove_blocks, window_witness
from dragon.stark.prover.blocks_statement import BlocksWitness
from dragon.stark.prover.kernels.jit import Words
from dragon.stark.prover.preimages import Preimages
from dragon.stark.prover.rescue_chain import (
    chain_output,
    prove_rescue_chain,
    prove_rescue_chain_deterministically,
)
from dragon.stark.prover.threads import ThreadTeam
from dragon.stark.prover.ziggy import prove_ziggy, prove_ziggy_deterministically
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.rescue import rescue_hash
from dragon.stark.verifier import verify
from dragon.stark.ziggy import public_key, verify_signature

IDENTITY = [2**60 + k for k in range(8)]
OPENINGS = [bytes([k]) * 60 for k in (0x5A, 0x5B, 0x5C)]
RHO = bytes(range(32))
KEY = bytes(range(1, 33))
OUTPUTS = [encode_output(rescue_hash(IDENTITY)), *(commit(opening) for opening in OPENINGS)]
CHAIN = Parameters(2, 8, 3, (0, 2), 16)

few = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80))
def test_signatures_verify(private_key: bytes, message: bytes) -> None:
    proof = prove_ziggy(private_key, message, RHO)

    verify_signature(encode_output(public_key(private_key)), message, proof)


@few
@given(st.lists(st.binary(min_size=60, max_size=60), max_size=4), st.binary(max_size=40))
def test_windows_verify_and_are_bound_to_their_message(
    openings: list[bytes], message: bytes
) -> None:
    proof = prove_blocks("standard", [IDENTITY, *openings], message, RHO)

    verify_window("standard", OUTPUTS[0], hash_many(openings), message, proof)
    with pytest.raises(ProofRefused):
        verify_window("standard", OUTPUTS[0], hash_many(openings), message + b"!", proof)


@few
@given(st.integers(1, 4), st.integers(0, P - 1), st.booleans())
def test_chains_verify(batches: int, start: int, zero_knowledge: bool) -> None:
    witness = [[(start + k) % P, k, P - 1, 0] for k in range(3 * batches + 1)]
    draft = dataclasses.replace(CHAIN, zero_knowledge=zero_knowledge)
    air = RescueChainAir(chain_output(witness), 3 * batches)
    n = draft.trace_length(air.original_length)
    parameters = dataclasses.replace(draft, last_layer_degree_bound=n // 4)

    proof = prove_rescue_chain(witness, parameters, RHO, output=air.output)

    verify(air, parameters, proof)


def test_fresh_randomness_gives_another_proof_of_the_same_statement() -> None:
    proofs = {
        prove_blocks("standard", [IDENTITY], b"m", bytes([k]) * 32, outputs=OUTPUTS[:1])
        for k in range(2)
    }

    assert len(proofs) == 2
    for proof in proofs:
        verify_window("standard", OUTPUTS[0], [], b"m", proof)


@pytest.mark.parametrize("parameters", [None, Parameters(3, 20, 4, (0, 1), 32)])
def test_signatures_have_fresh_blinding_that_verifies_like_the_original(
    parameters: Parameters | None,
) -> None:
    air = BlocksAir((public_key(KEY),), b"m")
    chosen = CLASSIC.parameters(1) if parameters is None else parameters
    signatures = {prove_ziggy(KEY, b"m", bytes([k]) * 32, parameters) for k in range(2)}
    original = prove_ziggy_deterministically(KEY, b"m", parameters)

    assert len({*signatures, original}) == 3
    assert original == prove_ziggy_deterministically(KEY, b"m", parameters)
    for signature in (*signatures, original):
        verify(air, chosen, signature)


def test_chains_have_fresh_blinding_that_verifies_like_the_original() -> None:
    witness = [[k, 1, 2, 3] for k in range(4)]
    air = RescueChainAir(chain_output(witness), 3)
    proofs = {prove_rescue_chain(witness, CHAIN, bytes([k]) * 32) for k in range(2)}
    original = prove_rescue_chain_deterministically(witness, CHAIN)

    assert len({*proofs, original}) == 3
    for proof in (*proofs, original):
        verify(air, CHAIN, proof)


def test_a_repeated_rho_gives_two_parameter_sets_different_blinding() -> None:
    """With deterministic blinding, such a pair reveals the key (section 14.1)."""
    air = BlocksAir((public_key(KEY),), b"m")
    first, second = (Parameters(3, 38, bits, (0, 2), 16) for bits in (8, 9))

    def seeds_of(deterministic: bool) -> set[bytes]:
        witness = BlocksWitness(
            air, Preimages.of([[1] * 8]), rho=RHO, private_key=KEY, deterministic=deterministic
        )

        def each_seed(parameters: Parameters) -> bytes:
            return witness.zk_seed(parameters, air.channel_seed(parameters))

        return {each_seed(first), each_seed(second)}

    assert len(seeds_of(deterministic=True)) == 1
    assert len(seeds_of(deterministic=False)) == 2


def test_the_number_of_threads_does_not_change_the_proof() -> None:
    proofs = {prove_blocks("standard", [IDENTITY], b"", RHO, threads=k) for k in (1, 2, 3)}

    assert len(proofs) == 1


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "secrets",
    [
        [IDENTITY, OPENINGS[1], OPENINGS[0], OPENINGS[2]],
        [IDENTITY, *OPENINGS[:2]],
        [[*IDENTITY[:7], 5], *OPENINGS],
        [IDENTITY, *OPENINGS[:2], b"\x5d" * 60],
    ],
    ids=["exchanged", "one missing", "another identity", "another opening"],
)
def test_secrets_that_do_not_match_the_outputs_are_refused(
    secrets: list[bytes | list[int]],
) -> None:
    with pytest.raises(WrongWitness):
        prove_blocks("standard", secrets, b"", RHO, outputs=OUTPUTS)


@pytest.mark.parametrize(
    "secrets",
    [
        [],
        [IDENTITY[:7]],
        [[*IDENTITY[:7], P]],
        [[*IDENTITY[:7], -1]],
        [IDENTITY, OPENINGS[0][:59]],
        [IDENTITY, OPENINGS[0], IDENTITY],
    ],
    ids=["none", "seven elements", "too large", "negative", "59 bytes", "identity as chunk"],
)
def test_malformed_secrets_are_refused(secrets: list[bytes | list[int]]) -> None:
    with pytest.raises(WrongWitness):
        prove_blocks("standard", secrets, b"", RHO)


def test_rho_of_another_length_is_refused() -> None:
    with pytest.raises(WrongWitness):
        prove_blocks("standard", [IDENTITY], b"", RHO[:31])
    with pytest.raises(WrongWitness):
        prove_ziggy(KEY, b"", RHO[:31])
    with pytest.raises(WrongWitness):
        prove_rescue_chain([[1, 1, 1, 1]] * 4, CHAIN, b"")


def test_an_unknown_parameter_set_is_refused() -> None:
    with pytest.raises(ProofRefused) as refused:
        prove_blocks("weak", [IDENTITY], b"", RHO)
    assert refused.value.reason is Reason.PARAMETERS


def test_a_wrong_preimage_is_refused_before_anything_is_committed() -> None:
    witness = window_witness([IDENTITY, *OPENINGS], b"", RHO)
    preimages = [list(preimage) for preimage in witness.preimages]
    preimages[2][7] ^= 1
    stages: list[str] = []

    with pytest.raises(WrongWitness) as refused:
        prover.prove(
            dataclasses.replace(witness, preimages=Preimages.of(preimages)),
            STANDARD.parameters(4),
            on_stage=stages.append,
        )
    assert refused.value.facts == {"number": 2}
    assert stages == ["trace"]


def test_a_chain_that_ends_elsewhere_is_refused() -> None:
    witness = [[k, 0, 0, 0] for k in range(4)]

    with pytest.raises(WrongWitness):
        prove_rescue_chain(witness, CHAIN, RHO, output=(1, 2, 3, 4))
    for malformed in (witness[:3], witness[:1], [*witness[:3], [P, 0, 0, 0]], [[0, 0, 0]] * 4):
        with pytest.raises(WrongWitness):
            prove_rescue_chain(malformed, CHAIN, RHO)


# -- the out-of-domain point ---------------------------------------------------------------------

LENGTHS = Lengths(16, 64, 12, 1, 3)


@pytest.mark.parametrize(
    "z",
    [
        GENERATOR,
        GENERATOR * pow(field.root_of_unity(512), 77, P) % P,
        1,
        field.root_of_unity(16),
        field.root_of_unity(64),
    ],
)
def test_a_point_inside_the_domain_is_an_unlucky_challenge(z: int) -> None:
    with pytest.raises(UnluckyChallenge):
        check_outside_domain((z, 0, 0), LENGTHS)


def test_points_outside_the_domain_are_accepted() -> None:
    for z in ((GENERATOR, 1, 0), (GENERATOR, 0, 1), (5, 0, 0), (0, 0, 0), (1, P - 1, 0)):
        check_outside_domain(z, LENGTHS)


# -- secrets -------------------------------------------------------------------------------------

SECRET = [0x0123456789ABCDE + k for k in range(8)]


def traces_of_secrets(text: str) -> list[str]:
    shown = [str(x) for x in SECRET] + [f"{x:x}" for x in SECRET] + [RHO.hex(), str(RHO)]
    shown += [field.encode([x]).hex() for x in SECRET]
    return [each for each in shown if each in text]


def test_no_secret_is_in_a_representation_an_error_or_a_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    said = [repr(window_witness([SECRET], b"", RHO))]
    attempts = ([SECRET, b"short"], [SECRET, SECRET], [[*SECRET[:7], P]], [SECRET[:7]])
    for secrets in attempts:
        with pytest.raises(WrongWitness) as refused:
            prove_blocks("standard", secrets, b"", RHO)
        said += traceback.format_exception(refused.value, chain=True)
        said.append(str(refused.value.facts))
    prove_blocks("standard", [SECRET], b"", RHO)

    assert traces_of_secrets("".join(said)) == []
    assert traces_of_secrets(caplog.text) == []


def test_arrays_that_determine_the_secrets_are_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Words] = []
    filled: list[int] = []

    class Watched(prover._Proving):
        def wipe(self) -> None:
            kept.extend(self._secrets)
            filled.extend(int(np.count_nonzero(array)) for array in kept)
            super().wipe()

    monkeypatch.setattr(prover, "_Proving", Watched)

    prove_blocks("standard", [SECRET], b"", RHO)

    # The original rows and the drawn numbers are overwritten as soon as the trace exists; the
    # coefficients and the values of the trace at the end.
    rows, coefficients, drawn, values = filled
    assert rows == drawn == 0 < coefficients < values
    assert not any(np.count_nonzero(array) for array in kept)


def test_a_team_needs_at_least_one_thread() -> None:
    with pytest.raises(ValueError, match="thread"):
        ThreadTeam(0)
