"""Readings as a relying party uses them: openings, statements, published proofs and refusals."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

import starkvectors as vectors
from dragon.stark.airs.readings import ReadingsAir
from dragon.stark.blocks import verify_window
from dragon.stark.bounds import largest_size
from dragon.stark.commitment import (
    NO_READING,
    READING_OFFSET,
    commit,
    committed_reading,
    is_opening,
    opening_limbs,
    reading_opening,
)
from dragon.stark.field import P
from dragon.stark.hashchain import HashChain, blake2s_256
from dragon.stark.parameter_sets import SETS
from dragon.stark.parameters import Slack
from dragon.stark.reading_bounds import ReadingBounds
from dragon.stark.readings import readings_statement, verify_readings
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.transcript import Transcript
from dragon.stark.verifier import replay, verify
from starkvectors import bases, element, elements

OPENINGS = vectors.readings("openings.json")["openings"]
INVALID = vectors.readings("invalid_readings.json")["cases"]
METER = vectors.readings("proof_standard_b4_meter.json")


# -- openings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", OPENINGS, ids=lambda case: str(case["reading"]))
def test_openings_equal_the_published_ones(case: Any) -> None:
    digest = hashlib.sha256(case["data"].encode()).digest()

    opening = reading_opening(digest, bytes.fromhex(case["salt"]), case["reading"])

    assert opening.hex() == case["opening"]
    assert opening[-8:].hex() == case["value_bytes"]
    assert opening_limbs(opening) == bases(case["limbs"])
    assert opening_limbs(opening)[-1] == case["reading"] + READING_OFFSET
    assert commit(opening).hex() == case["commitment"]
    assert committed_reading(opening) == case["reading"]
    assert is_opening(bytes.fromhex(case["commitment"]), opening)


def test_data_without_a_reading_is_committed_to_as_zero() -> None:
    opening = reading_opening(bytes(32), bytes(20), NO_READING)

    assert opening == bytes(60)
    assert committed_reading(opening) == NO_READING


@pytest.mark.parametrize(
    ("digest", "salt", "value"),
    [
        (bytes(31), bytes(20), 0),
        ("0" * 32, bytes(20), 0),
        (bytes(32), bytes(28), 0),
        (bytes(32), None, 0),
        (bytes(32), bytes(20), READING_OFFSET),
        (bytes(32), bytes(20), NO_READING - 1),
        (bytes(32), bytes(20), True),
        (bytes(32), bytes(20), 20.0),
    ],
    ids=repr,
)
def test_other_parts_make_no_opening(digest: Any, salt: Any, value: Any) -> None:
    with pytest.raises(ProofRefused) as refused:
        reading_opening(digest, salt, value)

    assert refused.value.reason is Reason.INPUT


@pytest.mark.parametrize("bit", range(60, 64))
def test_an_opening_whose_value_has_one_of_its_top_four_bits_set_is_refused(bit: int) -> None:
    """Its last limb is the value modulo 2^60: the proof would speak of another number."""
    opening = bytes(52) + (1 << bit).to_bytes(8, "big")

    with pytest.raises(ProofRefused) as refused:
        committed_reading(opening)

    assert refused.value.reason is Reason.INPUT


# -- published proofs ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", vectors.READINGS_PROOFS)
def test_published_proofs_are_accepted_under_their_set(name: str) -> None:
    file = vectors.readings(name)
    statement = file["statement"]

    verify_readings(
        file["parameter_set"],
        bytes.fromhex(statement["identity"]),
        [bytes.fromhex(each) for each in statement["commitments"]],
        statement["carried"],
        vectors.reading_bounds(statement),
        bytes.fromhex(statement["message_hex"]),
        vectors.proof_bytes(file),
    )


@pytest.mark.parametrize("name", vectors.TINY_READINGS_PROOFS)
def test_published_proofs_under_tiny_parameters_are_accepted(name: str) -> None:
    """Among them: another filler in unused cells, and preimages that are no opening."""
    file = vectors.readings(name)
    parameters = vectors.parameters(file["parameters"])

    verify(vectors.readings_air(file), parameters, vectors.proof_bytes(file))


@pytest.mark.parametrize("name", [*vectors.READINGS_PROOFS, *vectors.TINY_READINGS_PROOFS])
def test_every_value_of_the_published_transcripts_is_reproduced(name: str) -> None:
    file = vectors.readings(name)
    air, parameters = vectors.readings_air(file), vectors.parameters(file["parameters"])
    proof = vectors.proof_bytes(file)

    transcript = replay(air, parameters, proof)

    lengths = parameters.lengths(air.original_length, air.columns)
    assert (air.n_blocks, air.n_readings) == (file["B"], file["count"])
    assert (lengths.trace_length, lengths.domain_size) == (file["n"], file["N"])
    assert (lengths.columns, len(proof)) == (file["W"], file["proof_length"])
    assert parameters.digest().hex() == file["parameters_hash"]
    assert blake2s_256(air.channel_seed(parameters)).hex() == file["channel_seed_hash"]
    assert hashlib.sha256(proof).hexdigest() == file["proof_sha256"]
    check_transcript(air, transcript, file["transcript"])


def check_transcript(air: ReadingsAir, transcript: Transcript, known: Any) -> None:
    sampled, fri, openings = transcript.out_of_domain, transcript.fri, transcript.openings
    assert sampled.initial_state.hex() == known["state_after_seed"]
    assert sampled.trace_root.hex() == known["trace_root"]
    assert len(sampled.coefficients) == 76
    assert sampled.coefficients[0] == element(known["alpha_0"])
    assert sampled.coefficients[75] == element(known["alpha_75"])
    assert sampled.composition_root.hex() == known["composition_root"]
    assert sampled.point == element(known["z"])
    assert sampled.mask_values == elements(known["mask_values"])
    assert sampled.composition_values == elements(known["composition_values"])
    assert sampled.composition == element(known["C_of_z"])
    selectors = (element(known["linked_of_z"]), element(known["stepped_of_z"]))
    assert air.selectors_at(sampled.point) == selectors
    assert len(fri.deep_coefficients) == known["deltas"] == 46
    assert fri.deep_coefficients[0] == element(known["delta_0"])
    assert [root.hex() for root in fri.roots] == known["fri_roots"]
    assert fri.state_before_nonce.hex() == known["state_before_nonce"]
    assert fri.nonce.hex() == known["nonce"]
    assert fri.queries == known["queries"]
    assert openings.query_offset == known["query_offset"]
    assert openings.trace_end == known["trace_end"]
    assert openings.composition_end == known["composition_end"]


@pytest.mark.parametrize(
    "case", vectors.readings("selectors.json")["selectors"], ids=lambda case: case["B"]
)
def test_selectors_equal_the_published_values(case: Any) -> None:
    linked, stepped = statement_of(case["count"], case["carried"]).selectors_at(element(case["z"]))

    assert linked == element(case["linked"])
    assert stepped == element(case["stepped"])


# -- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "n_readings", "most"),
    [
        ("standard", 1, 87_608),
        ("standard", 15, 70_184),
        ("standard", 63, 102_008),
        ("standard", 255, 140_664),
        ("standard", 1023, 175_608),
        ("standard", 4095, 222_520),
        ("strong", 3, 88_544),
        ("strong", 15, 88_544),
        ("strong", 63, 101_504),
        ("strong", 1023, 267_240),
    ],
)
def test_the_largest_proof_has_the_specified_size(name: str, n_readings: int, most: int) -> None:
    air = statement_of(n_readings, carried=False)
    parameters = SETS[name].parameters(air.n_blocks)

    lengths = parameters.lengths(air.original_length, air.columns)

    assert largest_size(air, parameters, lengths) == most


# -- refusals ------------------------------------------------------------------------------------


def test_every_published_case_is_here() -> None:
    assert len(INVALID) == 89
    assert {case["name"] for case in INVALID if "statement" not in case} == set(NO_STATEMENT)


@pytest.mark.parametrize(
    "case", [case for case in INVALID if "statement" in case], ids=lambda case: case["name"]
)
def test_invalid_proofs_are_refused_by_name(case: Any) -> None:
    air, parameters = (
        vectors.readings_air(case),
        vectors.parameters(case["statement"]["parameters"]),
    )

    with pytest.raises(ProofRefused) as refused:
        verify(air, parameters, vectors.proof_bytes(case))

    assert refused.value.reason is Reason(case["expected"])


IDENTITY = bytes.fromhex(METER["statement"]["identity"])
CHUNKS = [bytes.fromhex(each) for each in METER["statement"]["commitments"]]
BOUNDS = ReadingBounds(-10, 20, -30, 30, -30, 60)
WIDE = ReadingBounds(0, (1 << 43) - 1, 1 - (1 << 43), (1 << 43) - 1, 0, (1 << 44) - 1)


def distinct_commitments(count: int) -> list[bytes]:
    chain = HashChain(b"commitments")
    return [b"".join(bytes(1) + chain.draw(32)[:7] for _ in range(4)) for _ in range(count)]


def statement_of(n_readings: int, carried: bool) -> ReadingsAir:
    """A statement about this many unknown preimages, under the widest bounds."""
    summed = n_readings - carried
    bounds = ReadingBounds(0, 1, -1, 1, 0, summed)
    return readings_statement(IDENTITY, distinct_commitments(n_readings), carried, bounds, b"")


def ask(*, bounds: Any = BOUNDS, **changes: Any) -> Callable[[], None]:
    """A verification of zero bytes, with some arguments of the statement replaced."""

    def verification() -> None:
        given: dict[str, Any] = {
            "set_name": "standard",
            "identity": IDENTITY,
            "commitments": CHUNKS,
            "carried": False,
            "bounds": bounds,
            "message": b"",
            "proof": bytes(70_000),
        }
        verify_readings(**given | changes)

    return verification


def ask_with(given: ReadingBounds = BOUNDS, **changes: Any) -> Callable[[], None]:
    """A verification under bounds of which some are replaced."""
    return ask(bounds=dataclasses.replace(given, **changes))


def admit_reference_slack() -> None:
    air = readings_statement(IDENTITY, CHUNKS, False, BOUNDS, b"")
    parameters = vectors.parameters(METER["parameters"])
    verify(air, dataclasses.replace(parameters, slack=Slack.REFERENCE), bytes(70_000))


NO_STATEMENT: dict[str, Callable[[], object]] = {
    "low_above_high": ask_with(low=21),
    "high_too_large": ask_with(low=READING_OFFSET - 9, high=READING_OFFSET),
    "low_too_small": ask_with(low=-READING_OFFSET - 1, high=-READING_OFFSET + 9),
    "range_too_wide": ask_with(WIDE, high=1 << 43),
    "step_interval_empty": ask_with(step_low=2, step_high=1),
    "step_low_below_range": ask_with(step_low=-31),
    "step_wider_than_range": ask_with(step_high=31),
    "sum_below_least": ask_with(sum_low=-31),
    "sum_above_most": ask_with(sum_high=61),
    "sum_interval_empty": ask_with(sum_low=1, sum_high=0),
    "sum_interval_too_wide": ask_with(WIDE, sum_high=1 << 44),
    "no_reading": ask(bounds=dataclasses.replace(BOUNDS, sum_low=0, sum_high=0), commitments=[]),
    "only_the_carried_one": ask(
        bounds=dataclasses.replace(BOUNDS, sum_low=0, sum_high=0),
        commitments=CHUNKS[:1],
        carried=True,
    ),
    "commitment_is_the_identity": ask(commitments=[*CHUNKS[:2], IDENTITY]),
    "commitment_not_canonical": ask(commitments=[P.to_bytes(8, "big") * 4, *CHUNKS[1:]]),
    "bounds_not_integers": ask_with(high=20.0),
    "classic_set": ask(set_name="ziggy-classic"),
    "unknown_set": ask(set_name="test-reference"),
    "slack_reference": admit_reference_slack,
    "opening_value_2_60": lambda: committed_reading(bytes(52) + (1 << 60).to_bytes(8, "big")),
    "opening_short": lambda: committed_reading(bytes(59)),
}


@pytest.mark.parametrize(
    "case", [case for case in INVALID if "statement" not in case], ids=lambda case: case["name"]
)
def test_what_is_no_statement_is_refused_by_name(case: Any) -> None:
    with pytest.raises(ProofRefused) as refused:
        NO_STATEMENT[case["name"]]()

    assert refused.value.reason is Reason(case["expected"])


def test_the_statement_without_a_fault_is_refused_for_its_proof_only() -> None:
    for verification in (ask(), ask_with(WIDE)):
        with pytest.raises(ProofRefused) as refused:
            verification()
        assert refused.value.reason is Reason.OODS


@pytest.mark.parametrize(
    "change",
    [
        {"bounds": None},
        {"bounds": dataclasses.astuple(BOUNDS)},
        {"bounds": dataclasses.replace(BOUNDS, step_low=True)},
        {"bounds": dataclasses.replace(BOUNDS, sum_high="60")},
        {"message": None},
        {"message": "window 8"},
        {"carried": 0},
        {"carried": None},
        {"commitments": None},
        {"commitments": CHUNKS[0]},
        {"commitments": distinct_commitments(4095) + CHUNKS[:1]},
        {"identity": None},
        {"identity": IDENTITY[:31]},
        {"proof": None},
        {"proof": "0x00"},
    ],
    ids=str,
)
def test_arguments_of_another_type_or_size_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ProofRefused) as refused:
        ask(**change)()

    assert refused.value.reason is Reason.INPUT


def air_of(**changes: Any) -> ReadingsAir:
    air = vectors.readings_air(METER)
    return dataclasses.replace(air, **changes)


OUTPUTS = vectors.readings_air(METER).outputs


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"outputs": OUTPUTS[:2]}, Reason.INPUT),
        ({"outputs": OUTPUTS + OUTPUTS[:1] * 4}, Reason.INPUT),
        ({"outputs": OUTPUTS[:3]}, Reason.PARAMETERS),
        ({"outputs": (*OUTPUTS[:3], OUTPUTS[0])}, Reason.INPUT),
        ({"n_readings": 2}, Reason.INPUT),
        ({"n_readings": 4}, Reason.INPUT),
        ({"n_readings": True}, Reason.INPUT),
    ],
    ids=["too few", "too many", "three", "identity", "other padding", "no identity", "boolean"],
)
def test_outputs_that_are_no_padded_window_are_refused(
    change: dict[str, Any], reason: Reason
) -> None:
    assert air_of().n_readings == 3

    with pytest.raises(ProofRefused) as refused:
        air_of(**change, bounds=ReadingBounds(0, 0, 0, 0, 0, 0))

    assert refused.value.reason is reason


def test_a_readings_proof_and_a_blocks_proof_are_no_substitute_for_each_other() -> None:
    file = vectors.blocks("proof_standard_b4.json")
    outputs = [bytes.fromhex(output) for output in file["statement"]["outputs"]]
    identity, *chunks = outputs[: file["n_chunks"] + 1]
    message = bytes.fromhex(file["statement"]["message_hex"])
    verify_window("standard", identity, chunks, message, vectors.proof_bytes(file))
    other_message = bytes.fromhex(METER["statement"]["message_hex"])

    with pytest.raises(ProofRefused):
        verify_readings(
            "standard", identity, chunks, False, BOUNDS, message, vectors.proof_bytes(file)
        )
    with pytest.raises(ProofRefused):
        verify_window("standard", IDENTITY, CHUNKS, other_message, vectors.proof_bytes(METER))
