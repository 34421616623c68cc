"""`dragon swarm`: write the stack file of a fleet, for Docker Swarm."""

from __future__ import annotations

from pathlib import Path

import click

from dragon_cli.errors import UnusableFile
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.swarm import STACK, Swarm
from dragon_cli.options import home_option, json_option
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json


@click.command(short_help="Write the stack file of a fleet, for Docker Swarm.")
@home_option
@click.option(
    "--publish",
    "published",
    metavar="SERVICE",
    multiple=True,
    help="Open the port of a service, such as explorer, on all addresses of its node; repeat for "
    "several (default: none).",
)
@click.option(
    "--pinned",
    is_flag=True,
    help="Run each service with data only on the node with the label datadragon.SERVICE=true.",
)
@json_option
def swarm(home: Path, published: tuple[str, ...], pinned: bool, as_json: bool) -> None:
    """Write docker-stack.yml into the folder of a fleet.

    Found the fleet with `dragon init --containers` on a manager of the swarm. Keys become secrets
    of the swarm. Run the command again after each change of the fleet's files, and deploy again.
    """
    fleet = Home(home)
    fleet.check_exists()
    stack = Swarm(fleet, published, pinned)
    text, file = stack.text(), home / STACK
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UnusableFile(f"cannot write {file}: {error.strerror}") from None
    if as_json:
        print_json({"file": str(file), "services": list(stack.services())})
        return
    console.print(f"Wrote {plain(str(file))} with {len(stack.services())} services.")
    console.print(f"`docker stack deploy -c {plain(str(file))} datadragon` starts them.")
