"""What a certificate says, in words; each statement says no more than the claim does."""

from __future__ import annotations

from typing import assert_never

from dragon.encoding import Json, to_hex
from dragon.protocol.claims import Claim
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.status import StatusClaim
from dragon.protocol.claims.window import Verdict, WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event
from dragon_cli.render.output import moment


def statement(event: Event, committee: Committee) -> str:
    """What was certified, and by whom."""
    if isinstance(event.claim, EndorsementClaim):
        return _claimed(event.claim)
    signers = ", ".join(event.signers)
    by = f"by {len(event.signers)} of {len(committee.operators)}: {signers}"
    return f"{_claimed(event.claim)}, {by}"


def _claimed(claim: Claim | EndorsementClaim) -> str:
    match claim:
        case StatusClaim():
            at = moment(claim.timestamp)
            return f"{claim.node_id} was {claim.status} in the round from {at}"
        case CheckpointClaim():
            at, root = moment(claim.timestamp), to_hex(claim.log_root)
            return f"the log had {claim.size} entries and root {root} in the round from {at}"
        case DowntimeClaim():
            down, unknown = claim.seconds_down, claim.seconds_unknown
            totals = f"was down for {down} s and unknown for {unknown} s"
            return f"{claim.node_id} {totals} of {period(claim)}"
        case WindowClaim():
            why = "" if claim.verdict is Verdict.VALID else f" ({claim.reason})"
            window = f"window {claim.number} of stream {to_hex(claim.stream)}"
            return f"{window} was {claim.verdict}{why} in the round from {moment(claim.timestamp)}"
        case EndorsementClaim():
            windows = f"windows {claim.first} to {claim.last} of stream {to_hex(claim.stream)}"
            at = moment(claim.timestamp)
            return f"the expert {claim.expert} called {windows} {claim.verdict} at {at}"
        case _:
            assert_never(claim)


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
