"""The verifier accepts all published proofs, and reproduces all published intermediate values."""

from __future__ import annotations

from typing import Any

import pytest

import starkvectors as vectors
from dragon.stark import extension as ext
from dragon.stark.air import Air
from dragon.stark.airs import blocks, rescue_chain
from dragon.stark.hashchain import blake2s_256
from dragon.stark.interpolation import periodic_at
from dragon.stark.parameters import Parameters
from dragon.stark.transcript import Transcript
from dragon.stark.verifier import replay, verify
from starkvectors import element, elements


def statement_of(name: str) -> tuple[Air, Parameters, bytes]:
    file = vectors.ziggy(name)
    air = vectors.ziggy_air(file) if name.startswith("ziggy") else vectors.chain_air(file)
    return air, vectors.parameters(file["proof_parameters"]), vectors.proof_bytes(file)


@pytest.mark.parametrize("name", [*vectors.ZIGGY_PROOFS, *vectors.RESCUE_PROOFS])
def test_proofs_of_the_original_programs_are_accepted(name: str) -> None:
    verify(*statement_of(name))


@pytest.mark.parametrize("name", [*vectors.BLOCKS_PROOFS, "valid_unusual.json"])
def test_published_blocks_proofs_are_accepted(name: str) -> None:
    file = vectors.blocks(name)

    verify(
        vectors.blocks_air(file),
        vectors.parameters(file["parameters"]),
        vectors.proof_bytes(file),
    )


@pytest.mark.parametrize(
    "name", ["ziggy_proof_1", "ziggy_proof_4", "rescue_proof_1", "rescue_proof_3"]
)
def test_every_value_of_the_original_transcripts_is_reproduced(name: str) -> None:
    air, parameters, proof = statement_of(f"{name}.json")
    known = vectors.ziggy(f"{name}_transcript.json")

    transcript = replay(air, parameters, proof)

    assert air.channel_seed(parameters).hex() == known["seed_bytes"]
    check_lengths(air, parameters, known["derived_parameters"])
    check_out_of_domain(transcript, known)
    check_constraints(air, parameters, transcript, known)
    check_fri(transcript, known)
    check_openings(transcript, known)


def check_lengths(air: Air, parameters: Parameters, known: Any) -> None:
    lengths = parameters.lengths(air.original_length)
    assert lengths.original_length == known["original_trace_length"]
    assert lengths.slackness == known["slackness_factor"]
    assert lengths.trace_length == known["trace_length"]
    assert lengths.domain_size == known["evaluation_domain_size"]
    assert lengths.columns == known["n_columns"]
    assert air.n_constraints == known["n_constraints"]
    assert lengths.trace_generator == int(known["trace_generator"], 16)


def check_out_of_domain(transcript: Transcript, known: Any) -> None:
    sampled = transcript.out_of_domain
    assert sampled.initial_state.hex() == known["initial_state"]
    assert sampled.trace_root.hex() == known["trace_root"]
    assert sampled.state_after_trace_root.hex() == known["state_after_trace_root"]
    assert sampled.coefficients == elements(known["constraint_coefficients"])
    assert sampled.composition_root.hex() == known["composition_root"]
    assert sampled.state_after_composition_root.hex() == known["state_after_composition_root"]
    assert sampled.point == element(known["oods_point"])
    assert sampled.mask_values == elements(known["oods_trace_values"])
    assert sampled.composition_values == elements(known["oods_composition_values"])
    assert sampled.composition == element(known["oods_composition_at_z"])
    assert sampled.state.hex() == known["state_after_oods"]


def check_constraints(air: Air, parameters: Parameters, transcript: Transcript, known: Any) -> None:
    lengths, sampled = parameters.lengths(air.original_length), transcript.out_of_domain
    z = sampled.point
    periodic = (
        blocks.periodic_columns()
        if isinstance(air, blocks.BlocksAir)
        else rescue_chain.periodic_columns()
    )
    families = air.families_at(z, sampled.mask_values, lengths)
    numerators = [ext.mul(c, f.factor) for f in families for c in f.numerators]
    vanishing = [family.vanishing for family in families for _ in family.numerators]
    assert periodic_at(periodic, z, lengths) == elements(known["periodic_columns_at_oods_point"])
    assert numerators == elements(known["constraint_numerators_at_oods_point"])
    assert vanishing == elements(known["constraint_denominators_at_oods_point"])
    assert air.exponents(lengths) == known["degree_adjustment_exponents"]
    assert [f.exponent for f in families for _ in f.numerators] == air.exponents(lengths)


def check_fri(transcript: Transcript, known: Any) -> None:
    fri = transcript.fri
    assert fri.deep_coefficients == elements(known["deep_coefficients"])
    assert [[b.column, b.point, b.value] for b in fri.boundaries] == [
        [column, element(point), element(value)]
        for column, point, value in known["deep_constraints_column_point_value"]
    ]
    assert fri.challenges == elements(known["fri_eval_points"])
    assert [root.hex() for root in fri.roots] == known["fri_roots"]
    assert fri.last_layer == elements(known["last_layer_coefficients"])
    assert fri.state_before_nonce.hex() == known["state_before_pow"]
    assert fri.nonce.hex() == known["pow_nonce"]
    assert fri.state_after_nonce.hex() == known["state_after_pow"]
    assert fri.queries == known["queries_drawn"]
    assert sorted(fri.queries) == known["queries_sorted"]


def check_openings(transcript: Transcript, known: Any) -> None:
    openings, indices = transcript.openings, list(known["queries_sorted"])
    assert openings.query_offset == known["query_phase_offset"]
    assert openings.trace_end == known["trace_decommit_end"]
    assert openings.composition_end == known["composition_decommit_end"]
    assert openings.end == known["consumed"]
    deep = zip(openings.rows, openings.deep_values, strict=True)
    assert [[row, value] for row, value in deep] == [
        [row, element(value)] for row, value in known["deep_values"]
    ]
    # The published values are listed by sorted query; ours are stored once per index.
    assert len(openings.query_values) == len(known["fri_query_values"])
    for layer, values in zip(openings.query_values, known["fri_query_values"], strict=True):
        shift = _shift_to(layer, indices)
        assert [layer[index >> shift] for index in indices] == elements(values)


def _shift_to(layer: dict[int, Any], indices: list[int]) -> int:
    """The number of bits by which queries are shifted for this layer."""
    return next(shift for shift in range(64) if {i >> shift for i in indices} == set(layer))


@pytest.mark.parametrize("name", vectors.BLOCKS_PROOFS)
def test_every_value_of_the_blocks_transcripts_is_reproduced(name: str) -> None:
    file = vectors.blocks(name)
    air, parameters = vectors.blocks_air(file), vectors.parameters(file["parameters"])
    known = file["transcript"]

    transcript = replay(air, parameters, vectors.proof_bytes(file))
    sampled, fri, openings = transcript.out_of_domain, transcript.fri, transcript.openings

    if "seed" in known:
        assert air.channel_seed(parameters).hex() == known["seed"]
    assert sampled.initial_state.hex() == known["initial_state"]
    assert sampled.trace_root.hex() == known["trace_root"]
    assert sampled.coefficients == elements(known["constraint_coefficients"])
    assert sampled.composition_root.hex() == known["composition_root"]
    assert sampled.point == element(known["oods_point"])
    assert sampled.mask_values == elements(known["oods_trace_values"])
    assert sampled.composition_values == elements(known["oods_composition_values"])
    assert sampled.state.hex() == known["state_after_oods"]
    assert sampled.composition == element(known["composition_at_z"])
    lengths = parameters.lengths(air.original_length)
    assert air.outputs_at(sampled.point, lengths) == elements(known["pk_at_z"])
    assert fri.deep_coefficients == elements(known["deep_coefficients"])
    assert fri.challenges == elements(known["fri_eval_points"])
    assert [root.hex() for root in fri.roots] == known["fri_roots"]
    sent = ext.encode(fri.last_layer)
    assert blake2s_256(sent).hex() == known["last_layer_coefficients_hash"]
    assert fri.state_before_nonce.hex() == known["state_before_pow"]
    assert fri.nonce.hex() == known["pow_nonce"]
    assert fri.state_after_nonce.hex() == known["state_after_pow"]
    assert fri.queries == known["queries_drawn"]
    assert openings.query_offset == known["query_phase_offset"]
    assert len(openings.rows) == known["distinct_queries"]
    first = list(zip(openings.rows, openings.deep_values, strict=True))[:4]
    expected = [(row, element(value)) for row, value in known["deep_values_first"]]
    assert first == expected
    assert openings.trace_end == known["trace_opening_end"]
    assert openings.composition_end == known["composition_opening_end"]
    assert openings.end == known["consumed"]
