"""`dragon proof`: verify zero-knowledge proofs of many values under a chosen parameter set."""

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
from dragon_cli.options import EXISTING_FILE, file_argument, json_option
from dragon_cli.render.output import console, print_verified
from dragon_cli.render.parameters import CAVEATS, figures, table, warning
from dragon_cli.render.text import print_json

MAX_MESSAGE_BYTES: Final = 1 << 16
MAX_PROOF_BYTES: Final = 1 << 19
MAX_FILE_BYTES: Final = 1 << 21  # holds the largest statement and proof in hexadecimal
MAX_SHOWN_DIGITS: Final = 66  # of a message

_set_type = click.Choice(list(SETS))


def _power_of_two(
    _context: click.Context, _option: click.Parameter, blocks: int | None
) -> int | None:
    if blocks is not None and not is_block_count(blocks):
        raise click.BadParameter(f"{blocks} is not a power of two.")
    return blocks


@dataclass(frozen=True, slots=True)
class ProofRequest:
    """A statement and its alleged proof, not verified yet."""

    outputs: tuple[bytes, ...]
    window: bool  # the outputs are an identity and commitments, without padding
    message: bytes
    proof: bytes = field(repr=False)

    def verify(self, parameter_set: str) -> int:
        """Verify the proof; return the number of proven blocks. Raises ProofRefused."""
        outputs = list(self.outputs)
        if not self.window:
            verify_blocks(parameter_set, outputs, self.message, self.proof)
            return len(outputs)
        identity, *commitments = outputs
        verify_window(parameter_set, identity, commitments, self.message, self.proof)
        return len(window_outputs(identity, commitments))


@click.group()
def proof() -> None:
    """Verify zero-knowledge proofs and show their security."""


@proof.command(short_help="Verify a zero-knowledge proof.")
@file_argument
@click.option(
    "--set",
    "parameter_set",
    type=_set_type,
    default="standard",
    show_default=True,
    help="Parameter set that you accept; FILE cannot change it.",
)
@click.option(
    "--proof",
    "proof_file",
    type=EXISTING_FILE,
    help="File with the proof in binary form, if FILE contains the statement only.",
)
@json_option
def verify(file: Path, parameter_set: str, proof_file: Path | None, as_json: bool) -> None:
    """Verify the proof in FILE, a JSON request as for POST /verifications.

    Its `statement` has a `message`, and either `outputs` (including padding) or `identity` and
    `commitments` (padding is added).
    """
    given = None if proof_file is None else read_bytes(proof_file, most=MAX_PROOF_BYTES)
    request = _request(parse(read_bytes(file, most=MAX_FILE_BYTES)), parameter_set, given)

    blocks = request.verify(parameter_set)

    security = set_security(SETS[parameter_set], blocks)
    chunks = len(request.outputs) - 1 if request.window else None
    if as_json:
        report = {"verdict": "verified", "parameter_set": parameter_set, "blocks": blocks}
        message = {"chunks": chunks, "message": to_hex(request.message)}
        print_json({**report, **message, "security": security.rounded()})
        return
    what = f"{blocks} outputs" if chunks is None else f"the identity and {chunks} commitments"
    message_shown = _shown(request.message)
    print_verified(f"the prover knew the preimages of {what}, for message {message_shown}.")
    console.print("The statement comes from the file: compare it with the one that you expect.")
    console.print(f"Security in bits under {parameter_set}: {security}.")


@proof.command(short_help="Show the security of a parameter set.")
@click.argument("name", type=_set_type)
@click.option(
    "--chunks",
    type=click.IntRange(0, MAX_CHUNKS),
    help="Show windows with this number of chunks only.",
)
@click.option(
    "--blocks",
    type=click.IntRange(1, MAX_BLOCKS),
    callback=_power_of_two,
    help="Show proofs of this number of values only; a power of two.",
)
@json_option
def security(name: str, chunks: int | None, blocks: int | None, as_json: bool) -> None:
    """Show security and proof size of a parameter set."""
    if chunks is not None and blocks is not None:
        raise click.UsageError("`--chunks` and `--blocks` cannot be used together.")
    chosen = SETS[name]
    if chunks is not None:
        blocks = 1 << chunks.bit_length()
    counts = chosen.block_counts() if blocks is None else [blocks]
    rows = [figures(chosen, count) for count in counts]
    warned = warning(chosen)
    if as_json:
        extra = {"warning": warned} if warned else {}
        print_json({"parameter_set": name, **extra, "figures": rows})
        return
    console.print(table(chosen, rows))
    for caveat in CAVEATS:
        console.print(caveat)
    if warned:
        console.print(f"[yellow]warning[/]: {warned}")


def _request(value: Json, parameter_set: str, given: bytes | None) -> ProofRequest:
    """Decode a request. Raises InvalidEncoding, OtherParameters."""
    members = Members(value, "the file")
    if "parameter_set" in members:
        named = members.word("parameter_set", SETS)
        if named != parameter_set:
            message = f"The file names the parameter set {named}; `--set` accepts {parameter_set}."
            raise OtherParameters(message)
    outputs, window, message_bytes = _statement(members.take("statement"))
    shown = members.hex("proof", size=range(MAX_PROOF_BYTES + 1)) if given is None else given
    members.end()
    return ProofRequest(outputs, window, message_bytes, shown)


def _statement(value: Json) -> tuple[tuple[bytes, ...], bool, bytes]:
    """Return outputs, whether they are those of a window without padding, and message."""
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
    if len(digits) <= MAX_SHOWN_DIGITS:
        return digits
    return f"{digits[:MAX_SHOWN_DIGITS]}… ({len(message)} bytes)"
