"""`dragon ziggy`: keys and signatures in the file formats of the original Ziggy programs.

A signature is a zero-knowledge proof that the signer knows the private key. Its blinding is fresh
randomness. The original programs derive all blinding from key and message, which `--deterministic`
requests. Two such signatures of one message under different parameters reveal the key, so a key
must only ever sign under `ziggy-classic`.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Final

import click

from dragon.encoding import to_hex
from dragon.stark import files
from dragon.stark.commitment import encode_output
from dragon.stark.parameter_sets import CLASSIC
from dragon.stark.randomness import RHO_BYTES
from dragon.stark.rescue import Digest
from dragon.stark.security import set_security
from dragon.stark.signing import signature
from dragon.stark.ziggy import PRIVATE_KEY_BYTES, public_key
from dragon_cli.errors import KeyHasOneUse, NotTheKey, OtherStatement
from dragon_cli.files import PRIVATE_MODE, check_free, make_folder, read_text, write_new
from dragon_cli.options import EXISTING_FILE, NEW_FILE, file_argument, json_option
from dragon_cli.render.output import console, plain, print_verified
from dragon_cli.render.text import print_json

PRIVATE_INPUT: Final = "ziggy_private_input.json"
PUBLIC_INPUT: Final = "ziggy_public_input.json"
DEFAULT_MESSAGE: Final = "Hello World!"
MAX_FILE_BYTES: Final = 1 << 22  # holds the longest message and a proof with annotations
MAX_KEY_BYTES: Final = 1 << 12
MAX_SHOWN_CHARACTERS: Final = 60  # of a message


@click.group(short_help="Keys and signatures of the original Ziggy programs.")
def ziggy() -> None:
    """Create keys and sign in the formats of the original Ziggy programs."""


@ziggy.command(short_help="Create a key pair.")
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help=f"Folder for {PRIVATE_INPUT} and {PUBLIC_INPUT}.",
)
@click.option("--message", default=DEFAULT_MESSAGE, show_default=True, help="Message to sign.")
@click.option(
    "--private-key-file",
    type=EXISTING_FILE,
    help=(
        "File with an existing private key, in hexadecimal or as a private input (default: a new "
        "random key)."
    ),
)
@json_option
def keygen(output_dir: Path, message: str, private_key_file: Path | None, as_json: bool) -> None:
    """Create a key pair and the input files for signing.

    Existing files are never overwritten, and the private key is never printed.
    """
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
    write_new(private_file, files.write_ziggy_private_input(key), mode=PRIVATE_MODE)
    write_new(public_file, files.write_ziggy_public_input(public, message))
    if as_json:
        made = {"private_input": str(private_file), "public_input": str(public_file)}
        print_json({**made, "drawn": drawn, **_statement(public, message)})
        return
    console.print(f"Public key: {to_hex(encode_output(public))}")
    console.print(f"Private key in {plain(str(private_file))} (mode 0600); never share this file.")
    console.print(f"Public key and message {_shown(message)} in {plain(str(public_file))}.")


@ziggy.command(short_help="Sign a message.")
@click.option(
    "--private",
    "private_file",
    type=EXISTING_FILE,
    required=True,
    help="Private input: the file with the private key.",
)
@click.option(
    "--public",
    "public_file",
    type=EXISTING_FILE,
    required=True,
    help="Public input: the file with public key and message.",
)
@click.option(
    "--parameters",
    "parameters_file",
    type=EXISTING_FILE,
    help="Parameter file; only the parameters of ziggy-classic are accepted.",
)
@click.option(
    "--output",
    type=NEW_FILE,
    required=True,
    help="Proof file to write.",
)
@click.option(
    "--deterministic",
    is_flag=True,
    help="Write the same proof as the original programs, without fresh randomness. Only for a key "
    "that signs under one parameter set: two sets would reveal it.",
)
@json_option
def sign(
    private_file: Path,
    public_file: Path,
    parameters_file: Path | None,
    output: Path,
    deterministic: bool,
    as_json: bool,
) -> None:
    """Sign the message in the public input, with the parameters of ziggy-classic.

    Every signature has fresh randomness, so signing again gives another valid proof.
    """
    key = files.read_ziggy_private_input(read_text(private_file, most=MAX_KEY_BYTES))
    public, message = _read_public(public_file)
    if parameters_file is not None:
        _check_parameters(parameters_file)
    if public_key(key) != public:
        raise NotTheKey("The private key does not belong to the public key in the public input.")
    check_free(output)

    proof = _prove(key, message.encode(), deterministic)

    signed = files.ZiggyProofFile(public, message, CLASSIC.parameters(1), proof)
    signed.verify()  # never publish a proof with a fault: it could reveal the key
    write_new(output, files.write_ziggy_proof(signed))
    if as_json:
        print_json({"proof_file": str(output), "bytes": len(proof), **_statement(public, message)})
        return
    console.print(f"Signed {_shown(message)}; proof of {len(proof)} bytes in {plain(str(output))}.")


@ziggy.command(short_help="Verify a signature.")
@file_argument
@click.option(
    "--public",
    "public_file",
    type=EXISTING_FILE,
    help="Public input with the key and the message that you expect.",
)
@json_option
def verify(file: Path, public_file: Path | None, as_json: bool) -> None:
    """Verify the signature in FILE with the parameters of ziggy-classic.

    Other parameters in FILE are refused.
    """
    signed = files.read_ziggy_proof(read_text(file, most=MAX_FILE_BYTES))
    if public_file is not None and _read_public(public_file) != (signed.public_key, signed.message):
        raise OtherStatement(f"The proof is about another key or message than {public_file}.")
    signed.verify()
    security = set_security(CLASSIC, 1)
    if as_json:
        statement = _statement(signed.public_key, signed.message)
        figures = {"parameter_set": CLASSIC.name, "security": security.rounded()}
        print_json({"verdict": "verified", **statement, **figures})
        return
    by = to_hex(encode_output(signed.public_key))
    print_verified(f"{_shown(signed.message)} is signed by the key {by}.")
    if public_file is None:
        console.print("Key and message come from the file: compare them with `--public`.")
    console.print(f"Security in bits: {security}.")


def _read_key(path: Path) -> bytes:
    """Read hexadecimal digits, with or without 0x, or a private input.

    Raises InvalidEncoding; the message does not quote the key.
    """
    text = read_text(path, most=MAX_KEY_BYTES).strip()
    if not text.startswith("{"):
        text = json.dumps({"private_key": "0x" + text.lower().removeprefix("0x")})
    return files.read_ziggy_private_input(text)


def _read_public(path: Path) -> tuple[Digest, str]:
    return files.read_ziggy_public_input(read_text(path, most=MAX_FILE_BYTES))


def _check_message(message: str) -> None:
    """Raise UsageError for invalid UTF-8, which arrives as surrogates, and for long messages."""
    if len(message) > files.MAX_MESSAGE_CHARACTERS or any(
        "\ud800" <= c <= "\udfff" for c in message
    ):
        raise click.UsageError("`--message` must be UTF-8 text of at most 2^20 characters.")


def _check_parameters(path: Path) -> None:
    """Raise KeyHasOneUse for other parameters than those of ziggy-classic."""
    if files.read_parameters(read_text(path, most=MAX_KEY_BYTES)) != CLASSIC.parameters(1):
        message = (
            f"{path} does not contain the parameters of ziggy-classic. A key must sign under one "
            "set only: deterministic signatures of one message under two sets reveal the key."
        )
        raise KeyHasOneUse(message)


def _prove(key: bytes, message: bytes, deterministic: bool) -> bytes:
    if deterministic:
        return signature.sign_deterministically(key, message)
    return signature.sign(key, message, secrets.token_bytes(RHO_BYTES))


def _statement(public: Digest, message: str) -> dict[str, object]:
    return {"public_key": [hex(element) for element in public], "message": message}


def _shown(message: str) -> str:
    shortened = (
        message if len(message) <= MAX_SHOWN_CHARACTERS else message[:MAX_SHOWN_CHARACTERS] + "…"
    )
    return f'"{plain(shortened)}"'
