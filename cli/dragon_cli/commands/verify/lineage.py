"""`dragon verify lineage`: verify all committees of a network, and how they followed each other."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.encoding import from_hex, to_hex
from dragon.protocol.committee import short_id
from dragon.protocol.lineage import Lineage
from dragon.protocol.merkle import HASH_BYTES
from dragon_cli.options import committee_option, file_argument, json_option
from dragon_cli.render.output import console, plain, print_verified
from dragon_cli.render.text import moment, print_json
from dragon_cli.trust import default_home, held, load_lineage


@click.command(short_help="Verify a lineage: all committees of a network.")
@file_argument
@committee_option
@click.option(
    "--network",
    metavar="ID",
    help="Id (0x…) of the network to which the lineage must belong: of its first committee.",
)
@json_option
def lineage(file: Path, committee_file: Path | None, network: str | None, as_json: bool) -> None:
    """Verify the lineage in FILE: every committee, and every handover between two of them.

    It is compared with the committee file or lineage that you keep, if there is one: a lineage that
    names other committees is refused, and both files show who signed twice. FILE is not changed,
    and it replaces nothing: `dragon committee update` does.
    """
    expected = None if network is None else from_hex(network, member="--network", size=HASH_BYTES)
    found = load_lineage(file)
    if expected is not None:
        found.check_network(expected)
    kept = _kept(committee_file)
    if kept:
        kept.replaced_by(found)
    newest = found.newest
    if as_json:
        print_json(
            {
                "verdict": "verified",
                "network": to_hex(found.network_id),
                "name": newest.name,
                "epoch": newest.epoch,
                "committee": to_hex(newest.id),
                "short_id": short_id(newest.id),
                "seen": found.seen,
                "kept_epoch": kept.newest.epoch if kept else None,
            }
        )
        return
    print_verified(_statement(found))
    console.print(f"Network {to_hex(found.network_id)}.")
    seen = "" if found.seen is None else f", seen {moment(found.seen)}"
    console.print(f"Newest committee: epoch {newest.epoch}, {to_hex(newest.id)}{seen}.")
    console.print(f"Compare its short id by voice: {short_id(newest.id)}", highlight=False)
    if kept:
        console.print(_comparison(kept, found))


def _kept(committee_file: Path | None) -> Lineage | None:
    """Return what the user keeps; None if nothing is named, and the fleet has no file."""
    if committee_file:
        return load_lineage(committee_file)
    home = default_home()
    return held(home) if home.committee_file.exists() else None


def _statement(found: Lineage) -> str:
    name, epoch = plain(found.newest.name), found.newest.epoch
    if not found.handovers and epoch:
        return (
            f"this is the committee of epoch {epoch} of {name} alone; "
            "what earlier committees signed cannot be verified with it."
        )
    committees = "the first committee" if not epoch else f"all {epoch + 1} committees"
    return f"{committees} of {name}, with {len(found.handovers)} handovers."


def _comparison(kept: Lineage, found: Lineage) -> str:
    mine, theirs = kept.newest.epoch, found.newest.epoch
    if theirs > mine:
        return (
            f"It continues what you keep (epoch {mine}): `dragon committee update` takes it over."
        )
    if theirs < mine:
        return f"It is older than what you keep, which ends with epoch {mine}."
    return "It ends with the committee that you keep."
