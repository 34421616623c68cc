"""Report outages of the stream service to stderr, once for each outage."""

from __future__ import annotations

import click

from dragon.errors import PeerError
from dragon.net.retries import Retries
from dragon_cli.render.text import printable


def reported_retries(patience_seconds: float | None) -> Retries:
    """Return retries that say what they wait for.

    Args: `patience_seconds`, the longest outage; None for no limit.
    """
    limit = "" if patience_seconds is None else f" for at most {patience_seconds:.0f} s"

    def waiting(error: PeerError) -> None:
        detail = printable(str(error))
        click.echo(f"Waiting for the stream service{limit}: {detail}", err=True)

    def recovered() -> None:
        click.echo("The stream service is available again.", err=True)

    return Retries(patience_seconds, on_outage=waiting, on_recovery=recovered)
