"""`dragon verify receipt`: every link from data to the certified log, each by itself, offline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from dragon.encoding import to_hex
from dragon.errors import DragonError
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.streams.chunks import MAX_CHUNK_BYTES, digest_of
from dragon.protocol.streams.receipt import MAX_RECEIPT_BYTES, Receipt
from dragon.protocol.streams.receipt_verification import (
    Check,
    Outcome,
    is_complete,
    refused,
    verify,
)
from dragon_cli.errors import ReceiptRefused
from dragon_cli.files import read_bytes
from dragon_cli.fleet.layout import load_committee
from dragon_cli.options import committee_option, file_argument, json_option
from dragon_cli.render.output import console, moment, plain, print_json

MARKS: Final = {
    Outcome.HOLDS: "[green]✓[/]",
    Outcome.REFUSED: "[red]✗[/]",
    Outcome.ABSENT: "[yellow]–[/]",
}


@click.command()
@file_argument
@committee_option
@click.option(
    "--data",
    "data_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What the receipt is said to be for: the bytes of its chunk.",
)
@json_option
def receipt(file: Path, committee_file: Path, data_file: Path | None, as_json: bool) -> None:
    """Check a receipt: when its data existed, link by link, from the data to the certified log."""
    committee = load_committee(committee_file)
    held = load(file)
    data = None if data_file is None else read_bytes(data_file, most=MAX_CHUNK_BYTES)
    checks = verify(committee, held, data)
    if not as_json:
        for check in checks:
            console.print(f"{MARKS[check.outcome]} {check.name:10} {plain(check.detail)}")
    accept(held, checks)
    if as_json:
        print_json(told(held, checks))
        return
    for line in (_verdict(checks, file), *_statement(held, checks, committee)):
        console.print(line)


def load(file: Path) -> Receipt:
    """Raises UnusableFile; TooLarge, InvalidEncoding, InvalidStream, UnknownKind: no receipt. The
    message says in which file and, as does the fact `field`, in which of its members."""
    raw = read_bytes(file, most=MAX_RECEIPT_BYTES)
    try:
        return Receipt.decode(raw)
    except DragonError as error:
        if field := error.facts.get("field", error.facts.get("member")):
            error.facts["field"] = field
        within = f"in {field}: " if field and str(field) not in str(error) else ""
        error.args = (f"{file}: {within}{error}",)
        raise


def accept(held: Receipt, checks: Sequence[Check]) -> None:
    """Raises ReceiptRefused: a check is refused; the first that is, and who of it must be wrong."""
    for check in refused(checks):
        names = ", ".join(check.fields)
        wrong = f"{names} is wrong" if len(check.fields) == 1 else f"one of {names} is wrong"
        message = f"{check.name}: {check.detail}; {wrong}"
        raise ReceiptRefused(message, *check.fields, check=check.name, told=told(held, checks))


def told(held: Receipt, checks: Sequence[Check]) -> dict[str, object]:
    """All of it for programs. What is refused states no times."""
    right = not refused(checks)
    claim, place = held.event.claim, held.place
    times = {
        "received_ms": held.chunk.received_ms,  # the stream's own word
        "timestamp": claim.timestamp if isinstance(claim, WindowClaim) else None,
        "ledger_time": place.ledger_time if place else None,
    }
    return {
        "verdict": "verified" if right else "refused",
        "complete": is_complete(checks),
        "stream": to_hex(held.descriptor.id),
        "name": held.descriptor.name,
        "window": held.header.number,
        "chunk": held.chunk.sequence,
        "times": times if right else None,
        "checks": [_check(check) for check in checks],
    }


def _check(check: Check) -> dict[str, object]:
    return {
        "name": check.name,
        "outcome": str(check.outcome),
        "detail": check.detail,
        "refusal": check.refusal,
        "fields": list(check.fields),
    }


def _verdict(checks: Sequence[Check], file: Path) -> str:
    if is_complete(checks):
        return "[green]verified[/]"
    wanting = "no certified checkpoint covers it yet"
    adds = f"`dragon receipt complete {plain(str(file))}` adds it"
    return f"[green]verified[/], but incomplete: {wanting}; {adds}"


def _statement(held: Receipt, checks: Sequence[Check], committee: Committee) -> Iterator[str]:
    """What is stated, by whom, and what is only the stream's own word."""
    claim, place, stream = held.event.claim, held.place, held.descriptor
    looked_at = checks[0].outcome is Outcome.HOLDS
    yield f"{_bytes(held, looked_at)} are chunk {held.chunk.sequence} of stream {stream.name}"
    if isinstance(claim, WindowClaim):
        by = f"{len(held.event.signers)} of {len(committee.operators)} operators"
        at = moment(claim.timestamp)
        yield f"they existed not later than in the round from {at}, by the word of {by}"
    if place:
        yield f"their window was on the ledger at {moment(place.ledger_time)}"
    received = moment(held.chunk.received_ms // 1000)
    yield f"that they were received at {received} is the stream's own word, and nobody else's"
    if not looked_at:
        yield "the data was not looked at: `--data` holds a file against the receipt"


def _bytes(held: Receipt, looked_at: bool) -> str:
    chunk = held.chunk
    if looked_at:
        return f"these {chunk.length} bytes"
    if held.opening is None:
        return f"the {chunk.length} bytes behind the commitment {to_hex(chunk.commitment)}"
    return f"the {chunk.length} bytes with the digest {to_hex(digest_of(held.opening))}"
