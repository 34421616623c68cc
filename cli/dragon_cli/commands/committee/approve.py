"""`dragon committee approve`: the owner's yes to the next committee, on the operator's own host."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from dragon.encoding import to_hex
from dragon.protocol.committee import Committee, short_id
from dragon.protocol.differences import differences, redirect_hosts
from dragon.protocol.lineage import Lineage
from dragon_cli.committee_files import read_new_committee, read_nodes
from dragon_cli.errors import NodeListMissing, OtherCommittee
from dragon_cli.fleet import approving, own_operators
from dragon_cli.fleet.layout import Home
from dragon_cli.options import (
    EXISTING_FILE,
    INPUT_FILE,
    CommitteeIdType,
    all_option,
    home_option,
    json_option,
    own_operator_option,
)
from dragon_cli.render import proposals
from dragon_cli.render.output import console
from dragon_cli.render.text import moment, print_json
from dragon_operator.approvals import LAPSES_SECONDS
from dragon_sequencer.nodes import NodeList

STDIN = Path("-")


@click.command(short_help="Approve the next committee for an operator of this host.")
@click.argument("file", type=INPUT_FILE)
@home_option
@own_operator_option
@all_option
@click.option(
    "--nodes",
    "node_files",
    type=EXISTING_FILE,
    multiple=True,
    help="Node list that the committee names for the first time; repeat for several.",
)
@click.option(
    "--yes",
    "confirmed",
    type=CommitteeIdType(),
    help="Approve without a question, if FILE holds the committee with this id.",
)
@json_option
def approve(
    file: Path,
    home: Path,
    operator_id: str | None,
    all_: bool,
    node_files: tuple[Path, ...],
    confirmed: bytes | None,
    as_json: bool,
) -> None:
    """Approve the committee in FILE as the next one; `-` reads it from standard input.

    Run it on the operator's own host, or in its container. The present committee is read from the
    operator's own log. Shows what would change and every URL that this host would talk to, and
    asks. The committees hand over by themselves when enough owners have approved the same file.
    """
    if confirmed is None and (file == STDIN or as_json or not sys.stdin.isatty()):
        raise click.UsageError(
            "There is no terminal to ask in: confirm with `--yes 0x<id>`; `dragon committee show "
            "FILE` prints the id."
        )
    following = read_new_committee(file)
    _check_confirmed(following, confirmed)
    now = time.time()
    if all_:
        own = own_operators.all_of(Home(home))
        ready = approving.with_a_part(own, following, now)
    else:
        operator = own_operators.chosen(Home(home), os.environ, operator_id)
        ready = [(operator, approving.current_lineage(operator, now))]
    for operator, lineage in ready:
        approving.check_fit(operator, lineage, following)
        approving.check_no_other(operator, lineage, following, now)
    chosen = [operator for operator, _ in ready]
    lists = _new_lists(lineage.newest, following, node_files)
    names = [operator.id for operator in chosen]
    if not as_json:
        proposals.show(lineage.newest, following, lists)
    if confirmed is None:
        click.confirm(f"Approve this committee for {', '.join(names)}?", abort=True)
        for operator in chosen:  # in another terminal, while this one asked
            approving.check_no_other(operator, lineage, following, now)
    approving.approve(chosen, following, now)
    _print(lineage, following, names, lists, int(now), as_json=as_json)
    rotated = [each.id for each in chosen if each.has_next_key_in(following)]
    if rotated and not as_json:
        console.print(
            f"It lists the next key of {', '.join(rotated)}: restart a service that was started "
            "before that key was made."
        )


def _check_confirmed(following: Committee, confirmed: bytes | None) -> None:
    """Compare the file with the id that the owner has given. Raises OtherCommittee."""
    if confirmed is not None and confirmed != following.id:
        message = f"The file holds the committee {to_hex(following.id)}, not {to_hex(confirmed)}."
        raise OtherCommittee(message, committee=to_hex(following.id))


def _new_lists(holding: Committee, following: Committee, files: tuple[Path, ...]) -> list[NodeList]:
    """Return the node lists that a committee names for the first time.

    Raises NodeListMissing: one was not given, or one was given that is not named.
    """
    given = {nodes.sha256: nodes for nodes in map(read_nodes, files)}
    named = set(following.sequencer.nodes_sha256)
    if unnamed := given.keys() - named:
        message = f"The committee does not name the node list {to_hex(min(unnamed))}."
        raise NodeListMissing(message, nodes_sha256=to_hex(min(unnamed)))
    if missing := named - set(holding.sequencer.nodes_sha256) - given.keys():
        message = f"The committee names a node list for the first time, {to_hex(min(missing))}."
        raise NodeListMissing(message, nodes_sha256=to_hex(min(missing)))
    return list(given.values())


def _print(
    lineage: Lineage,
    following: Committee,
    names: list[str],
    lists: list[NodeList],
    now: int,
    *,
    as_json: bool,
) -> None:
    if as_json:
        changed = [each.to_json() for each in differences(lineage.newest, following)]
        print_json(
            {
                "id": to_hex(following.id),
                "short_id": short_id(following.id),
                "epoch": following.epoch,
                "operators": names,
                "approved_at": now,
                "lapses_at": now + LAPSES_SECONDS,
                "differences": changed,
                "urls": proposals.urls_of(following, lists),
                "redirect_hosts": redirect_hosts(following),
                "private": proposals.private_targets(following),
                "quorums": proposals.quorums(lineage.newest, following),
            }
        )
        return
    needed, of = lineage.newest.quorum("handover"), len(lineage.newest.operators)
    console.print(
        f"Approved for {', '.join(names)}. It lapses at {moment(now + LAPSES_SECONDS)}, and "
        "`dragon committee withdraw` takes it back."
    )
    console.print(
        f"The committees hand over when {needed} of {of} operators have approved it; "
        "`dragon committee show --live` shows who has."
    )
