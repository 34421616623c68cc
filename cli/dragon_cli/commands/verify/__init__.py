"""`dragon verify`: verify results offline, with the committee file only."""

from __future__ import annotations

import click

from dragon_cli.groups import PackageGroup


@click.group(cls=PackageGroup, package=__name__)
def verify() -> None:
    """Verify a certificate, an event, a receipt or a log, offline."""
