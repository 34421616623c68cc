"""`dragon proof`: verify zero-knowledge proofs of many values under a chosen parameter set."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from dragon.encoding import parse
from dragon.stark.blocks import MAX_CHUNKS
from dragon.stark.parameter_sets import MAX_BLOCKS, SETS, is_block_count, strict_set
from dragon.stark.security import set_security
from dragon_cli.files import read_bytes
from dragon_cli.options import EXISTING_FILE, file_argument, json_option
from dragon_cli.proof_request import MAX_PROOF_BYTES, ProofRequest
from dragon_cli.render.output import console, print_verified
from dragon_cli.render.parameters import CAVEATS, figures, table, warning
from dragon_cli.render.text import print_json

MAX_FILE_BYTES: Final = 1 << 21  # holds the largest statement and proof in hexadecimal

_set_type = click.Choice(list(SETS))


def _power_of_two(
    _context: click.Context, _option: click.Parameter, blocks: int | None
) -> int | None:
    if blocks is not None and not is_block_count(blocks):
        raise click.BadParameter(f"{blocks} is not a power of two.")
    return blocks


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
    `commitments` (padding is added). A statement of `kind` "readings" also has `carried` and
    `bounds`.
    """
    given = None if proof_file is None else read_bytes(proof_file, most=MAX_PROOF_BYTES)
    value = parse(read_bytes(file, most=MAX_FILE_BYTES))
    request = ProofRequest.from_json(value, parameter_set, given)

    blocks = request.verify(parameter_set)

    security = set_security(SETS[parameter_set], blocks)
    if as_json:
        report = {"verdict": "verified", "parameter_set": parameter_set, "blocks": blocks}
        print_json({**report, **request.report(), "security": security.rounded()})
        return
    print_verified(request.sentence())
    for line in request.details():
        console.print(line)
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
@click.option(
    "--readings",
    is_flag=True,
    help="Show proofs about readings, which are larger; --chunks then counts readings.",
)
@json_option
def security(
    name: str, chunks: int | None, blocks: int | None, readings: bool, as_json: bool
) -> None:
    """Show security and proof size of a parameter set."""
    if chunks is not None and blocks is not None:
        raise click.UsageError("`--chunks` and `--blocks` cannot be used together.")
    if chunks is not None:
        blocks = 1 << chunks.bit_length()
    if readings and blocks == 1:
        raise click.UsageError("A proof about readings has at least 1 chunk, hence 2 blocks.")
    chosen = strict_set(name) if readings else SETS[name]
    counts = chosen.block_counts()[readings:] if blocks is None else [blocks]
    rows = [figures(chosen, count, readings=readings) for count in counts]
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
