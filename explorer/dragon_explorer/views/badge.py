"""Badges: the status, uptime or response time of one node, small enough for any page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from dragon_explorer.certainty import doubt
from dragon_explorer.sources import Sources
from dragon_explorer.views.fleet import recent_latencies
from dragon_explorer.views.maintenance import running
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
    sources.epochs.node(node_id)
    name = next((each.name for each in sources.public.nodes if each.id == node_id), node_id)
    if metric == "status":
        status, _ = status_of(sources, node_id, now)
        colors: dict[str, Color] = {"up": "brightgreen", "down": "red"}
        said = f"{status}, in maintenance" if running(sources, node_id, now) else status
        return Badge(1, name, said, colors.get(status, "lightgrey"))
    if metric == "response":
        return _response(name, recent_latencies(sources, now).get(node_id, ()))
    period = metric.removeprefix("uptime-")
    percent = next(each.percent for each in uptimes(sources, node_id, now) if each.period == period)
    label = f"{name} uptime {period}"
    if percent is None:
        return Badge(1, label, "unknown", "lightgrey")
    # A share of the past says nothing about the present, but a green badge seems to.
    color = "lightgrey" if doubt(sources, now) else _color(percent)
    return Badge(1, label, f"{percent:.3f} %", color)


def _response(name: str, latencies: tuple[int | None, ...]) -> Badge:
    """The last probe of an aggregator. Uncertified."""
    label = f"{name} response"
    if not latencies:
        return Badge(1, label, "unknown", "lightgrey")
    last = latencies[-1]
    if last is None:
        return Badge(1, label, "no answer", "red")
    return Badge(1, label, f"{last} ms", "brightgreen")


def _color(percent: float) -> Color:
    if percent >= GOOD_PERCENT:
        return "brightgreen"
    return "yellow" if percent >= FAIR_PERCENT else "red"
