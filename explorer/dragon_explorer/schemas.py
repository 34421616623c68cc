"""The response bodies, as `/openapi.json` describes them: made from the views."""

from __future__ import annotations

import dataclasses
from typing import Any, get_type_hints

from pydantic import create_model

from dragon.node.schemas import Schema
from dragon_explorer.views import (
    agreements,
    alerts,
    committee,
    epochs,
    fleet,
    incidents,
    log,
    node,
    public,
    rounds,
    stream,
    streams,
    verification,
    window,
)
from dragon_explorer.views import badge as badges


def _described(view: type, name: str) -> type[Schema]:
    """A model with the fields of a dataclass."""
    hints = get_type_hints(view)
    members: dict[str, Any] = {
        each.name: (hints[each.name], ...) for each in dataclasses.fields(view)
    }
    made: type[Schema] = create_model(name, __base__=Schema, **members)
    return made


AgreementsPage = _described(agreements.Agreements, "AgreementsPage")
FleetPage = _described(fleet.Fleet, "FleetPage")
NodePage = _described(node.Node, "NodePage")
IncidentsPage = _described(incidents.Incidents, "IncidentsPage")
IncidentPage = _described(incidents.Incident, "IncidentPage")
RoundsPage = _described(rounds.Rounds, "RoundsPage")
CommitteePage = _described(committee.Committee, "CommitteePage")
EpochsPage = _described(epochs.EpochsPage, "EpochsPage")
EpochPage = _described(epochs.EpochPage, "EpochPage")
StreamsPage = _described(streams.Streams, "StreamsPage")
StreamPage = _described(stream.Stream, "StreamPage")
WindowPage = _described(window.Window, "WindowPage")
AlertsPage = _described(alerts.Alerts, "AlertsPage")
LogPage = _described(log.LogPage, "LogPage")
EntryPage = _described(log.Entry, "EntryPage")
PublicPage = _described(public.Public, "PublicPage")
VerificationResult = _described(verification.Verification, "VerificationResult")
BadgeResult = _described(badges.Badge, "BadgeResult")
