"""`dragon maintenance`: announce when a node may be down, and list what is announced."""

from __future__ import annotations

import click

from dragon_cli.groups import PackageGroup


@click.group(cls=PackageGroup, package=__name__)
def maintenance() -> None:
    """Announce planned maintenance of nodes, and list it.

    Operators observe and certify a node as before. Downtime certificates state how much of the
    downtime lies in announced time, and never take it off.
    """
