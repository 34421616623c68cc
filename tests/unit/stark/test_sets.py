"""Named parameter sets and their security figures."""

from __future__ import annotations

import math
from typing import Any

import pytest

import starkvectors as vectors
from dragon.encoding import canonical
from dragon.stark import parameter_sets, security
from dragon.stark.parameters import Parameters, Slack
from dragon.stark.refusal import ProofRefused, Reason

KNOWN = vectors.blocks("parameter_sets.json")["sets"]


def set_of(case: Any) -> parameter_sets.ParameterSet:
    return (
        parameter_sets.TEST_REFERENCE
        if case["set"] == "test-reference"
        else parameter_sets.SETS[case["set"]]
    )


@pytest.mark.parametrize("case", KNOWN, ids=lambda case: f"{case['set']}-{case['B']}")
def test_the_rule_gives_the_published_parameters(case: Any) -> None:
    parameters = set_of(case).parameters(case["B"])
    lengths = parameters.lengths(16 * case["B"])

    assert parameters == vectors.parameters(case["parameters"])
    assert parameters.canonical().decode() == case["parameters_canonical"]
    assert parameters.canonical() == canonical(case["parameters"])
    assert parameters.digest().hex() == case["parameters_hash"]
    assert lengths.trace_length == case["n"]
    assert lengths.domain_size == case["N"]
    assert lengths.slackness == case["s"]
    assert lengths.columns == case["W"]


@pytest.mark.parametrize("case", KNOWN, ids=lambda case: f"{case['set']}-{case['B']}")
def test_the_formulas_give_the_published_figures(case: Any) -> None:
    figures = security.set_security(set_of(case), case["B"])

    assert math.floor(figures.provable * 10) / 10 == case["provable_bits"]
    assert figures.list_parameter == case["list_parameter_m"]
    assert figures.conjectured == case["conjectured_bits"]
    assert figures.binding == 122


@pytest.mark.parametrize(
    ("name", "level"), [("ziggy-classic", 64), ("standard", 100), ("strong", 122)]
)
def test_the_level_is_the_least_figure(name: str, level: int) -> None:
    most = parameter_sets.SETS[name].candidates[-1].max_blocks

    figures = security.set_security(parameter_sets.SETS[name], most)

    assert int(figures.level) == level
    assert figures.level == min(figures.provable, figures.conjectured, figures.binding)


def test_the_figures_are_shown_together_and_never_rounded_up() -> None:
    figures = security.set_security(parameter_sets.STANDARD, 64)

    assert figures.provable > 101.66
    assert str(figures) == (
        "provable 101.6, conjectured 128.0, binding of commitments 122.0: level 101.6"
    )


def test_one_query_gives_almost_no_security() -> None:
    weak = Parameters(2, 1, 0, (0,), 32)

    figures = security.security(weak, weak.lengths(16))

    assert figures.provable < 1
    assert figures.conjectured == 2


@pytest.mark.parametrize(
    "name", ["test-reference", "Standard", "", "standard ", None, 7, ["standard"]]
)
def test_unknown_names_of_sets_are_refused(name: Any) -> None:
    with pytest.raises(ProofRefused) as refused:
        parameter_sets.parameters_for(name, 1)

    assert refused.value.reason is Reason.PARAMETERS


def test_no_named_set_has_the_leaking_blinding() -> None:
    assert all(each.slack is not Slack.REFERENCE for each in parameter_sets.SETS.values())
    assert parameter_sets.CLASSIC.candidates[0].max_blocks == 1


@pytest.mark.parametrize("n_blocks", [0, 3, -1, 8192])
def test_a_set_refuses_other_numbers_of_blocks(n_blocks: int) -> None:
    with pytest.raises(ProofRefused):
        parameter_sets.STANDARD.parameters(n_blocks)


def test_the_classic_set_allows_one_block_only() -> None:
    with pytest.raises(ProofRefused):
        parameter_sets.CLASSIC.parameters(2)


VALID: dict[str, Any] = {
    "log_n_cosets": 3,
    "n_queries": 38,
    "proof_of_work_bits": 8,
    "fri_step_list": (0, 2),
    "last_layer_degree_bound": 16,
}


@pytest.mark.parametrize(
    "change",
    [
        {"log_n_cosets": 1},
        {"log_n_cosets": 15},
        {"log_n_cosets": "3"},
        {"log_n_cosets": True},
        {"n_queries": 0},
        {"n_queries": 257},
        {"n_queries": 38.0},
        {"proof_of_work_bits": -1},
        {"proof_of_work_bits": 41},
        {"fri_step_list": ()},
        {"fri_step_list": [0, 2]},
        {"fri_step_list": (0, 0)},
        {"fri_step_list": (0, 11)},
        {"fri_step_list": (1, 2)},
        {"fri_step_list": (0,) + (1,) * 40},
        {"last_layer_degree_bound": 0},
        {"last_layer_degree_bound": 24},
        {"last_layer_degree_bound": 32768},
        {"zero_knowledge": 1},
        {"zero_knowledge": False, "slack": Slack.STRICT},
        {"slack": "generous"},
    ],
    ids=str,
)
def test_parameters_out_of_range_are_refused(change: dict[str, Any]) -> None:
    Parameters(**VALID)

    with pytest.raises(ProofRefused) as refused:
        Parameters(**VALID | change)

    assert refused.value.reason is Reason.PARAMETERS


def test_folding_must_end_at_the_last_layer() -> None:
    Parameters(**VALID).lengths(16)

    with pytest.raises(ProofRefused):
        Parameters(**VALID | {"last_layer_degree_bound": 32}).lengths(16)
    with pytest.raises(ProofRefused):
        Parameters(**VALID).lengths(64)


def test_a_domain_that_is_too_large_for_the_field_is_refused() -> None:
    steps = (0, 10, 7)
    parameters = Parameters(14, 1, 0, steps, 16384)

    with pytest.raises(ProofRefused, match="too long"):
        parameters.lengths(1 << 30)


def test_the_level_of_a_window_follows_from_its_chunks() -> None:
    found = [security.window_level_bits("standard", n) for n in (0, 1, 63, 64, 4095)]

    assert found == [101, 101, 101, 101, 100]
    assert security.window_level_bits("strong", 4095) == 122


@pytest.mark.parametrize(("name", "chunks"), [("standard", 4096), ("standard", -1), ("weak", 1)])
def test_no_window_has_other_numbers_of_chunks(name: str, chunks: int) -> None:
    assert security.window_level_bits(name, chunks) is None


def test_a_huge_number_of_chunks_costs_nothing() -> None:
    assert security.window_security("standard", 1 << 10_000) is None
