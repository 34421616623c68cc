"""`dragon verify`: verify results offline, with a committee file or a lineage only."""

from __future__ import annotations

import click

from dragon_cli.groups import PackageGroup


@click.group(
    cls=PackageGroup,
    package=__name__,
    short_help="Verify certificates, periods, reports, events, evidence, receipts and logs.",
)
def verify() -> None:
    """Verify certificates, periods, reports, events, evidence, receipts, logs and lineages."""
