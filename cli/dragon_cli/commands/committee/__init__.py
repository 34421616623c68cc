"""`dragon committee`: found a network with others, and change its committee."""

from __future__ import annotations

import click

from dragon_cli.groups import PackageGroup


@click.group(cls=PackageGroup, package=__name__)
def committee() -> None:
    """Assemble, compare and change committee files."""
