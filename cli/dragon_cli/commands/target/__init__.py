"""`dragon target`: which further addresses a fleet watches."""

from __future__ import annotations

import click

from dragon_cli.groups import PackageGroup


@click.group(cls=PackageGroup, package=__name__)
def target() -> None:
    """Add and remove the targets that a running fleet watches.

    For a fleet that has the keys of all operators in one home.
    """
