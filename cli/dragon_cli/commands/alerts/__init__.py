"""`dragon alerts`: check the explorer's alerts file, and try its routes."""

from __future__ import annotations

import click

from dragon_cli.groups import PackageGroup


@click.group(cls=PackageGroup, package=__name__)
def alerts() -> None:
    """Check the explorer's alerts file, and try its routes."""
