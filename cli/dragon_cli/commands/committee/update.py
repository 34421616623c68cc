"""`dragon committee update`: learn which committees have followed the known one."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.encoding import to_hex
from dragon.protocol.committee import short_id
from dragon_cli.fleet import lineages, queries
from dragon_cli.fleet.layout import Home
from dragon_cli.options import UrlType, ca_option, home_option, json_option
from dragon_cli.render.output import console
from dragon_cli.render.text import moment, print_json
from dragon_cli.trust import held


@click.command(short_help="Extend lineage and committee file by what the network shows.")
@home_option
@ca_option
@click.option(
    "--from",
    "url",
    type=UrlType(),
    help="Service to ask (default: the operators of the newest known committee).",
)
@json_option
def update(home: Path, ca: Path | None, url: str | None, as_json: bool) -> None:
    """Fetch and verify the lineage of the network, and extend `lineage.json` and `committee.json`.

    Any service with a log can be asked: what it says is verified, from the known committee on. A
    lineage that is shorter than the known one is ignored. One that differs from it is kept in
    another file, as evidence, and the command fails.
    """
    fleet = Home(home)
    before = held(fleet)
    asked = {url: url} if url else queries.operators(before.newest, None)
    fetched = lineages.fetch_all(queries.connect(fleet, ca), asked, before.network_id)
    found = lineages.extend(fleet, fetched)
    newest = found.after.newest
    if as_json:
        print_json(
            {
                "network": to_hex(found.after.network_id),
                "epoch": newest.epoch,
                "id": to_hex(newest.id),
                "short_id": short_id(newest.id),
                "seen": found.after.seen,
                "before": found.before.newest.epoch,
                "file": str(fleet.known_file),
            }
        )
        return
    if newest.epoch > found.before.newest.epoch:
        console.print(f"Epoch {found.before.newest.epoch} → {newest.epoch}: a new committee holds.")
    else:
        console.print(f"The committee of epoch {newest.epoch} still holds.")
    console.print(f"Seen: {moment(found.after.seen)}, the time of its newest checkpoint.")
    console.print(f"Short id: {short_id(newest.id)}")
