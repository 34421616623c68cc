"""What a certificate proves, in words. A sentence never says more than the claim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from dragon.encoding import Json, to_hex
from dragon.protocol.claims.base import kind_of
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event, signers_of
from dragon.protocol.single_signer import SingleSigned
from dragon_cli.render.text import moment

if TYPE_CHECKING:
    from dragon.protocol.claims.downtime import DowntimeClaim

MAX_CERTIFICATE_BYTES: Final = 1 << 20  # more than any certificate or log event has


def statement(event: Event, committee: Committee) -> str:
    """Return what was certified and the signers."""
    sentence = kind_of(event.claim).sentence(event.claim)
    if isinstance(event, SingleSigned):
        named = f", signed by {event.signer_in(committee)}"
        return sentence if event.signers else sentence + named
    return f"{sentence}, {signed_by(event.signers, committee)}"


def signed_by(signers: Sequence[str], committee: Committee) -> str:
    """Return who certified something."""
    of = len(committee.operators)
    return f"certified by {len(signers)} of {of} operators ({', '.join(signers)})"


def period(claim: DowntimeClaim) -> str:
    """Return the length, begin and end of the period that a downtime claim is about."""
    seconds = claim.end - claim.begin
    return f"the {seconds} s from {moment(claim.begin)} to {moment(claim.end)}"


def facts(event: Event, committee: Committee | None = None) -> dict[str, Json]:
    """Return claim and signers for programs.

    Args:
        committee: the one that the event is for; without it, only signers that the event names.
    """
    signers: list[Json] = list(signers_of(event, committee) if committee else event.signers)
    return {**event.claim.to_json(), "signers": signers}


def seconds_up(claim: DowntimeClaim) -> int:
    """Return the seconds of the period in which the node was up."""
    return claim.end - claim.begin - claim.seconds_down - claim.seconds_unknown


def totals(claim: DowntimeClaim) -> str:
    """Return one line each for up, down and unknown, in seconds and percent.

    A part of the downtime may lie in announced maintenance; it has a line of its own.
    """
    parts = {
        "[green]up[/]     ": seconds_up(claim),
        "[red]down[/]   ": claim.seconds_down,
        "[yellow]unknown[/]": claim.seconds_unknown,
    }
    whole = claim.end - claim.begin
    lines = [
        f"  {name} {seconds:10} s  {100 * seconds / whole:7.3f} %"
        for name, seconds in parts.items()
    ]
    if claim.seconds_maintenance:
        lines.append(f"  of the downtime, {claim.seconds_maintenance} s in announced maintenance")
    return "\n".join(lines)


def limits(claim: DowntimeClaim) -> str:
    """Return what a downtime certificate does not prove."""
    unknown = "Certified checkpoints cover every second of the period."
    if claim.seconds_unknown:
        unknown = (
            f"No certificate covers {claim.seconds_unknown} s of the period: "
            "the node may have been up or down."
        )
    root = to_hex(claim.log_root)
    return (
        f"{unknown}\n"
        f"The signers computed the totals from the first {claim.size} entries of the log "
        f"(root {root}); the certificate does not contain these entries."
    )
