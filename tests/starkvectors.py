"""Read the test vectors of the proof system, and apply the alterations of their cases."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from dragon.stark import field
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.airs.readings import ReadingsAir
from dragon.stark.airs.rescue_chain import RescueChainAir
from dragon.stark.extension import Element
from dragon.stark.parameters import Parameters, Slack
from dragon.stark.reading_bounds import ReadingBounds
from dragon.stark.readings import readings_statement
from dragon.stark.rescue import Digest

VECTORS = Path(__file__).parent / "vectors"
ZIGGY_PROOFS = [f"ziggy_proof_{i}.json" for i in range(1, 6)]
RESCUE_PROOFS = [f"rescue_proof_{i}.json" for i in range(1, 6)]
BLOCKS_PROOFS = [
    *[f"proof_reference_b{b}.json" for b in (1, 2, 4, 64)],
    *[f"proof_standard_b{b}.json" for b in (1, 2, 4, 64)],
    "proof_strong_b1.json",
]

READINGS_PROOFS = [
    *[f"proof_standard_{b}.json" for b in ("b2", "b2_point", "b4_meter", "b8_wide", "b16")],
    *[f"proof_standard_{b}.json" for b in ("b64", "b64_temperature")],
    "proof_strong_b4.json",
]
# Valid under the tiny parameters that each file states.
TINY_READINGS_PROOFS = [
    *[f"valid_{name}_b4.json" for name in ("carried", "not_an_opening", "unusual")],
    "valid_b8.json",
]


@cache
def _text(folder: str, name: str) -> str:
    return (VECTORS / folder / name).read_text()


def ziggy(name: str) -> Any:
    """A new copy of a file of the base protocol's vectors."""
    return json.loads(_text("ziggy", name))


def blocks(name: str) -> Any:
    """A new copy of a file of the blocks vectors."""
    return json.loads(_text("blocks", name))


def readings(name: str) -> Any:
    """A new copy of a file of the readings vectors."""
    return json.loads(_text("readings", name))


# -- reading values ------------------------------------------------------------------------------


def base(text: str) -> int:
    return int(text, 16)


def bases(texts: Sequence[str]) -> list[int]:
    return [int(text, 16) for text in texts]


def element(texts: Sequence[str]) -> Element:
    c0, c1, c2 = bases(texts)
    return c0, c1, c2


def elements(values: Sequence[Sequence[str]]) -> list[Element]:
    return [element(value) for value in values]


def digest(texts: Sequence[str]) -> Digest:
    c0, c1, c2, c3 = bases(texts)
    return c0, c1, c2, c3


def encoded(texts: Sequence[str]) -> bytes:
    """Four elements, encoded in 32 bytes."""
    return field.encode(bases(texts))


def proof_bytes(file: Any) -> bytes:
    digits = file["proof_hex"].removeprefix("0x")
    return b"" if digits == "0" else bytes.fromhex(digits)


def private_key(file: Any) -> bytes:
    digits = file["private_input_for_tests_only"]["private_key"].removeprefix("0x")
    return bytes.fromhex(digits.zfill(64))


def parameters(document: Any) -> Parameters:
    stark = document["stark"]
    fri = stark["fri"]
    return Parameters(
        stark["log_n_cosets"],
        fri["n_queries"],
        fri["proof_of_work_bits"],
        tuple(fri["fri_step_list"]),
        fri["last_layer_degree_bound"],
        stark["enable_zero_knowledge"],
        Slack(stark["slack"]) if "slack" in stark else None,
    )


def ziggy_air(file: Any) -> BlocksAir:
    public = file["public_input"]
    return BlocksAir((digest(public["public_key"]),), public["message"].encode())


def chain_air(file: Any) -> RescueChainAir:
    public = file["public_input"]
    return RescueChainAir(digest(public["output"]), public["chain_length"])


def blocks_air(file: Any) -> BlocksAir:
    statement = file["statement"]
    outputs = [field.decode(bytes.fromhex(output)) for output in statement["outputs"]]
    message = bytes.fromhex(statement["message_hex"])
    return BlocksAir(tuple((a, b, c, d) for a, b, c, d in outputs), message)


def reading_bounds(statement: Any) -> ReadingBounds:
    """The bounds in the statement of a file."""
    return ReadingBounds(**{each.name: statement[each.name] for each in fields(ReadingBounds)})


def readings_air(file: Any) -> ReadingsAir:
    statement = file["statement"]
    return readings_statement(
        bytes.fromhex(statement["identity"]),
        [bytes.fromhex(each) for each in statement["commitments"]],
        statement["carried"],
        reading_bounds(statement),
        bytes.fromhex(statement["message_hex"]),
    )


# -- altering ------------------------------------------------------------------------------------


def altered(file: Any, ops: Sequence[Any]) -> Any:
    """A copy of a proof file with the operations of a case applied."""
    file = copy.deepcopy(file)
    for op in ops:
        if op["op"] == "set":
            _set(file, op["path"], op["value"])
        else:
            proof = _altered_proof(bytearray(proof_bytes(file)), op)
            file["proof_hex"] = "0x" + (proof.hex() or "0")
    return file


def _set(value: Any, path: Sequence[Any], new: Any) -> None:
    *parents, last = path
    for key in parents:
        value = value[key]
    value[last] = new


def _altered_proof(proof: bytearray, op: Any) -> bytes:
    start = op.get("offset", 0)
    given = bytes.fromhex(op.get("hex", ""))
    match op["op"]:
        case "xor":
            for i, byte in enumerate(given):
                proof[start + i] ^= byte
        case "write":
            proof[start : start + len(given)] = given
        case "insert":
            proof[start:start] = given
        case "delete":
            del proof[start : start + op["length"]]
        case "truncate":
            del proof[op["length"] :]
        case "append":
            proof += given
        case "replace_proof":
            proof = bytearray(given)
        case "swap":
            a, b, size = op["a"], op["b"], op["length"]
            first, second = proof[a : a + size], proof[b : b + size]
            proof[a : a + size], proof[b : b + size] = second, first
        case unknown:
            raise AssertionError(f"unknown operation: {unknown}")
    return bytes(proof)
