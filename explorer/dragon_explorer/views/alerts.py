"""The page `/alerts`: incidents as the rules see them, and deliveries. Not certified.

Of an address only the host is shown, of a secret nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dragon_explorer.alerts.alerting import Alerting
from dragon_explorer.alerts.delivery import Worker
from dragon_explorer.alerts.episodes import NO_POSITION, Episode
from dragon_explorer.alerts.outbox import WAITING, Delivery

EPISODES_SHOWN: Final = 50
DELIVERIES_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class RouteState:
    """One route. Times are Unix seconds."""

    name: str
    type: str  # "webhook" or "apprise"
    target: str  # scheme and host of a webhook, or the name of the apprise service
    is_signed: bool  # whether webhooks carry a signature
    waiting: int  # messages
    waiting_since: int | None  # of the oldest one
    delivered_at: int | None  # the last delivery since the explorer's start
    paused_until: int | None  # after failed attempts
    error: str  # why the last attempt failed; empty if it did not


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An incident of one rule. Times are Unix seconds."""

    rule: str
    condition: str
    subject: str
    begun: int
    ended: int | None  # None: it lasts
    seconds: int  # until now while it lasts
    sentence: str
    is_certified: bool
    position: int | None  # of the event in the log that began it
    is_told: bool  # whether a message about it was made
    is_held: bool  # whether none is made because of announced maintenance
    reminders: int


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A message to one route. Times are Unix seconds."""

    message_id: str
    type: str
    title: str
    rule: str
    route: str
    state: str  # waiting, delivered, failed (given up) or dropped
    created: int
    finished: int | None
    attempts: int
    next_attempt: int | None  # at the earliest; None if it does not wait
    error: str


@dataclass(frozen=True, slots=True)
class Alerts:
    """Rules' incidents and the delivery of messages. Uncertified."""

    now: int
    is_enabled: bool  # whether the explorer has an alerts file
    routes: tuple[RouteState, ...]
    alerts: tuple[AlertRow, ...]  # those that last, then the newest others
    deliveries: tuple[DeliveryRow, ...]  # newest first


def alerts(alerting: Alerting | None, now: int) -> Alerts:
    """Return the state of alerts."""
    if alerting is None:
        return Alerts(now, False, (), (), ())
    waiting = alerting.outbox.waiting()
    return Alerts(
        now,
        True,
        tuple(_route(alerting, each, waiting.get(each.name)) for each in alerting.workers),
        tuple(_row(alerting, each, now) for each in alerting.newest_episodes(EPISODES_SHOWN)),
        tuple(_delivery(each) for each in alerting.outbox.newest(DELIVERIES_SHOWN)),
    )


def _route(alerting: Alerting, worker: Worker, waiting: tuple[int, float] | None) -> RouteState:
    route = alerting.config.routes[worker.name]
    return RouteState(
        name=route.name,
        type=route.type,
        target=route.target,
        is_signed=bool(route.secrets),
        waiting=waiting[0] if waiting else 0,
        waiting_since=int(waiting[1]) if waiting else None,
        delivered_at=None if worker.delivered_at is None else int(worker.delivered_at),
        paused_until=int(worker.paused_until) or None,
        error=worker.last_error,
    )


def _row(alerting: Alerting, episode: Episode, now: int) -> AlertRow:
    return AlertRow(
        rule=episode.rule,
        condition=str(episode.condition),
        subject=episode.subject,
        begun=episode.begun,
        ended=episode.ended,
        seconds=max(0, (now if episode.ended is None else episode.ended) - episode.begun),
        sentence=episode.sentence,
        is_certified=episode.is_certified,
        position=None if episode.begin_position == NO_POSITION else episode.begin_position,
        is_told=episode.announced,
        is_held=not episode.announced and alerting.engine.is_held(episode),
        reminders=episode.reminders,
    )


def _delivery(delivery: Delivery) -> DeliveryRow:
    message = delivery.message
    return DeliveryRow(
        message_id=message.id,
        type=message.type,
        title=message.title,
        rule=message.rule,
        route=delivery.route,
        state=delivery.state,
        created=int(delivery.created),
        finished=None if delivery.finished is None else int(delivery.finished),
        attempts=delivery.attempts,
        next_attempt=int(delivery.not_before) if delivery.state == WAITING else None,
        error=delivery.error,
    )
