"""`dragon ziggy`: keys and signatures, in the files of the original Ziggy programs.

A signature is a zero-knowledge proof that its maker knows the private key. All blinding follows
from key and message, so a key that signs under `ziggy-classic` signs under nothing else: one
message under two sets of parameters reveals it.
"""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path
from typing import Final

import click

from dragon.encoding import to_hex
from dragon.stark import files
from dragon.stark.commitment import encode_output
from dragon.stark.parameter_sets import CLASSIC
from dragon.stark.rescue import Digest
from dragon.stark.security import set_security
from dragon.stark.ziggy import PRIVATE_KEY_BYTES, public_key
from dragon_cli import services
from dragon_cli.errors import KeyHasOneUse, NotTheKey, OtherStatement
from dragon_cli.files import PRIVATE, check_free, make_folder, read_text, write_new
from dragon_cli.options import file_argument, json_option
from dragon_cli.render.output import console, plain, print_json

PRIVATE_INPUT: Final = "ziggy_private_input.json"
PUBLIC_INPUT: Final = "ziggy_public_input.json"
DEFAULT_MESSAGE: Final = "Hello World!"
MAX_FILE_BYTES: Final = 1 << 22  # the longest message, and a proof with its annotations
MAX_KEY_BYTES: Final = 1 << 12
LONGEST_SHOWN: Final = 60  # characters of a message

_existing = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group()
def ziggy() -> None:
    """Keys and zero-knowledge signatures, in the original Ziggy programs' files."""


@ziggy.command()
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help=f"The folder for {PRIVATE_INPUT} and {PUBLIC_INPUT}.",
)
@click.option("--message", default=DEFAULT_MESSAGE, show_default=True, help="What is to be signed.")
@click.option(
    "--private-key-file",
    type=_existing,
    help="Take the key from there, hexadecimal digits or a private input; else one is drawn.",
)
@json_option
def keygen(output_dir: Path, message: str, private_key_file: Path | None, as_json: bool) -> None:
    """Make a key pair and the files to sign with. Overwrites nothing, never shows the key."""
    _check_message(message)
    drawn = private_key_file is None
    key = secrets.token_bytes(PRIVATE_KEY_BYTES)
    if private_key_file is not None:
        key = _read_key(private_key_file)
    public = public_key(key)
    make_folder(output_dir)
    private_file, public_file = output_dir / PRIVATE_INPUT, output_dir / PUBLIC_INPUT
    for file in (private_file, public_file):
        check_free(file)
    write_new(private_file, files.write_ziggy_private_input(key), mode=PRIVATE)
    write_new(public_file, files.write_ziggy_public_input(public, message))
    if as_json:
        made = {"private_input": str(private_file), "public_input": str(public_file)}
        print_json({**made, "drawn": drawn, **_statement(public, message)})
        return
    console.print(f"public key {to_hex(encode_output(public))}")
    console.print(f"{plain(str(private_file))} holds the private key: mode 0600, give it to nobody")
    console.print(f"{plain(str(public_file))} holds public key and message {_shown(message)}")


@ziggy.command()
@click.option("--private", "private_file", type=_existing, required=True, help="Private input.")
@click.option("--public", "public_file", type=_existing, required=True, help="Public input.")
@click.option(
    "--parameters",
    "parameters_file",
    type=_existing,
    help="A parameter file; none but that of ziggy-classic is accepted, and it is the default.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The proof file to write.",
)
@json_option
def sign(
    private_file: Path,
    public_file: Path,
    parameters_file: Path | None,
    output: Path,
    as_json: bool,
) -> None:
    """Sign the message of the public input, under ziggy-classic."""
    key = files.read_ziggy_private_input(read_text(private_file, most=MAX_KEY_BYTES))
    public, message = _read_public(public_file)
    if parameters_file is not None:
        _check_parameters(parameters_file)
    if public_key(key) != public:
        raise NotTheKey("the public input states another key than that of the private input")
    check_free(output)

    proof = _prove(key, message.encode())

    signed = files.ZiggyProofFile(public, message, CLASSIC.parameters(1), proof)
    signed.verify()  # a faulty machine may not publish what it made: it could hold the key
    write_new(output, files.write_ziggy_proof(signed))
    if as_json:
        print_json({"proof_file": str(output), "bytes": len(proof), **_statement(public, message)})
        return
    console.print(f"signed {_shown(message)}: {len(proof)} bytes of proof in {plain(str(output))}")


@ziggy.command()
@file_argument
@click.option(
    "--public",
    "public_file",
    type=_existing,
    help="The public input that you expect: key and message have to be these.",
)
@json_option
def verify(file: Path, public_file: Path | None, as_json: bool) -> None:
    """Check the signature in FILE under ziggy-classic, whatever parameters FILE names."""
    signed = files.read_ziggy_proof(read_text(file, most=MAX_FILE_BYTES))
    if public_file is not None and _read_public(public_file) != (signed.public_key, signed.message):
        raise OtherStatement(f"the proof is about another key or message than {public_file}")
    signed.verify()
    security = set_security(CLASSIC, 1)
    if as_json:
        statement = _statement(signed.public_key, signed.message)
        figures = {"parameter_set": CLASSIC.name, "security": security.rounded()}
        print_json({"verdict": "verified", **statement, **figures})
        return
    by = to_hex(encode_output(signed.public_key))
    console.print(f"[green]verified[/]: {_shown(signed.message)} is signed by the key {by}")
    if public_file is None:
        console.print(
            "key and message are the file's own word; `--public` holds them against yours"
        )
    console.print(f"bits of security: {security}")


def _read_key(path: Path) -> bytes:
    """From digits, with or without 0x, or from a private input. Raises InvalidEncoding, which does
    not quote it."""
    text = read_text(path, most=MAX_KEY_BYTES).strip()
    if not text.startswith("{"):
        text = json.dumps({"private_key": "0x" + text.lower().removeprefix("0x")})
    return files.read_ziggy_private_input(text)


def _read_public(path: Path) -> tuple[Digest, str]:
    return files.read_ziggy_public_input(read_text(path, most=MAX_FILE_BYTES))


def _check_message(message: str) -> None:
    """Bytes on the command line that are no UTF-8 arrive as half characters."""
    if len(message) > files.MAX_MESSAGE_CHARACTERS or any(
        "\ud800" <= c <= "\udfff" for c in message
    ):
        raise click.UsageError("`--message` is a text in UTF-8 of at most 2^20 characters")


def _check_parameters(path: Path) -> None:
    """Raises KeyHasOneUse: not those of ziggy-classic."""
    if files.read_parameters(read_text(path, most=MAX_KEY_BYTES)) != CLASSIC.parameters(1):
        message = (
            "these are other parameters than those of ziggy-classic; a key signs under no others, "
            "for one message under two sets of parameters reveals it"
        )
        raise KeyHasOneUse(message)


def _prove(key: bytes, message: bytes) -> bytes:
    services.check_prover_extra("Signing")
    # Here, because every other command does without the compiler behind it.
    from dragon.stark.prover import warmup  # noqa: PLC0415
    from dragon.stark.prover.ziggy import prove_ziggy  # noqa: PLC0415

    warmup.warm_up(_progress if sys.stderr.isatty() else lambda *_: None)
    return prove_ziggy(key, message)


def _progress(kernel: str, done: int, total: int) -> None:
    told = f"kernels for this processor: {done} of {total}" if kernel else ""
    click.echo(f"\r{told:48}\r", nl=False, err=True)


def _statement(public: Digest, message: str) -> dict[str, object]:
    return {"public_key": [hex(element) for element in public], "message": message}


def _shown(message: str) -> str:
    shortened = message if len(message) <= LONGEST_SHOWN else message[:LONGEST_SHOWN] + "…"
    return f'"{plain(shortened)}"'
