"""Readings proofs equal the published ones, verify for random windows, and refuse wrong secrets."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plainreadings
import starkvectors as vectors
from dragon.errors import ProofRefused, UnsafeParameters, WrongWitness
from dragon.stark.commitment import (
    NO_READING,
    commit,
    encode_output,
    reading_opening,
)
from dragon.stark.parameter_sets import STANDARD
from dragon.stark.parameters import Parameters, Slack
from dragon.stark.prover.blocks import hash_many
from dragon.stark.prover.preimages import Preimages
from dragon.stark.prover.prover import prove
from dragon.stark.prover.readings import prove_readings, readings_witness
from dragon.stark.reading_bounds import ReadingBounds
from dragon.stark.readings import verify_readings
from dragon.stark.refusal import Reason
from dragon.stark.rescue import rescue_hash
from dragon.stark.verifier import verify

IDENTITY = [2**60 + k for k in range(8)]
OWNER = encode_output(rescue_hash(IDENTITY))
RHO = bytes(range(32))
UNUSUAL = "valid_unusual_b4.json"  # its trace has other fillers than those of our provers

few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def secrets(file: Any) -> list[list[int]]:
    """The preimages of the identity and of all commitments, without padding."""
    preimages = file["secrets_for_tests_only"]["preimages"][: file["count"] + 1]
    return [vectors.bases(each) for each in preimages]


def rho(file: Any) -> bytes:
    return bytes.fromhex(file["secrets_for_tests_only"]["rho"])


def openings(readings: list[int]) -> list[bytes]:
    return [
        reading_opening(k.to_bytes(32, "big"), bytes([k % 251]) * 20, reading)
        for k, reading in enumerate(readings)
    ]


def exact(readings: list[int], carried: bool = False) -> ReadingBounds:
    """The narrowest bounds of these readings, by an exact sum."""
    steps = [b - a for a, b in pairwise(readings)] or [0]
    total = sum(readings[int(carried) :])
    return ReadingBounds(min(readings), max(readings), min(steps), max(steps), total, total)


# -- published proofs ----------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", vectors.READINGS_PROOFS)
def test_proofs_equal_the_published_ones(name: str, threads: int) -> None:
    file = vectors.readings(name)
    air, (identity, *chunks) = vectors.readings_air(file), secrets(file)
    identity_output, *commitments = (
        bytes.fromhex(each)
        for each in (file["statement"]["identity"], *file["statement"]["commitments"])
    )

    proof = prove_readings(
        file["parameter_set"], identity, chunks, air.carried, air.bounds, air.message, rho(file),
        outputs=[identity_output, *commitments], threads=threads,
    )  # fmt: skip

    assert proof == vectors.proof_bytes(file)


@pytest.mark.parametrize("name", sorted({*vectors.TINY_READINGS_PROOFS} - {UNUSUAL}))
def test_proofs_under_tiny_parameters_equal_the_published_ones(name: str) -> None:
    file = vectors.readings(name)
    air = vectors.readings_air(file)

    witness = readings_witness(secrets(file), air.carried, air.bounds, air.message, rho(file))

    assert prove(witness, vectors.parameters(file["parameters"])) == vectors.proof_bytes(file)


def test_chunks_can_be_given_as_openings() -> None:
    file = vectors.readings("proof_standard_b4_meter.json")
    air, identity = vectors.readings_air(file), secrets(file)[0]
    chunks = [bytes.fromhex(each) for each in file["secrets_for_tests_only"]["openings"]]

    proof = prove_readings(
        "standard", identity, chunks, air.carried, air.bounds, air.message, rho(file)
    )

    assert proof == vectors.proof_bytes(file)


# -- random windows ------------------------------------------------------------------------------


@st.composite
def windows(draw: st.DrawFn, most: int = 9) -> tuple[list[int], bool, ReadingBounds]:
    """Readings, whether the first is carried, and bounds that they keep, narrow or wide."""
    low = draw(st.integers(-(2**59), 2**59 - 2**43))
    width = draw(st.sampled_from([0, 1, 2, 3, 17, 4095, 2**32 - 1, 2**43 - 1]))
    carried = draw(st.booleans())
    count = draw(st.integers(1 + carried, most))
    readings = draw(st.lists(st.integers(low, low + width), min_size=count, max_size=count))
    if draw(st.booleans()):
        return readings, carried, exact(readings, carried)
    total, summed = sum(readings[int(carried) :]), count - carried
    spare = draw(st.integers(0, 2**43))
    first, last = max(total - spare, summed * low), min(total + spare, summed * (low + width))
    return readings, carried, ReadingBounds(low, low + width, -width, width, first, last)


@few
@given(windows(), st.binary(max_size=40))
def test_random_windows_verify_under_their_statement_only(
    window: tuple[list[int], bool, ReadingBounds], message: bytes
) -> None:
    readings, carried, bounds = window
    commitments = [commit(opening) for opening in openings(readings)]

    proof = prove_readings(
        "standard", IDENTITY, openings(readings), carried, bounds, message, RHO,
        outputs=[OWNER, *commitments],
    )  # fmt: skip

    verify_readings("standard", OWNER, commitments, carried, bounds, message, proof)
    with pytest.raises(ProofRefused):
        verify_readings("standard", OWNER, commitments, carried, bounds, message + b"!", proof)


@settings(few, max_examples=5)
@given(windows(most=3), st.binary(max_size=20), st.integers(1, 2))
def test_random_windows_equal_those_of_the_plain_prover(
    window: tuple[list[int], bool, ReadingBounds], message: bytes, threads: int
) -> None:
    readings, carried, bounds = window
    secrets = [IDENTITY, *openings(readings)]
    witness = readings_witness(secrets, carried, bounds, message, RHO)
    n = tiny(256).trace_length(witness.air.original_length)
    parameters = tiny(n // 4)

    proof = prove(witness, parameters, threads=threads)

    preimages = list(witness.preimages)
    assert proof == plainreadings.prove_readings(witness.air, parameters, preimages, RHO)
    verify(witness.air, parameters, proof)


def tiny(last_layer: int) -> Parameters:
    """Parameters without security, so that plain Python can prove."""
    return Parameters(2, 2, 1, (0, 2), last_layer, slack=Slack.STRICT)


@pytest.mark.parametrize("count", [62, 255, 256])
@pytest.mark.parametrize("set_name", ["standard", "strong"])
def test_long_windows_verify(set_name: str, count: int) -> None:
    readings = [k * k % 1000 for k in range(count)]
    commitments = hash_many(openings(readings))
    bounds = exact(readings, carried=True)

    proof = prove_readings(set_name, IDENTITY, openings(readings), True, bounds, b"m", RHO)

    verify_readings(set_name, OWNER, commitments, True, bounds, b"m", proof)


def test_the_number_of_threads_does_not_change_the_proof() -> None:
    chunks, bounds = openings([3, 1, 4]), exact([3, 1, 4])

    proofs = {
        prove_readings("standard", IDENTITY, chunks, False, bounds, b"", RHO, threads=k)
        for k in (1, 2, 3)
    }

    assert len(proofs) == 1


def test_fresh_randomness_gives_another_proof_of_the_same_statement() -> None:
    chunks, bounds = openings([3, 1, 4]), exact([3, 1, 4])

    proofs = {
        prove_readings("standard", IDENTITY, chunks, False, bounds, b"", bytes([k]) * 32)
        for k in range(2)
    }

    assert len(proofs) == 2
    for proof in proofs:
        verify_readings("standard", OWNER, hash_many(chunks), False, bounds, b"", proof)


# -- refusals ------------------------------------------------------------------------------------

READINGS = [100, 140, 120]
BOUNDS = ReadingBounds(100, 140, -20, 40, 360, 360)


def refused(readings: list[int], bounds: ReadingBounds, carried: bool = False) -> str:
    stages: list[str] = []
    with pytest.raises(WrongWitness) as caught:
        prove_readings(
            "standard", IDENTITY, openings(readings), carried, bounds, b"", RHO,
            on_stage=stages.append,
        )  # fmt: skip
    assert stages == [], "nothing is proven before the claims are checked"
    return str(caught.value)


@pytest.mark.parametrize(
    ("readings", "bounds", "expected"),
    [
        ([99, 139, 119], BOUNDS, "reading 0 is out of bounds"),
        ([100, 140, 141], BOUNDS, "reading 2 is out of bounds"),
        ([100, NO_READING, 120], BOUNDS, "reading 1 is out of bounds"),
        ([100, 140, 119], BOUNDS, "the step from reading 1 to reading 2 is out of bounds"),
        ([100, 139, 120], BOUNDS, "the sum of the readings is out of bounds"),
        ([100, 140, 121], BOUNDS, "the sum of the readings is out of bounds"),
    ],
)
def test_false_claims_are_refused_by_name(
    readings: list[int], bounds: ReadingBounds, expected: str
) -> None:
    assert refused(readings, bounds) == expected


def test_the_carried_reading_counts_for_range_and_steps() -> None:
    bounds = ReadingBounds(100, 140, -20, 40, 260, 260)
    prove_readings("standard", IDENTITY, openings(READINGS), True, bounds, b"", RHO)

    assert refused([141, 140, 120], bounds, carried=True) == "reading 0 is out of bounds"
    step = "the step from reading 0 to reading 1 is out of bounds"
    assert refused([100, 141, 121], ReadingBounds(100, 141, -20, 40, 262, 262), True) == step


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [b"\0" * 59],
        [b"\0" * 52 + (1 << 60).to_bytes(8, "big")],
        [[0] * 7],
        [[-1] * 8],
        [IDENTITY],
    ],
    ids=["none", "59 bytes", "value of 61 bits", "seven elements", "negative", "the identity"],
)
def test_malformed_secrets_are_refused(chunks: list[bytes | list[int]]) -> None:
    widest = ReadingBounds(-(2**42), 2**42 - 1, 1 - 2**43, 2**43 - 1, -(2**42), 2**42 - 1)

    with pytest.raises(WrongWitness):
        prove_readings("standard", IDENTITY, chunks, False, widest, b"", RHO)


def test_secrets_of_other_outputs_are_refused() -> None:
    commitments = hash_many(openings(READINGS))
    others = [
        [OWNER, *commitments[::-1]],
        [OWNER, *commitments[:2]],
        [OWNER, *commitments, commitments[2]],
        [commit(bytes(60)), *commitments],
        [],
    ]

    for outputs in others:
        with pytest.raises(WrongWitness):
            prove_readings(
                "standard", IDENTITY, openings(READINGS), False, BOUNDS, b"", RHO, outputs=outputs
            )


def test_rho_of_another_length_is_refused() -> None:
    with pytest.raises(WrongWitness):
        prove_readings("standard", IDENTITY, openings(READINGS), False, BOUNDS, b"", RHO[:31])


def test_sets_that_are_not_strict_are_refused() -> None:
    with pytest.raises(UnsafeParameters):
        prove_readings("ziggy-classic", IDENTITY, openings(READINGS), False, BOUNDS, b"", RHO)
    with pytest.raises(ProofRefused):
        prove_readings("weak", IDENTITY, openings(READINGS), False, BOUNDS, b"", RHO)


def test_bounds_that_form_no_statement_are_refused() -> None:
    wide = dataclasses.replace(BOUNDS, step_high=41)

    with pytest.raises(ProofRefused) as caught:
        prove_readings("standard", IDENTITY, openings(READINGS), False, wide, b"", RHO)

    assert caught.value.reason is Reason.INPUT


def test_a_preimage_of_another_output_is_refused_before_anything_is_committed() -> None:
    witness = readings_witness([IDENTITY, *openings(READINGS)], False, BOUNDS, b"", RHO)
    preimages = [list(preimage) for preimage in witness.preimages]
    preimages[2][0] ^= 1
    stages: list[str] = []

    with pytest.raises(WrongWitness):
        prove(
            dataclasses.replace(witness, preimages=Preimages.of(preimages)),
            STANDARD.parameters(4),
            on_stage=stages.append,
        )

    assert stages == ["trace"]


def test_no_representation_or_error_shows_a_reading_or_a_secret() -> None:
    witness = readings_witness([IDENTITY, *openings(READINGS)], False, BOUNDS, b"", RHO)
    shown = repr(witness)
    for each in (RHO, *(limb for preimage in witness.preimages for limb in preimage if limb)):
        assert repr(each) not in shown

    assert "141" not in refused([100, 140, 141], BOUNDS)
