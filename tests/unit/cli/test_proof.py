"""`dragon proof` verifies under the user's parameter set and shows all security figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import starkvectors as vectors
from commands import run_dragon
from dragon.stark.parameter_sets import SETS
from dragon_cli.commands import proof

PROOFS = {
    "proof_standard_b1.json": "standard",
    "proof_standard_b4.json": "standard",
    "proof_standard_b64.json": "standard",
    "proof_strong_b1.json": "strong",
}

# Without the insecure set that only tests use.
LISTED = [each for each in vectors.blocks("parameter_sets.json")["sets"] if each["set"] in SETS]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dragon(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `dragon proof …`: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        return run_dragon(capsys, "proof", *arguments)

    return run


def request(name: str = "proof_standard_b4.json") -> Any:
    """A vector as POST /verifications takes it."""
    vector = vectors.blocks(name)
    statement = {
        "outputs": ["0x" + output for output in vector["statement"]["outputs"]],
        "message": "0x" + vector["statement"]["message_hex"],
    }
    return {
        "parameter_set": vector["parameter_set"],
        "statement": statement,
        "proof": vector["proof_hex"],
    }


def window(value: Any, chunks: int = 3) -> Any:
    """The same statement as identity and commitments."""
    identity, *others = value["statement"]["outputs"]
    message = value["statement"]["message"]
    value["statement"] = {
        "identity": identity,
        "commitments": others[:chunks],
        "message": message,
    }
    return value


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


# Verifying


@pytest.mark.parametrize("name", PROOFS)
def test_a_proof_is_verified_under_the_chosen_set(dragon: Run, tmp_path: Path, name: str) -> None:
    asked, chosen = request(name), PROOFS[name]
    file = write(tmp_path / "asked.json", asked)

    code, out, err = dragon("verify", file, "--set", chosen)
    _, told, _ = dragon("verify", file, "--set", chosen, "--json")

    blocks = len(asked["statement"]["outputs"])
    assert (code, err) == (0, "")
    assert f"verified: the prover knew the preimages of {blocks} outputs" in out
    assert asked["statement"]["message"] in out
    assert f"Security in bits under {chosen}: provable " in out
    answer = json.loads(told)
    figures = answer.pop("security")
    assert answer == {
        "verdict": "verified",
        "parameter_set": chosen,
        "blocks": blocks,
        "chunks": None,
        "message": asked["statement"]["message"],
    }
    assert figures["level"] == min(figures["provable"], figures["conjectured"], figures["binding"])


def test_the_padding_of_a_window_is_added(dragon: Run, tmp_path: Path) -> None:
    asked = window(request("proof_standard_b64.json"), chunks=40)

    code, out, _ = dragon("verify", write(tmp_path / "asked.json", asked))
    _, told, _ = dragon("verify", tmp_path / "asked.json", "--json")

    assert code == 0
    assert "the preimages of the identity and 40 commitments" in out
    assert {name: json.loads(told)[name] for name in ("blocks", "chunks")} == {
        "blocks": 64,
        "chunks": 40,
    }


def test_a_proof_can_be_a_binary_file(dragon: Run, tmp_path: Path) -> None:
    asked = window(request())
    proof_file = tmp_path / "proof.bin"
    proof_file.write_bytes(bytes.fromhex(asked.pop("proof")[2:]))
    file = write(tmp_path / "asked.json", asked)

    assert dragon("verify", file, "--proof", proof_file)[0] == 0

    code, _, err = dragon("verify", file)
    assert code == 1
    assert "missing_member: the file lacks the member proof" in err
    twice = write(tmp_path / "twice.json", request())
    code, _, err = dragon("verify", twice, "--proof", proof_file)
    assert code == 1
    assert "unknown_member" in err


def spoil(path: list[Any], new: Any) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        *parents, last = path
        for key in parents:
            value = value[key]
        value[last] = new(value[last]) if callable(new) else new

    return change


def exchange(value: Any) -> None:
    outputs = value["statement"]["outputs"]
    outputs[1], outputs[2] = outputs[2], outputs[1]


REFUSED: dict[str, tuple[Callable[[Any], None], str]] = {
    "another message": (spoil(["statement", "message"], "0x00"), "proof_refused (oods)"),
    "another order": (exchange, "proof_refused (oods)"),
    "three outputs": (
        spoil(["statement", "outputs"], lambda outputs: outputs[:3]),
        "proof_refused (parameters)",
    ),
    "no output": (spoil(["statement", "outputs"], []), "proof_refused (parameters)"),
    "no element": (spoil(["statement", "outputs", 0], "0x" + "ff" * 32), "proof_refused (input)"),
    "a proof cut short": (
        spoil(["proof"], lambda digits: digits[:-2]),
        "proof_refused (proof_too_short)",
    ),
    "a byte too many": (
        spoil(["proof"], lambda digits: digits + "00"),
        "proof_refused (trailing_bytes)",
    ),
    "an empty proof": (spoil(["proof"], "0x"), "proof_refused (proof_too_short)"),
    "another set in the file": (spoil(["parameter_set"], "strong"), "other_parameters"),
    "a set that is none": (spoil(["parameter_set"], "weak"), "unknown_value"),
    "parameters in the file": (
        lambda value: value.update(parameters={"n_queries": 1}),
        "unknown_member",
    ),
    "both forms at once": (
        lambda value: value["statement"].update(identity=value["statement"]["outputs"][0]),
        "missing_member",
    ),
    "too many outputs": (
        spoil(["statement", "outputs"], lambda outputs: outputs[:1] * 4097),
        "unknown_value",
    ),
    "no statement": (spoil(["statement"], None), "wrong_type"),
    "a message in words": (spoil(["statement", "message"], "window 4"), "invalid_hex"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_invalid_proofs_are_refused_by_name(dragon: Run, tmp_path: Path, what: str) -> None:
    change, name = REFUSED[what]
    asked = request()
    change(asked)

    code, out, err = dragon("verify", write(tmp_path / "asked.json", asked))

    assert (code, out) == (1, "")
    assert err.startswith(f"dragon: refused: {name}: ")
    assert err.count("\n") <= 2


def test_a_standard_proof_is_refused_under_a_stronger_set(dragon: Run, tmp_path: Path) -> None:
    asked = request()
    del asked["parameter_set"]
    file = write(tmp_path / "asked.json", asked)

    assert dragon("verify", file)[0] == 0
    code, out, err = dragon("verify", file, "--set", "strong")

    assert (code, out) == (1, "")
    assert err.startswith("dragon: refused: proof_refused (")


def test_windows_are_refused_under_a_set_that_does_not_hide(dragon: Run, tmp_path: Path) -> None:
    asked = window(request("proof_standard_b1.json"), chunks=0)
    del asked["parameter_set"]

    code, _, err = dragon("verify", write(tmp_path / "asked.json", asked), "--set", "ziggy-classic")

    assert code == 1
    assert (
        "proof_refused (parameters): windows require a strict parameter set, and ziggy-classic"
        in err
    )


def test_a_chunk_that_equals_the_identity_is_refused(dragon: Run, tmp_path: Path) -> None:
    asked = window(request())
    asked["statement"]["commitments"][2] = asked["statement"]["identity"]

    code, _, err = dragon("verify", write(tmp_path / "asked.json", asked))

    assert code == 1
    assert "proof_refused (input): the commitment of chunk" in err


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "not_json"),
        (b"\x80", "not_json"),
        (b"{" * 9999, "not_json"),
        (b"[]", "wrong_type"),
        (b" " * (proof.MAX_FILE_BYTES + 1), "too_large"),
    ],
    ids=lambda value: str(value)[:9],
)
def test_invalid_files_are_refused_by_name(
    dragon: Run, tmp_path: Path, content: bytes, name: str
) -> None:
    (tmp_path / "garbage").write_bytes(content)

    code, out, err = dragon("verify", tmp_path / "garbage")

    assert (code, out) == (1, "")
    assert err.startswith(f"dragon: refused: {name}: ")
    assert err.count("\n") <= 2


def test_a_proof_file_that_is_too_large_is_refused(dragon: Run, tmp_path: Path) -> None:
    asked = request()
    del asked["proof"]
    (tmp_path / "proof.bin").write_bytes(bytes(proof.MAX_PROOF_BYTES + 1))
    file = write(tmp_path / "asked.json", asked)

    code, _, err = dragon("verify", file, "--proof", tmp_path / "proof.bin")

    assert code == 1
    assert err.startswith("dragon: refused: too_large: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "none.json"],
        ["verify", "."],
        ["verify", __file__, "--set", "test-reference"],
        ["verify", __file__, "--proof", "none.bin"],
        ["security"],
        ["security", "test-reference"],
        ["security", "standard", "--chunks", "4096"],
        ["security", "standard", "--blocks", "3"],
        ["security", "standard", "--blocks", "8192"],
        ["security", "standard", "--blocks", "4", "--chunks", "3"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(dragon: Run, arguments: list[str]) -> None:
    code, out, err = dragon(*arguments)

    assert (code, out) == (2, "")
    assert "Error: " in err


# Figures


@pytest.mark.parametrize("vector", LISTED, ids=lambda vector: f"{vector['set']} {vector['B']}")
def test_the_figures_of_every_set_match_the_vectors(dragon: Run, vector: Any) -> None:
    code, out, _ = dragon("security", vector["set"], "--blocks", vector["B"], "--json")

    [row] = json.loads(out)["figures"]
    assert code == 0
    assert (row["blocks"], row["rows"]) == (vector["B"], vector["n"])
    assert row["queries"] == vector["parameters"]["stark"]["fri"]["n_queries"]
    assert row["provable"] == pytest.approx(vector["provable_bits"], abs=0.1)
    assert row["conjectured"] == vector["conjectured_bits"]
    assert row["binding"] == 122
    assert row["level"] == min(row["provable"], row["conjectured"], row["binding"])


@pytest.mark.parametrize(
    ("chunks", "blocks"), [(0, 1), (1, 2), (3, 4), (4, 8), (63, 64), (64, 128)]
)
def test_a_window_has_the_power_of_two_above_its_chunks(
    dragon: Run, chunks: int, blocks: int
) -> None:
    _, out, _ = dragon("security", "strong", "--chunks", chunks, "--json")

    assert [row["blocks"] for row in json.loads(out)["figures"]] == [blocks]


def test_all_figures_fit_into_80_columns(dragon: Run) -> None:
    code, out, _ = dragon("security", "standard")

    heads, *lines = out.splitlines()[1:]
    assert code == 0
    assert heads.split()[-4:] == ["provable", "conjectured", "binding", "level"]
    assert lines[12].split() == [
        *("4096", "4095", "131072", "90", "220984"),
        *("100.9", "128.0", "122.0", "100.9"),
    ]
    assert all(len(line) <= 80 for line in [heads, *lines[:13]])
    assert "refuted in 2025" in out


def test_the_classic_set_comes_with_a_warning(dragon: Run) -> None:
    _, shown, _ = dragon("security", "ziggy-classic")
    _, told, _ = dragon("security", "ziggy-classic", "--json")
    _, strict, _ = dragon("security", "standard", "--json")

    assert (
        "warning: ziggy-classic is only for compatibility with the original Ziggy programs" in shown
    )
    assert "zero knowledge is heuristic" in json.loads(told)["warning"]
    assert [row["level"] for row in json.loads(told)["figures"]] == [64.1]
    assert "warning" not in json.loads(strict)


def test_the_classic_set_has_one_block(dragon: Run) -> None:
    code, _, err = dragon("security", "ziggy-classic", "--chunks", "1")

    assert code == 1
    assert "proof_refused (parameters): parameter set ziggy-classic does not allow 2 blocks" in err
