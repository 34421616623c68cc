"""The JSON files of the original programs: strict reading, compatible writing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

import starkvectors as vectors
from dragon import errors
from dragon.errors import DragonError
from dragon.stark import files, ziggy
from dragon.stark.field import P
from dragon.stark.parameter_sets import CLASSIC, STANDARD
from dragon.stark.refusal import ProofRefused
from starkvectors import bases

ZIGGY_KEYS = vectors.ziggy("ziggy_keys_kat.json")["cases"]


@pytest.mark.parametrize("name", vectors.ZIGGY_PROOFS)
def test_ziggy_proof_files_survive_reading_and_writing(name: str) -> None:
    original = vectors.ziggy(name)

    read = files.read_ziggy_proof(json.dumps(original))

    assert read.proof == vectors.proof_bytes(original)
    assert read.parameters == vectors.parameters(original["proof_parameters"])
    written = files.write_ziggy_proof(read)
    assert files.read_ziggy_proof(written) == read
    members = ("proof_hex", "proof_parameters", "public_input")
    assert json.loads(written) == {member: original[member] for member in members}


@pytest.mark.parametrize("name", vectors.RESCUE_PROOFS)
def test_chain_proof_files_survive_reading_and_writing(name: str) -> None:
    original = vectors.ziggy(name)

    read = files.read_chain_proof(json.dumps(original))

    read.verify(vectors.parameters(original["proof_parameters"]))
    written = files.write_chain_proof(read)
    assert files.read_chain_proof(written) == read
    members = ("proof_hex", "proof_parameters", "public_input")
    assert json.loads(written) == {member: original[member] for member in members}


def test_members_are_written_in_alphabetical_order_and_indented_with_tabs() -> None:
    read = files.read_ziggy_proof(json.dumps(vectors.ziggy("ziggy_proof_5.json")))

    lines = files.write_ziggy_proof(read).splitlines()

    assert lines[1].startswith('\t"proof_hex": "0x')
    assert lines[2] == '\t"proof_parameters": {'


def test_annotations_are_ignored() -> None:
    file = vectors.ziggy("ziggy_proof_1.json")
    file |= {"annotations": vectors.ziggy("ziggy_proof_1_annotations.json")["annotations"]}

    files.read_ziggy_proof(json.dumps(file)).verify()


@pytest.mark.parametrize("case", ZIGGY_KEYS, ids=lambda case: case["private_key"][:12])
def test_keys_without_their_leading_zeros_are_read(case: Any) -> None:
    text = json.dumps({"private_key": case["private_key"]})

    private_key = files.read_ziggy_private_input(text)

    assert private_key.hex() == case["private_key_bytes"]
    assert (
        files.read_ziggy_private_input(files.write_ziggy_private_input(private_key)) == private_key
    )
    public = files.write_ziggy_public_input(ziggy.public_key(private_key), case["message"])
    key, message = files.read_ziggy_public_input(public)
    assert key == vectors.digest(case["public_key"])
    assert message.encode().hex() == case["message_bytes"]


def test_chain_inputs_survive_reading_and_writing() -> None:
    file = vectors.ziggy("rescue_proof_1.json")

    witness = files.read_chain_private_input(json.dumps(file["private_input_for_tests_only"]))
    output, length = files.read_chain_public_input(json.dumps(file["public_input"]))

    secret = file["private_input_for_tests_only"]["witness"]
    assert [list(word) for word in witness] == [bases(word) for word in secret]
    assert files.read_chain_private_input(files.write_chain_private_input(witness)) == witness
    written = files.write_chain_public_input(output, length)
    assert files.read_chain_public_input(written) == (output, length)


def test_parameter_files_are_read_with_and_without_slack() -> None:
    for parameters in (CLASSIC.parameters(1), STANDARD.parameters(64)):
        assert files.read_parameters(json.dumps(parameters.document())) == parameters


Change = Callable[[dict[str, Any]], object]


def set_member(path: str, value: object) -> Change:
    def change(file: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for name in parents:
            file = file[name]
        file[last] = value

    return change


def drop_member(path: str) -> Change:
    def change(file: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for name in parents:
            file = file[name]
        del file[last]

    return change


STARK, PUBLIC = "proof_parameters.stark", "public_input"


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (drop_member("proof_hex"), errors.MissingMember),
        (drop_member("public_input"), errors.MissingMember),
        (drop_member(f"{STARK}.fri"), errors.MissingMember),
        (drop_member(f"{STARK}.fri.n_queries"), errors.MissingMember),
        (drop_member(f"{PUBLIC}.message"), errors.MissingMember),
        (set_member("proof_hex", 5), errors.WrongType),
        (set_member("proof_hex", "0xABCD"), errors.InvalidHex),
        (set_member("proof_hex", "abcd"), errors.InvalidHex),
        (set_member("proof_hex", "0xzz"), errors.InvalidHex),
        (set_member("proof_hex", "0x 1"), errors.InvalidHex),
        (set_member("proof_hex", "0x123"), errors.InvalidHex),
        (set_member(PUBLIC, []), errors.WrongType),
        (set_member(f"{PUBLIC}.message", 5), errors.WrongType),
        (set_member(f"{PUBLIC}.message", "x" * (1 << 20 | 1)), errors.TooLarge),
        (set_member(f"{PUBLIC}.message", "\ud800"), errors.LoneSurrogate),
        (set_member(f"{PUBLIC}.extra", 5), errors.UnknownMember),
        (set_member(f"{PUBLIC}.public_key", "0x1"), errors.WrongType),
        (set_member(f"{PUBLIC}.public_key", ["0x1"] * 3), errors.WrongType),
        (set_member(f"{PUBLIC}.public_key", [1, 2, 3, 4]), errors.WrongType),
        (set_member(f"{PUBLIC}.public_key", [hex(P)] * 4), errors.IntegerOutOfRange),
        (set_member(f"{PUBLIC}.public_key", ["0x"] * 4), errors.InvalidHex),
        (set_member(f"{PUBLIC}.public_key", ["0xAB"] * 4), errors.InvalidHex),
        (set_member(f"{PUBLIC}.public_key", ["-0x1"] * 4), errors.InvalidHex),
        (set_member(f"{STARK}.log_n_cosets", 3.5), errors.NotAnInteger),
        (set_member(f"{STARK}.log_n_cosets", "3"), errors.WrongType),
        (set_member(f"{STARK}.log_n_cosets", -3), errors.IntegerOutOfRange),
        (set_member(f"{STARK}.log_n_cosets", 99), ProofRefused),
        (set_member(f"{STARK}.enable_zero_knowledge", 1), errors.WrongType),
        (set_member(f"{STARK}.slack", "generous"), errors.UnknownValue),
        (set_member(f"{STARK}.fri.fri_step_list", 0), errors.WrongType),
        (set_member(f"{STARK}.fri.fri_step_list", ["0"]), errors.WrongType),
        (set_member(f"{STARK}.fri.fri_step_list", [True]), errors.NotAnInteger),
        (set_member(f"{STARK}.fri.fri_step_list", [1] * 65), errors.UnknownValue),
        (set_member(f"{STARK}.fri.fri_step_list", []), ProofRefused),
    ],
)
def test_malformed_proof_files_are_refused_by_name(
    change: Change, refusal: type[DragonError]
) -> None:
    file = vectors.ziggy("ziggy_proof_5.json")
    files.read_ziggy_proof(json.dumps(file))

    change(file)

    with pytest.raises(refusal):
        files.read_ziggy_proof(json.dumps(file))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"private_key": "0x1"} more', "{}", "7"])
def test_other_texts_are_refused(text: str) -> None:
    for read in (
        files.read_ziggy_proof,
        files.read_chain_proof,
        files.read_parameters,
        files.read_ziggy_private_input,
        files.read_ziggy_public_input,
        files.read_chain_private_input,
        files.read_chain_public_input,
    ):
        with pytest.raises(errors.InvalidEncoding):
            read(text)


SECRET = "5e" * 32


@pytest.mark.parametrize(
    "text",
    [
        f'{{"private_key": "0x{SECRET}5e"}}',
        f'{{"private_key": "{SECRET}"}}',
        f'{{"private_key": "0x{SECRET.upper()}"}}',
        f'{{"private_key": "0x{SECRET[:40]} 5"}}',
        '{"private_key": 5555555555555555555}',
        '{"private_key": 5.555555555555}',
        f'{{"0x{SECRET}": "private_key"}}',
        f'{{"private_key": "0x1", "0x{SECRET}": 1}}',
        f'{{"0x{SECRET}": 1, "0x{SECRET}": 2}}',
        f'{{"witness": ["0x{SECRET}"]}}',
        f'{{"witness": [["0x{SECRET}", "0x1", "0x1", "0x1"]]}}',
        '{"witness": [[5555555555555555555, 1, 1, 1]]}',
        f'"0x{SECRET}"',
        f"0x{SECRET}",
    ],
)
def test_an_error_does_not_show_the_refused_secret(text: str) -> None:
    for read in (files.read_ziggy_private_input, files.read_chain_private_input):
        with pytest.raises(errors.InvalidEncoding) as refused:
            read(text)
        shown = f"{refused.value} {refused.value.facts}".lower()
        assert "5e" not in shown
        assert "555" not in shown


@pytest.mark.parametrize("n_words", [0, 1, 3, 5, 6])
def test_a_witness_of_another_length_is_refused(n_words: int) -> None:
    witness = [["0x1", "0x2", "0x3", "0x4"]] * n_words

    with pytest.raises(errors.UnknownValue):
        files.read_chain_private_input(json.dumps({"witness": witness}))


def test_the_repr_of_a_file_does_not_show_the_proof() -> None:
    read = files.read_ziggy_proof(json.dumps(vectors.ziggy("ziggy_proof_5.json")))

    assert read.proof.hex()[:32] not in repr(read)
    assert repr(dataclasses.replace(read, proof=b"other")) == repr(read)
