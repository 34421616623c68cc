"""Which events of the outbox need not be sent any more, according to the log.

Only the log decides, never a clock: while the ledger stands still, log time stands still too, and
every event that waits can still be applied.
"""

from __future__ import annotations

from collections.abc import Iterable

from dragon.errors import AppliedAlready, NotAChange
from dragon.protocol.claims.base import Claim, EventClaim, kind_of
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.committee import Committee
from dragon.protocol.state import State
from dragon_aggregator.outbox import Pending


def settled(
    pending: Iterable[Pending], state: State, committee: Committee
) -> list[tuple[Pending, str]]:
    """Return the events that are in the log, or that it will never apply, each with the reason.

    `pending`: in the order of `ledger_order`.
    """
    done: list[tuple[Pending, str]] = []
    waiting: set[str] = set()  # ordering keys with an earlier event that is not done
    for entry in pending:
        why = _why_done(entry.event.claim, state, committee, follows=entry.key in waiting)
        if why != "applied" and entry.event.committee_id != state.committee.id:
            why = "superseded"  # its committee has handed over: it is certified anew
        if why is None:
            waiting.add(entry.key)
        else:
            done.append((entry, why))
    return done


def _why_done(claim: Claim, state: State, committee: Committee, *, follows: bool) -> str | None:
    """`follows`: whether an earlier event with the same ordering key still waits."""
    if not isinstance(claim, EventClaim):
        return "no_event"
    if isinstance(claim, HandoverClaim) and claim.next in state.known.committees:
        return "applied"
    refusal = kind_of(claim).superseded(claim, state)
    if isinstance(refusal, AppliedAlready):
        return "applied"
    if state.log_time > claim.timestamp + committee.rounds.max_age:
        return "stale"
    if isinstance(refusal, NotAChange) and follows:
        return None  # it is a change after the event before it
    return None if refusal is None else "superseded"
