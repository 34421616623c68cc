"""`dragon rounds`: the latest rounds of an aggregator: probes, suspicions and attestations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from dragon.encoding import Json
from dragon.net.http_client import HttpClient
from dragon_cli.completions import complete_ranks
from dragon_cli.fleet import current, queries
from dragon_cli.fleet.layout import Home
from dragon_cli.options import ca_option, home_option, json_option
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import moment, print_json
from dragon_cli.render.watch import check_watch, follow, watch_options

Row = dict[str, Json]

MAX_ROUNDS: Final = 120  # that an aggregator keeps


@click.command(short_help="Show the latest rounds of an aggregator.")
@home_option
@ca_option
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_ROUNDS),
    default=10,
    show_default=True,
    help="Maximum number of rounds.",
)
@click.option(
    "--aggregator",
    "rank",
    shell_complete=complete_ranks,
    type=click.IntRange(0, 63),
    metavar="RANK",
    help="Rank of the aggregator to query (default: the first to respond).",
)
@watch_options("Print further rounds as they end, until interrupted.")
@json_option
def rounds(
    home: Path,
    ca: Path | None,
    limit: int,
    rank: int | None,
    watching: bool,
    every: int | None,
    as_json: bool,
) -> None:
    """Show the latest rounds of an aggregator.

    For each round: failed probes, operators' suspicions, claims and operators' answers.
    """
    seconds = check_watch(watching=watching, every=every, as_json=as_json)
    http = queries.connect(Home(home), ca)
    asked = queries.aggregators(current.committee(Home(home), http), rank)
    if watching:
        follow(_Follower(asked, http, limit).print_new, seconds)
        return
    name, page = queries.first_list(asked, http, "rounds", limit=limit)
    if as_json:
        print_json({**page, "aggregator": asked[name]})
        return
    console.print(f"Rounds of {plain(name)}, newest first:")
    for row in queries.rows(page, "rounds"):
        console.print("\n".join(_round(row)))


class _Follower:
    """Prints each round once, when it has ended."""

    def __init__(self, asked: dict[str, str], http: HttpClient, limit: int) -> None:
        self._asked, self._http, self._limit = asked, http, limit
        self._last = -1  # number of the newest round that was printed

    def print_new(self) -> None:
        """Print the rounds that have ended since the last call; at first only the newest."""
        _, page = queries.first_list(self._asked, self._http, "rounds", limit=MAX_ROUNDS)
        new = [
            (number, row)
            for row in queries.rows(page, "rounds")
            if isinstance(number := row.get("number"), int)
            and number > self._last
            and row.get("took_ms") is not None
        ]
        for number, row in reversed(new[: self._limit]):
            self._last, self._limit = number, MAX_ROUNDS
            console.print("\n".join(_round(row)))


def _round(row: Row) -> Iterator[str]:
    took = row.get("took_ms")
    lasted = "in progress" if took is None else f"took {_text(took)} ms"
    overran = ", [red]longer than a round[/]" if row.get("overran") is True else ""
    start = moment(row.get("start"))
    yield f"[bold]{_text(row.get('number'))}[/]  {start}  {lasted}{overran}"
    if row.get("note"):
        yield f"    {_text(row['note'])}"
    for probe in queries.rows(row, "probes"):
        if probe.get("seen") != "up":
            name, reason = _text(probe.get("node_id")), _text(probe.get("reason"))
            yield f"    [red]✗[/] probe of {name} failed: {reason}, {_ms(probe)}"
    for suspicion in queries.rows(row, "suspicions"):
        yield _suspicion(suspicion)
    if omitted := row.get("suspicions_omitted"):
        yield f"    further suspicions, which are not listed: {_text(omitted)}"
    for attestation_round in queries.rows(row, "gatherings"):
        yield from _attestation_round(attestation_round)


def _suspicion(row: Row) -> str:
    what = f"{_text(row.get('node_id'))} is {_text(row.get('status'))}"
    outcome = _text(row.get("outcome")).replace("_", " ")
    why = f"  ({_text(row['detail'])})" if row.get("detail") else ""
    who, after = _text(row.get("operator")), _text(row.get("after_ms"))
    return f"    suspicion from {who} after {after} ms, {what}: {outcome}{why}"


def _attestation_round(row: Row) -> Iterator[str]:
    certified = row.get("certified") is True
    needed = _text(row.get("needed"))
    outcome = "[green]certified[/]" if certified else "[yellow]not certified[/]"
    yield f"    {_claim(row.get('claim'))}: {outcome}, {needed} signatures needed"
    for answer in queries.rows(row, "answers"):
        operator, result = _text(answer.get("operator")), _text(answer.get("answer"))
        why = f"  ({_text(answer['detail'])})" if answer.get("detail") else ""
        yield f"        {operator}  {result}  {_ms(answer)}{why}".rstrip()


def _claim(claim: Json) -> str:
    """Return a claim about a status or the log in words, any other as a list of its members."""
    if not isinstance(claim, dict):
        return _text(claim)
    if claim.get("kind") == "checkpoint":
        return f"checkpoint of {_text(claim.get('size'))} entries"
    if "status" in claim:
        return f"{_text(claim.get('node_id'))} is {_text(claim['status'])}"
    return ", ".join(f"{_text(name)} {_text(value)}" for name, value in claim.items())


def _ms(row: Row) -> str:
    latency = row.get("latency_ms")
    return "" if latency is None else f"{_text(latency)} ms"


def _text(value: Json) -> str:
    return plain(str(value))
