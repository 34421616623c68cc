"""Announced maintenance as rows of pages. Certified: an announcement is an event of the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from dragon_explorer.maintenance import Window
from dragon_explorer.sources import Sources

MAX_PAST: Final = 20  # windows of one node that have ended

Stage = Literal["now", "coming", "past"]


@dataclass(frozen=True, slots=True)
class MaintenanceRow:
    """One announced maintenance. Times are Unix seconds."""

    node_id: str
    begin: int
    end: int  # exclusive
    seconds: int  # its length
    stage: Stage
    announced: int  # when it was announced
    position: int  # of the announcement in the log


@dataclass(frozen=True, slots=True)
class NodeMaintenance:
    """The announced maintenance of one node."""

    ahead: tuple[MaintenanceRow, ...]  # that runs or is to come, the next one first
    past: tuple[MaintenanceRow, ...]  # the newest `MAX_PAST`, newest first
    earlier: int  # past ones that are left out


def maintenance_row(window: Window, now: int) -> MaintenanceRow:
    """Return an announced maintenance as a row."""
    stage: Stage = "past" if window.end <= now else "coming" if now < window.begin else "now"
    return MaintenanceRow(
        node_id=window.node_id,
        begin=window.begin,
        end=window.end,
        seconds=window.end - window.begin,
        stage=stage,
        announced=window.announced,
        position=window.position,
    )


def running(sources: Sources, node_id: str, now: int) -> MaintenanceRow | None:
    """Return the maintenance of a node that runs; None if there is none."""
    found = sources.maintenance.at(node_id, now)
    return None if found is None else maintenance_row(found, now)


def node_maintenance(sources: Sources, node_id: str, now: int) -> NodeMaintenance:
    """Return the announced maintenance of one node."""
    rows = [maintenance_row(each, now) for each in sources.maintenance.of(node_id)]
    past = sorted((each for each in rows if each.stage == "past"), key=lambda each: -each.begin)
    return NodeMaintenance(
        ahead=tuple(each for each in rows if each.stage != "past"),
        past=tuple(past[:MAX_PAST]),
        earlier=len(past[MAX_PAST:]),
    )


def in_words(seconds: int, total: int, length: str) -> str:
    """Return how much of an outage was announced maintenance, in words; empty if nothing was.

    Args: `length`, the seconds in words.
    """
    if not seconds:
        return ""
    return (
        "all of it in announced maintenance"
        if seconds >= total
        else (f"{length} of it in announced maintenance")
    )
