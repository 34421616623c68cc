"""`dragon verify receipt`: verify every link from the data to the certified log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from dragon.encoding import from_hex
from dragon.protocol.merkle import HASH_BYTES
from dragon.protocol.streams.chunks import MAX_CHUNK_BYTES
from dragon.protocol.streams.receipt_verification import Check, is_complete, verify
from dragon_cli import receipts
from dragon_cli.command_line import command_of
from dragon_cli.completions import complete_stream_ids
from dragon_cli.files import read_bytes
from dragon_cli.options import EXISTING_FILE, file_argument, json_option, trust_options
from dragon_cli.render.output import console, plain
from dragon_cli.render.receipts import check_line, statement
from dragon_cli.render.text import print_json
from dragon_cli.trust import facts, knowledge, load_trust


@click.command(short_help="Verify a receipt and show when its data existed.")
@file_argument
@trust_options
@click.option(
    "--data",
    "data_file",
    type=EXISTING_FILE,
    help="File with the data of the receipt's chunk, to compare with the receipt.",
)
@click.option(
    "--stream",
    "stream",
    metavar="ID",
    shell_complete=complete_stream_ids,
    help="Id (0x…) of the stream to which the receipt must belong; names are self-chosen.",
)
@json_option
def receipt(
    file: Path,
    committee_file: Path | None,
    trust_from: int | None,
    data_file: Path | None,
    stream: str | None,
    as_json: bool,
) -> None:
    """Verify the receipt in FILE, link by link from the data to the certified log.

    Shows when the data existed, and which statements are not certified. Anyone can have a stream of
    any name: compare the stream's id, or pass the expected one with `--stream`. The receipt of a
    committee that has handed over counts if a newer checkpoint or a handover covers it.
    """
    expected = None if stream is None else from_hex(stream, member="--stream", size=HASH_BYTES)
    trust = load_trust(committee_file, trust_from)
    held = receipts.load(file)
    data = None if data_file is None else read_bytes(data_file, most=MAX_CHUNK_BYTES)
    checks = verify(trust, held, data, stream=expected)
    if not as_json:
        for check in checks:
            console.print(check_line(check))
    receipts.raise_refused(held, checks, file)
    committee = trust.lineage.named(held.event.committee_id)
    if as_json:
        print_json({**receipts.report(held, checks), **facts(trust, committee)})
        return
    for line in (_verdict(checks, file), *statement(held, checks, trust)):
        console.print(line)
    console.print(knowledge(trust, committee))


def _verdict(checks: Sequence[Check], file: Path) -> str:
    if is_complete(checks):
        return "[green]verified[/]"
    return (
        "[green]verified[/], but incomplete: no certified checkpoint covers the receipt yet; "
        f"`{plain(command_of('receipt', 'complete', file))}` adds it later."
    )
