"""Read and write the JSON files of the original Ziggy programs, as text (section 12).

The original programs read what this module writes, and the reverse. Reading is stricter here:
numbers must be integers, elements below p, lists of the right length, and hexadecimal digits lower
case and complete. Unknown members of a proof file or of its parameters (for example annotations)
are ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from dragon import errors
from dragon.encoding import Json, Members, parse, to_hex
from dragon.stark.airs.rescue_chain import HASHES_PER_PERIOD, MAX_CHAIN, RescueChainAir
from dragon.stark.commitment import encode_output
from dragon.stark.field import P
from dragon.stark.parameter_sets import CLASSIC
from dragon.stark.parameters import Parameters, Slack
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.rescue import Digest
from dragon.stark.verifier import verify
from dragon.stark.ziggy import PRIVATE_KEY_BYTES, verify_signature

MAX_PROOF_BYTES: Final = 1 << 24
MAX_MESSAGE_CHARACTERS: Final = 1 << 20
_DIGITS: Final = re.compile(r"0x[0-9a-f]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ZiggyProofFile:
    """A signature with its public input and the parameters that the file states."""

    public_key: Digest
    message: str
    parameters: Parameters
    proof: bytes = field(repr=False)

    def verify(self) -> None:
        """Verify that this is a valid signature under `ziggy-classic`. Returns nothing.

        The file never chooses the parameters: with a single query, anyone could forge (section
        10.3).

        Raises ProofRefused: the signature is invalid, or the file states other parameters.
        """
        if self.parameters != CLASSIC.parameters(1):
            message = "the file states parameters that differ from those of ziggy-classic"
            raise ProofRefused(Reason.PARAMETERS, message)
        verify_signature(encode_output(self.public_key), self.message.encode(), self.proof)


@dataclass(frozen=True, slots=True)
class ChainProofFile:
    """A Rescue-chain proof with its public input and the parameters that the file states."""

    output: Digest
    chain_length: int
    parameters: Parameters
    proof: bytes = field(repr=False)

    def verify(self, parameters: Parameters) -> None:
        """Verify the proof under `parameters`, which the relying party chooses. Returns nothing.

        Raises ProofRefused: the proof is invalid, or the file states other parameters.
        """
        if self.parameters != parameters:
            message = "the file states parameters that differ from the required ones"
            raise ProofRefused(Reason.PARAMETERS, message)
        verify(RescueChainAir(self.output, self.chain_length), parameters, self.proof)


# -- reading -------------------------------------------------------------------------------------


def read_parameters(text: str) -> Parameters:
    """Read a parameter file. Raises InvalidEncoding, ProofRefused (parameters)."""
    return _parameters(parse(text))


def read_ziggy_private_input(text: str) -> bytes:
    """Read a private key of 32 bytes. With fewer than 64 digits, leading zeros are added.

    Raises InvalidEncoding. The message never contains the key.
    """
    with _without_details("a Ziggy private input"):
        members = Members(parse(text), "a Ziggy private input")
        digits = _hexadecimal(members.take("private_key"), "private_key")
        members.end()
    return int(digits, 16).to_bytes(PRIVATE_KEY_BYTES, "big")


def read_ziggy_public_input(text: str) -> tuple[Digest, str]:
    """Read public key and message. Raises InvalidEncoding."""
    return _ziggy_public_input(parse(text))


def read_chain_private_input(text: str) -> list[Digest]:
    """Read the words of a witness: one more than the length of the chain.

    Raises InvalidEncoding. The message never contains a word.
    """
    with _without_details("a Rescue-chain private input"):
        members = Members(parse(text), "a Rescue-chain private input")
        words = [_digest(word, "witness") for word in members.list("witness", most=MAX_CHAIN + 1)]
        members.end()
        if len(words) < 4 or len(words) % HASHES_PER_PERIOD != 1:
            message = f"a witness must have 3k + 1 words (k >= 1), not {len(words)}"
            raise errors.UnknownValue(message, member="witness")
    return words


def read_chain_public_input(text: str) -> tuple[Digest, int]:
    """Read output and chain length. Raises InvalidEncoding."""
    return _chain_public_input(parse(text))


def read_ziggy_proof(text: str) -> ZiggyProofFile:
    """Read a proof file of the Ziggy prover. Raises InvalidEncoding, ProofRefused (parameters)."""
    public_input, parameters, proof = _proof_file(text)
    key, message = _ziggy_public_input(public_input)
    return ZiggyProofFile(key, message, parameters, proof)


def read_chain_proof(text: str) -> ChainProofFile:
    """Read a proof file of the Rescue prover. Raises InvalidEncoding, ProofRefused (parameters)."""
    public_input, parameters, proof = _proof_file(text)
    output, chain_length = _chain_public_input(public_input)
    return ChainProofFile(output, chain_length, parameters, proof)


@contextmanager
def _without_details(what: str) -> Iterator[None]:
    """Replace the message of an error, which could quote a secret, and keep the error's type."""
    try:
        yield
    except errors.InvalidEncoding as refusal:
        message = f"the file is not {what} (values are not shown: they may be secret)"
        raise type(refusal)(message) from None


def _proof_file(text: str) -> tuple[Json, Parameters, bytes]:
    members = Members(parse(text), "a proof file")
    public_input = members.take("public_input")
    parameters = _parameters(members.take("proof_parameters"))
    proof = members.hex("proof_hex", size=range(MAX_PROOF_BYTES + 1))
    return public_input, parameters, proof


def _parameters(value: Json) -> Parameters:
    stark = Members(Members(value, "a parameter file").take("stark"), "stark")
    fri = Members(stark.take("fri"), "fri")
    slack = stark.word("slack", [each.value for each in Slack]) if "slack" in stark else None
    zero_knowledge = stark.take("enable_zero_knowledge")
    if not isinstance(zero_knowledge, bool):
        message = "enable_zero_knowledge must be true or false"
        raise errors.WrongType(message, member="enable_zero_knowledge")
    return Parameters(
        log_n_cosets=stark.integer("log_n_cosets"),
        n_queries=fri.integer("n_queries"),
        proof_of_work_bits=fri.integer("proof_of_work_bits"),
        fri_step_list=tuple(_step(step) for step in fri.list("fri_step_list", most=64)),
        last_layer_degree_bound=fri.integer("last_layer_degree_bound"),
        zero_knowledge=zero_knowledge,
        slack=None if slack is None else Slack(slack),
    )


def _step(value: Json) -> int:
    return Members({"fri_step_list": value}, "fri").integer("fri_step_list")


def _ziggy_public_input(value: Json) -> tuple[Digest, str]:
    members = Members(value, "a Ziggy public input")
    message = members.take("message")
    if not isinstance(message, str):
        raise errors.WrongType("message must be a string", member="message")
    if len(message) > MAX_MESSAGE_CHARACTERS:
        raise errors.TooLarge(
            f"message must have at most {MAX_MESSAGE_CHARACTERS} characters", member="message"
        )
    key = _digest(members.take("public_key"), "public_key")
    members.end()
    return key, message


def _chain_public_input(value: Json) -> tuple[Digest, int]:
    members = Members(value, "a Rescue-chain public input")
    output = _digest(members.take("output"), "output")
    chain_length = members.integer("chain_length", least=3, most=MAX_CHAIN)
    members.end()
    return output, chain_length


def _digest(value: Json, member: str) -> Digest:
    if not isinstance(value, list) or len(value) != 4:
        raise errors.WrongType(f"{member} must be a list of four elements", member=member)
    c0, c1, c2, c3 = (_element(each, member) for each in value)
    return c0, c1, c2, c3


def _element(value: Json, member: str) -> int:
    element = int(_hexadecimal(value, member), 16)
    if element >= P:
        message = f"{member} contains an element that is not below p"
        raise errors.IntegerOutOfRange(message, member=member)
    return element


def _hexadecimal(value: Json, member: str) -> str:
    """The `0x` string. An error does not show the value, which may be a secret."""
    if not isinstance(value, str):
        raise errors.WrongType(f"{member} must be a string of hexadecimal digits", member=member)
    if not _DIGITS.fullmatch(value):
        message = f"{member} must be 0x followed by 1 to 64 lower-case hexadecimal digits"
        raise errors.InvalidHex(message, member=member)
    return value


# -- writing -------------------------------------------------------------------------------------


def write_ziggy_private_input(private_key: bytes) -> str:
    """The private-input file of a key. It contains the secret."""
    return _input_text({"private_key": to_hex(private_key)})


def write_ziggy_public_input(public_key: Digest, message: str) -> str:
    """The public-input file of a key and a message."""
    return _input_text(_ziggy_statement(public_key, message))


def write_chain_private_input(witness: Sequence[Digest]) -> str:
    """The private-input file of a Rescue chain. It contains the secret."""
    return _input_text({"witness": [_hex_elements(word) for word in witness]})


def write_chain_public_input(output: Digest, chain_length: int) -> str:
    """The public-input file of a Rescue chain."""
    return _input_text({"output": _hex_elements(output), "chain_length": chain_length})


def write_ziggy_proof(file: ZiggyProofFile) -> str:
    """A proof file as the Ziggy prover writes it."""
    statement = _ziggy_statement(file.public_key, file.message)
    return _proof_text(statement, file.parameters, file.proof)


def write_chain_proof(file: ChainProofFile) -> str:
    """A proof file as the Rescue prover writes it."""
    statement = {"output": _hex_elements(file.output), "chain_length": file.chain_length}
    return _proof_text(statement, file.parameters, file.proof)


def _ziggy_statement(public_key: Digest, message: str) -> dict[str, object]:
    return {"message": message, "public_key": _hex_elements(public_key)}


def _hex_elements(elements: Digest) -> list[str]:
    return [hex(element) for element in elements]


def _input_text(value: dict[str, object]) -> str:
    return json.dumps(value, indent=4) + "\n"


def _proof_text(statement: dict[str, object], parameters: Parameters, proof: bytes) -> str:
    file = {
        "proof_hex": to_hex(proof),
        "proof_parameters": parameters.document(),
        "public_input": statement,
    }
    return json.dumps(file, indent="\t", sort_keys=True) + "\n"
