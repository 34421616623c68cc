"""Badges: the status, uptime or response time of one node, small enough for any page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from dragon.protocol.committee import check_node_id
from dragon_explorer.sources import Sources
from dragon_explorer.views.fleet import recent_latencies
from dragon_explorer.views.uptime import status_of, uptimes

Metric = Literal["status", "uptime-24h", "uptime-30d", "uptime-90d", "response"]
METRICS: Final = ("status", "uptime-24h", "uptime-30d", "uptime-90d", "response")
Color = Literal["brightgreen", "yellow", "red", "lightgrey"]
GOOD_PERCENT: Final = 99.0
FAIR_PERCENT: Final = 95.0


@dataclass(frozen=True, slots=True)
class Badge:
    """The members of shields.io's endpoint format."""

    schemaVersion: int  # noqa: N815 - the format's name
    label: str
    message: str
    color: Color


def badge(sources: Sources, now: int, node_id: str, metric: str) -> Badge:
    """Return the badge of a node, with its name on the public page. Raises UnknownNode."""
    check_node_id(sources.committee, node_id)
    name = next((each.name for each in sources.public.nodes if each.id == node_id), node_id)
    if metric == "status":
        status, _ = status_of(sources, node_id, now)
        colors: dict[str, Color] = {"up": "brightgreen", "down": "red"}
        return Badge(1, name, status, colors.get(status, "lightgrey"))
    if metric == "response":
        answered = [each for each in recent_latencies(sources).get(node_id, ()) if each is not None]
        message = f"{answered[-1]} ms" if answered else "unknown"
        return Badge(1, f"{name} response", message, "brightgreen" if answered else "lightgrey")
    period = metric.removeprefix("uptime-")
    percent = next(each.percent for each in uptimes(sources, node_id, now) if each.period == period)
    label = f"{name} uptime {period}"
    if percent is None:
        return Badge(1, label, "unknown", "lightgrey")
    return Badge(1, label, f"{percent:.3f} %", _color(percent))


def _color(percent: float) -> Color:
    if percent >= GOOD_PERCENT:
        return "brightgreen"
    return "yellow" if percent >= FAIR_PERCENT else "red"
