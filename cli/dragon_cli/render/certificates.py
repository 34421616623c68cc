"""What a certificate says, in words; each statement says no more than the claim does."""

from __future__ import annotations

from dragon.encoding import Json, to_hex
from dragon.protocol.claims.base import kind_of
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.committee import Committee
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.event import Event
from dragon_cli.render.output import moment


def statement(event: Event, committee: Committee) -> str:
    """What was certified, and by whom."""
    if isinstance(event, Endorsement):
        return kind_of(event.claim).sentence(event.claim)
    signers = ", ".join(event.signers)
    by = f"by {len(event.signers)} of {len(committee.operators)}: {signers}"
    return f"{kind_of(event.claim).sentence(event.claim)}, {by}"


def period(claim: DowntimeClaim) -> str:
    seconds = claim.end - claim.begin
    return f"the {seconds} s from {moment(claim.begin)} to {moment(claim.end)}"


def facts(event: Event) -> dict[str, Json]:
    """The same for programs."""
    signers: list[Json] = list(event.signers)
    return {**event.claim.to_json(), "signers": signers}


def seconds_up(claim: DowntimeClaim) -> int:
    return claim.end - claim.begin - claim.seconds_down - claim.seconds_unknown


def totals(claim: DowntimeClaim) -> str:
    """Up, down and unknown, a line each, in seconds and percent."""
    parts = {
        "[green]up[/]     ": seconds_up(claim),
        "[red]down[/]   ": claim.seconds_down,
        "[yellow]unknown[/]": claim.seconds_unknown,
    }
    whole = claim.end - claim.begin
    return "\n".join(
        f"  {name} {seconds:10} s  {100 * seconds / whole:7.3f} %"
        for name, seconds in parts.items()
    )


def limits(claim: DowntimeClaim) -> str:
    """What a downtime certificate does not prove."""
    unknown = "every second of it is accounted for by certified checkpoints"
    if claim.seconds_unknown:
        unknown = (
            f"for {claim.seconds_unknown} s nobody vouches: the node may have been up or down, "
            "and the certificate does not say which"
        )
    root = to_hex(claim.log_root)
    return (
        f"{unknown}\n"
        f"it rests on the first {claim.size} entries of the log, whose root is {root}: "
        "the signers counted them, the certificate does not hold them"
    )
