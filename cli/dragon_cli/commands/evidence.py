"""`dragon evidence`: collect what every operator saw of a node and answered, into one file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click

from dragon.protocol.evidence.contradictions import contradictions
from dragon.protocol.evidence.verification import verify
from dragon.protocol.trust import Trust
from dragon_cli.completions import complete_nodes
from dragon_cli.files import check_free, write_new
from dragon_cli.fleet import current, queries
from dragon_cli.fleet.evidence import Collector
from dragon_cli.fleet.layout import Home
from dragon_cli.options import NEW_FILE, ca_option, home_option, json_option
from dragon_cli.render import evidence as shown
from dragon_cli.render.output import console
from dragon_cli.render.text import print_json
from dragon_cli.times import FORMS, TimeInput, TimeType
from dragon_cli.trust import check_node, held

AROUND_SECONDS: Final = 120
MAX_AROUND_SECONDS: Final = 86_400


@click.command(short_help="Collect the operators' signed records about a node.")
@click.argument("node", shell_complete=complete_nodes)
@click.option(
    "--at", "moment", metavar="TIME", type=TimeType(), required=True, help=f"When: {FORMS}."
)
@click.option(
    "--around",
    metavar="SECONDS",
    type=click.IntRange(10, MAX_AROUND_SECONDS),
    default=AROUND_SECONDS,
    show_default=True,
    help="Seconds before and after, for which records are collected.",
)
@click.option(
    "-o", "--output", type=NEW_FILE, help="File to write (default: evidence-NODE-TIME.json)."
)
@home_option
@ca_option
@json_option
def evidence(
    node: str,
    moment: TimeInput,
    around: int,
    output: Path | None,
    home: Path,
    ca: Path | None,
    as_json: bool,
) -> None:
    """Ask all operators what they saw of NODE and answered around TIME; write it to one file.

    The file is about the certified change of NODE's status nearest to TIME, within the seconds of
    `--around`, or about TIME itself if there is none. Anybody checks it with `dragon verify
    evidence`. Operators keep their records for 30 days: collect them before you dispute something.
    """
    http = queries.connect(Home(home), ca)
    trust = Trust(current.newer(held(Home(home)), http))
    collector = Collector(trust, http, check_node(Home(home), node))
    event, middle = collector.transition(moment.at, around)
    path = output or Path(f"evidence-{node}-{middle}.json")
    check_free(path)
    begin, end = max(0, middle - around), middle + around
    collected = collector.collect(event, begin, end, now=int(time.time()))
    verified = verify(collected, trust)
    write_new(path, collected.encode().decode())
    found = contradictions([verified])
    if as_json:
        told = {**shown.facts(verified), "contradictions": shown.contradiction_facts(found)}
        print_json({"file": str(path), **told})
        return
    console.print(shown.statement(verified))
    console.print(shown.table(verified))
    shown.contradiction_lines(found)
    console.print(f"Written to {path}; `dragon verify evidence {path}` checks it.")
