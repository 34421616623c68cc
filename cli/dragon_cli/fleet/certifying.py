"""Whether a fleet certifies anything now, as its services report it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dragon.protocol.committee import Committee
from dragon_cli.fleet.queries import ServiceView, View

NOT_CERTIFYING: Final = "not_certifying:"  # how the reason in `GET /readyz` begins


@dataclass(frozen=True, slots=True)
class Certifying:
    """What the services say together. Ages are in seconds; None if no operator states them."""

    faults: tuple[str, ...]  # why nothing is certified; empty while the fleet certifies
    checkpoint_age: int | None  # of the newest checkpoint in the log of any operator
    round_age: int | None  # of the last round that any operator has heard of


def certifying(
    committee: Committee, views: Sequence[View], services: Sequence[ServiceView]
) -> Certifying:
    """Judge the answers of all operators and of the other services.

    One operator that hears of no rounds is that operator's fault; if all say so, nothing is
    certified.
    """
    answered = [view for view in views if not view.error]
    ages = [view.checkpoint_age for view in answered if view.checkpoint_age is not None]
    rounds = [view.round_age for view in answered if view.round_age is not None]
    return Certifying(
        tuple(_faults(committee, answered, services)),
        min(ages, default=None),
        min(rounds, default=None),
    )


def _faults(
    committee: Committee, answered: Sequence[View], services: Sequence[ServiceView]
) -> list[str]:
    faults = []
    needed = committee.quorum("status")
    if len(answered) < needed:
        faults.append(f"{len(answered)} operators respond, and {needed} must sign")
    aggregators = [each for each in services if each.service.startswith("aggregator")]
    if aggregators and all(each.error for each in aggregators):
        faults.append("no aggregator responds")
    for group in (answered, [each for each in aggregators if not each.error]):
        said = [_reason(each.reasons) for each in group]
        if said and all(said):
            faults.append(said[0])
            break
    return faults


def _reason(reasons: Sequence[str]) -> str:
    """Return why a service says that nothing is certified; empty if it does not say so."""
    found = next((each for each in reasons if each.startswith(NOT_CERTIFYING)), "")
    return found.removeprefix(NOT_CERTIFYING).strip()
