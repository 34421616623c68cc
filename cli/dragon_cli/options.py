"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.net import tls

home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default="fleet",
    show_default=True,
    envvar="DRAGON_HOME",
    show_envvar=True,
    help="The fleet's folder.",
)
ca_option = click.option(
    "--ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar=tls.CA,
    help="Whom to believe over https; the fleet's own authority by default, else the system's.",
)
committee_option = click.option(
    "--committee",
    "committee_file",
    type=click.Path(path_type=Path, dir_okay=False),
    default="fleet/committee.json",
    show_default=True,
    envvar="DRAGON_COMMITTEE",
    show_envvar=True,
    help="The committee file; get it from somebody you trust.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document instead.")
file_argument = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
