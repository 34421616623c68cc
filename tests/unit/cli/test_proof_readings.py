"""`dragon proof` verifies proofs about readings, and shows their sizes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import starkvectors as vectors
from commands import run_dragon
from dragon.stark.readings_file import StatedReadings

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dragon(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `dragon proof …`: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        return run_dragon(capsys, "proof", *arguments)

    return run


def request(name: str) -> Any:
    """A vector as POST /verifications takes it."""
    file = vectors.readings(name)
    statement = file["statement"]
    stated = StatedReadings(
        bytes.fromhex(statement["identity"]),
        tuple(bytes.fromhex(each) for each in statement["commitments"]),
        statement["carried"],
        vectors.reading_bounds(statement),
        bytes.fromhex(statement["message_hex"]),
    )
    return {
        "parameter_set": file["parameter_set"],
        "statement": stated.to_json(),
        "proof": file["proof_hex"],
    }


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_the_verdict_names_all_bounds_and_what_is_not_checked(dragon: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "asked.json", request("proof_standard_b4_meter.json"))

    code, out, err = dragon("verify", file)

    lines = " ".join(out.split())
    assert (code, err) == (0, "")
    assert "verified: the 3 committed readings keep the bounds, for message 0x6d65746572" in lines
    assert "Each committed reading: 0 to 4294967295." in lines
    assert "Each change from one reading to the next: 0 to 500." in lines
    assert "Sum of the readings 2 to 3: exactly 2550." in lines
    assert "Reading 1 is carried over from the previous window." in lines
    assert "whether one is the number in its data is checked when the chunk is disclosed" in lines
    assert "Security in bits under standard: provable 101.7" in lines


def test_one_reading_has_no_change(dragon: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "asked.json", request("proof_standard_b2_point.json"))

    code, out, _ = dragon("verify", file)

    assert code == 0
    assert "Each committed reading: exactly " in out
    assert "change" not in out
    assert "carried" not in out


def test_programs_get_the_bounds_as_decimal_strings(dragon: Run, tmp_path: Path) -> None:
    asked = request("proof_standard_b8_wide.json")
    file = write(tmp_path / "asked.json", asked)

    code, out, _ = dragon("verify", file, "--json")

    answer = json.loads(out)
    assert code == 0
    assert answer.pop("security")["level"] == 101.7
    assert answer == {
        "verdict": "verified",
        "parameter_set": "standard",
        "blocks": 8,
        "kind": "readings",
        "chunks": 7,
        "carried": False,
        "bounds": asked["statement"]["bounds"],
        "message": asked["statement"]["message"],
    }


def test_the_proof_can_be_a_binary_file(dragon: Run, tmp_path: Path) -> None:
    asked = request("proof_strong_b4.json")
    proof_file = tmp_path / "proof.bin"
    proof_file.write_bytes(bytes.fromhex(asked.pop("proof")[2:]))
    file = write(tmp_path / "asked.json", asked)

    assert dragon("verify", file, "--set", "strong", "--proof", proof_file)[0] == 0


def spoil(path: list[Any], new: Any) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        *parents, last = path
        for key in parents:
            value = value[key]
        value[last] = new(value[last]) if callable(new) else new

    return change


def as_blocks(value: Any) -> None:
    """The same statement without its bounds."""
    for name in ("carried", "bounds", "kind"):
        del value["statement"][name]


STATEMENT = ["statement"]
REFUSED: dict[str, tuple[Callable[[Any], None], str]] = {
    "another bound": (spoil([*STATEMENT, "bounds", "step_high"], "400"), "proof_refused (oods)"),
    "not carried": (
        lambda value: value["statement"].update(
            carried=False, bounds=value["statement"]["bounds"] | {"sum_high": "2551"}
        ),
        "proof_refused (oods)",
    ),
    "an empty range": (
        spoil([*STATEMENT, "bounds", "low"], "4294967296"),
        "proof_refused (input)",
    ),
    "a sum out of reach": (spoil([*STATEMENT, "bounds", "sum_low"], "-1"), "proof_refused (input)"),
    "no readings": (spoil([*STATEMENT, "commitments"], []), "proof_refused (input)"),
    "a commitment to the identity": (
        spoil(
            [*STATEMENT, "commitments", 2],
            "0x" + vectors.readings("proof_standard_b2.json")["statement"]["identity"],
        ),
        "proof_refused (input)",
    ),
    "a proof cut short": (spoil(["proof"], lambda digits: digits[:-2]), "proof_refused (proof_too"),
    "a readings proof for blocks": (as_blocks, "proof_refused ("),
    "a bound that is an integer": (spoil([*STATEMENT, "bounds", "low"], 0), "wrong_type"),
    "an unknown kind": (spoil([*STATEMENT, "kind"], "sums"), "unknown_value"),
    "a kind that is no word": (spoil([*STATEMENT, "kind"], 7), "wrong_type"),
    "readings called blocks": (spoil([*STATEMENT, "kind"], "blocks"), "unknown_member"),
    "another set in the file": (spoil(["parameter_set"], "strong"), "other_parameters"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_invalid_requests_are_refused_by_name(dragon: Run, tmp_path: Path, what: str) -> None:
    change, name = REFUSED[what]
    asked = request("proof_standard_b4_meter.json")
    change(asked)

    code, out, err = dragon("verify", write(tmp_path / "asked.json", asked))

    assert (code, out) == (1, "")
    assert err.startswith(f"dragon: refused: {name}")
    assert err.count("\n") <= 2


def test_readings_are_refused_under_a_set_that_does_not_hide(dragon: Run, tmp_path: Path) -> None:
    asked = request("proof_standard_b4_meter.json")
    del asked["parameter_set"]

    code, _, err = dragon("verify", write(tmp_path / "asked.json", asked), "--set", "ziggy-classic")

    assert code == 1
    assert "proof_refused (parameters): windows require a strict parameter set" in err


def test_blocks_may_be_named_as_the_kind(dragon: Run, tmp_path: Path) -> None:
    vector = vectors.blocks("proof_standard_b4.json")
    statement = {
        "kind": "blocks",
        "outputs": ["0x" + output for output in vector["statement"]["outputs"]],
        "message": "0x" + vector["statement"]["message_hex"],
    }
    asked = {"statement": statement, "proof": vector["proof_hex"]}

    code, out, _ = dragon("verify", write(tmp_path / "asked.json", asked))

    assert code == 0
    assert "the preimages of 4 outputs" in out


# Figures


@pytest.mark.parametrize(
    ("name", "chunks", "largest"),
    [("standard", 63, 102_008), ("standard", 1, 87_608), ("strong", 1023, 267_240)],
)
def test_readings_cost_bytes_and_no_security(
    dragon: Run, name: str, chunks: int, largest: int
) -> None:
    _, plain, _ = dragon("security", name, "--chunks", chunks, "--json")
    code, out, _ = dragon("security", name, "--chunks", chunks, "--readings", "--json")

    [row], [blocks] = json.loads(out)["figures"], json.loads(plain)["figures"]
    assert code == 0
    assert row.pop("largest_proof_bytes") == largest > blocks.pop("largest_proof_bytes")
    assert row == blocks


def test_a_table_of_readings_begins_with_one_reading(dragon: Run) -> None:
    _, out, _ = dragon("security", "standard", "--readings", "--json")

    assert [row["chunks"] for row in json.loads(out)["figures"]][::5] == [1, 63, 2047]


@pytest.mark.parametrize("option", ["--chunks=0", "--blocks=1"])
def test_no_proof_is_about_no_reading(dragon: Run, option: str) -> None:
    code, _, err = dragon("security", "standard", "--readings", option)

    assert code == 2
    assert "at least 1 chunk" in err


def test_the_classic_set_proves_no_readings(dragon: Run) -> None:
    code, _, err = dragon("security", "ziggy-classic", "--readings")

    assert code == 1
    assert "proof_refused (parameters): windows require a strict parameter set" in err
