"""`dragon receipt complete`: add the certified mark to new receipts, and renew old ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from dragon.encoding import to_hex
from dragon.errors import DragonError
from dragon.protocol.streams.receipt_verification import verify
from dragon_cli import receipts
from dragon_cli.files import check_free, write_new, write_whole
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.receipts import ReceiptCompleter, needs_mark
from dragon_cli.options import (
    EXISTING_FILE,
    NEW_FILE,
    UrlType,
    ca_option,
    home_option,
    json_option,
    trust_options,
)
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json
from dragon_cli.trust import load_trust

STATES: Final = {
    "completed": "[green]completed[/]",
    "renewed": "[green]renewed[/]",
    "already": "already complete",
}


@dataclass(frozen=True, slots=True)
class Result:
    """The result for one file."""

    file: Path
    state: str  # completed, renewed, already or failed
    error: DragonError | None = None
    stream: str = ""  # id, 0x…; empty if the file could not be read

    def to_json(self) -> dict[str, object]:
        """Return the result for programs."""
        report: dict[str, object] = {"file": str(self.file), "state": self.state}
        if self.stream:
            report["stream"] = self.stream
        if self.error:
            report |= {"reason": self.error.name, "detail": str(self.error)}
        return report


@click.group()
def receipt() -> None:
    """Complete the receipts of a stream."""


@receipt.command(short_help="Add the certified checkpoint to receipts, or renew them.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=EXISTING_FILE)
@trust_options
@click.option(
    "--url",
    "urls",
    type=UrlType(),
    multiple=True,
    help="URL of an operator, or of several (default: the operators of the committee file).",
)
@home_option
@ca_option
@click.option(
    "--output",
    type=NEW_FILE,
    help="Write the completed receipt to this file and leave FILE unchanged.",
)
@json_option
def complete(
    files: tuple[Path, ...],
    committee_file: Path | None,
    trust_from: int | None,
    urls: tuple[str, ...],
    home: Path,
    ca: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Add the certified checkpoint that covers it to each receipt FILE.

    The checkpoint is requested from the operators and verified, so any address may give it: with
    containers, `--url` is the published port of one. A complete receipt is unchanged.

    After the committee has handed over, the handover replaces the checkpoint of its receipts: run
    this command once more. Then a receipt counts under every later committee.
    """
    if output:
        if len(files) > 1:
            raise click.UsageError(f"`--output` accepts one FILE, not {len(files)}.")
        check_free(output)
    fleet = Home(home)
    trust = load_trust(committee_file, trust_from, fleet)
    peers = {url: url for url in urls} or queries.operators(trust.newest, None)
    completer = ReceiptCompleter(trust, queries.connect(fleet, ca), peers)
    results = [_complete(completer, file, output) for file in files]
    _raise_first(results)
    if as_json:
        print_json({"verdict": "verified", "receipts": [result.to_json() for result in results]})
        return
    for result in results:
        what = f"{plain(str(result.file))}, a receipt of stream {result.stream}"
        console.print(f"{STATES[result.state]}: {what}")


def _complete(completer: ReceiptCompleter, file: Path, output: Path | None) -> Result:
    """Complete one receipt. Never raises a DragonError, so that other files may follow."""
    stream = ""
    try:
        held = receipts.load(file)
        stream = to_hex(held.descriptor.id)
        checks = verify(completer.trust, held)
        for_good = [check for check in checks if not receipts.is_superseded(check)]
        receipts.raise_refused(held, for_good, file)
        already = not needs_mark(held, checks, completer.trust)
        state = "already" if already else "renewed" if held.place else "completed"
        if not already:
            held = completer.complete(held)
        text = json.dumps(held.to_json(), indent=2) + "\n"
        if output:
            write_new(output, text)
        elif not already:
            write_whole(file, text)
    except DragonError as error:
        if str(file) not in str(error):
            error.args = (f"{file}: {error}",)
        return Result(file, "failed", error, stream)
    return Result(file, state, stream=stream)


def _raise_first(results: Sequence[Result]) -> None:
    """Raise the first error, if any; its fact `receipts` reports the result of every file."""
    failures = [result.error for result in results if result.error]
    if not failures:
        return
    if len(results) > 1:
        count = f"{len(failures)} of {len(results)} receipts are not complete; the first:"
        failures[0].args = (f"{count} {failures[0]}",)
    failures[0].facts["receipts"] = [result.to_json() for result in results]
    raise failures[0]
