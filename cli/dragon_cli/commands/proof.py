"""`dragon proof`: proofs of many values at once, checked under a set that the asker names."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click

from dragon.encoding import Json, Members, from_hex, parse, to_hex
from dragon.stark.blocks import MAX_CHUNKS, verify_blocks, verify_window, window_outputs
from dragon.stark.commitment import OUTPUT_BYTES
from dragon.stark.parameter_sets import MAX_BLOCKS, SETS, is_block_count
from dragon.stark.security import set_security
from dragon_cli.errors import OtherParameters
from dragon_cli.files import read_bytes
from dragon_cli.options import file_argument, json_option
from dragon_cli.render.output import console, print_json
from dragon_cli.render.parameters import CAVEATS, figures, table, warning

MAX_MESSAGE_BYTES: Final = 1 << 16
MAX_PROOF_BYTES: Final = 1 << 19
MAX_FILE_BYTES: Final = 1 << 21  # the most outputs, the longest message and proof, in digits
LONGEST_SHOWN: Final = 66  # digits of a message

_set_type = click.Choice(list(SETS))


def _power_of_two(
    _context: click.Context, _option: click.Parameter, blocks: int | None
) -> int | None:
    if blocks is not None and not is_block_count(blocks):
        raise click.BadParameter(f"{blocks} is no power of two")
    return blocks


@dataclass(frozen=True, slots=True)
class Question:
    """A statement and what is said to prove it. Nothing of it has been checked."""

    outputs: tuple[bytes, ...]
    window: bool  # the first output is an identity, the others are commitments, without padding
    message: bytes
    proof: bytes = field(repr=False)

    def verify(self, parameter_set: str) -> int:
        """How many blocks were proven. Raises ProofRefused."""
        outputs = list(self.outputs)
        if not self.window:
            verify_blocks(parameter_set, outputs, self.message, self.proof)
            return len(outputs)
        identity, *commitments = outputs
        verify_window(parameter_set, identity, commitments, self.message, self.proof)
        return len(window_outputs(identity, commitments))


@click.group()
def proof() -> None:
    """Zero-knowledge proofs of many values: checking them, and how much they are worth."""


@proof.command()
@file_argument
@click.option(
    "--set",
    "parameter_set",
    type=_set_type,
    default="standard",
    show_default=True,
    help="What you accept, whatever FILE says.",
)
@click.option(
    "--proof",
    "proof_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The proof in bytes, where FILE holds the statement only.",
)
@json_option
def verify(file: Path, parameter_set: str, proof_file: Path | None, as_json: bool) -> None:
    """Check a proof: FILE is what POST /verifications takes, in JSON.

    Its `statement` has a `message`, and either `outputs`, padding included, or `identity` and
    `commitments`, whose padding is built here.
    """
    given = None if proof_file is None else read_bytes(proof_file, most=MAX_PROOF_BYTES)
    asked = _question(parse(read_bytes(file, most=MAX_FILE_BYTES)), parameter_set, given)

    blocks = asked.verify(parameter_set)

    security = set_security(SETS[parameter_set], blocks)
    chunks = len(asked.outputs) - 1 if asked.window else None
    if as_json:
        told = {"verdict": "verified", "parameter_set": parameter_set, "blocks": blocks}
        message = {"chunks": chunks, "message": to_hex(asked.message)}
        print_json({**told, **message, "security": security.rounded()})
        return
    what = f"{blocks} outputs" if chunks is None else f"the identity and {chunks} commitments"
    bound = _shown(asked.message)
    console.print(
        f"[green]verified[/]: the preimages of {what} are known, bound to message {bound}"
    )
    console.print("the statement is the file's own word: compare it with what you expect")
    console.print(f"bits of security under {parameter_set}: {security}")


@proof.command()
@click.argument("name", type=_set_type)
@click.option("--chunks", type=click.IntRange(0, MAX_CHUNKS), help="For windows of so many chunks.")
@click.option(
    "--blocks",
    type=click.IntRange(1, MAX_BLOCKS),
    callback=_power_of_two,
    help="For proofs of so many values, a power of two.",
)
@json_option
def security(name: str, chunks: int | None, blocks: int | None, as_json: bool) -> None:
    """Show what the parameter set NAME gives: three figures, their level, and a proof's size."""
    if chunks is not None and blocks is not None:
        raise click.UsageError("`--chunks` and `--blocks` are two ways to say the same")
    chosen = SETS[name]
    if chunks is not None:
        blocks = 1 << chunks.bit_length()
    counts = chosen.block_counts() if blocks is None else [blocks]
    rows = [figures(chosen, count) for count in counts]
    warned = warning(chosen)
    if as_json:
        heeded = {"warning": warned} if warned else {}
        print_json({"parameter_set": name, **heeded, "figures": rows})
        return
    console.print(table(chosen, rows))
    for caveat in CAVEATS:
        console.print(caveat)
    if warned:
        console.print(f"[yellow]warning[/]: {warned}")


def _question(value: Json, parameter_set: str, given: bytes | None) -> Question:
    """Raises InvalidEncoding; OtherParameters: the file names another set."""
    members = Members(value, "the file")
    if "parameter_set" in members:
        named = members.word("parameter_set", SETS)
        if named != parameter_set:
            message = f"the file is about {named}, and what you accept is {parameter_set}"
            raise OtherParameters(message)
    outputs, window, message_bytes = _statement(members.take("statement"))
    shown = members.hex("proof", size=range(MAX_PROOF_BYTES + 1)) if given is None else given
    members.end()
    return Question(outputs, window, message_bytes, shown)


def _statement(value: Json) -> tuple[tuple[bytes, ...], bool, bytes]:
    """Outputs; whether they are those of a window without its padding; message."""
    said = Members(value, "the statement")
    window = "identity" in said
    if window:
        identity = said.hex("identity", size=OUTPUT_BYTES)
        commitments = said.list("commitments", most=MAX_CHUNKS)
        outputs = (identity, *(_output(each, "commitments") for each in commitments))
    else:
        listed = said.list("outputs", most=MAX_BLOCKS)
        outputs = tuple(_output(each, "outputs") for each in listed)
    message = said.hex("message", size=range(MAX_MESSAGE_BYTES + 1))
    said.end()
    return outputs, window, message


def _output(value: Json, member: str) -> bytes:
    return from_hex(value, member=member, size=OUTPUT_BYTES)


def _shown(message: bytes) -> str:
    digits = to_hex(message)
    if len(digits) <= LONGEST_SHOWN:
        return digits
    return f"{digits[:LONGEST_SHOWN]}… of {len(message)} bytes"
