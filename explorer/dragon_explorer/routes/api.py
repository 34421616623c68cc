"""`/api/…`: everything that is on the pages, as JSON."""

from __future__ import annotations

from flask import Response

from dragon import errors
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.parameters import NoParameters
from dragon_explorer import schemas
from dragon_explorer.components import Components
from dragon_explorer.routes.parameters import (
    AfterStreamQuery,
    AgreementsQuery,
    BeforeQuery,
    EpochPath,
    NodePath,
    PeriodQuery,
    PositionPath,
    StreamPath,
    WindowPath,
)
from dragon_explorer.views.agreements import agreements as agreements_view
from dragon_explorer.views.alerts import alerts as alerts_view
from dragon_explorer.views.committee import committee as committee_view
from dragon_explorer.views.epochs import epoch_page as epoch_view
from dragon_explorer.views.epochs import epochs_page as epochs_view
from dragon_explorer.views.fleet import fleet as fleet_view
from dragon_explorer.views.incidents import incident as incident_view
from dragon_explorer.views.incidents import incidents as incidents_view
from dragon_explorer.views.log import entry as entry_view
from dragon_explorer.views.log import log_page
from dragon_explorer.views.node import node as node_view
from dragon_explorer.views.public import public as public_view
from dragon_explorer.views.rounds import rounds as rounds_view
from dragon_explorer.views.stream import stream as stream_view
from dragon_explorer.views.streams import streams as streams_view
from dragon_explorer.views.window import window as window_view


def routes(components: Components) -> Routes:
    """All routes of the API but `/api/verify`."""
    api = Routes("api", __name__, url_prefix="/api")
    api.before_request(components.audience.note)
    _add_fleet(api, components)
    _add_incidents(api, components)
    _add_streams(api, components)
    _add_log(api, components)
    return api


def _add_fleet(api: Routes, components: Components) -> None:
    render, sources = components.renderer, components.sources

    @api.get("/fleet", responses=responses(schemas.FleetPage, errors.UnknownMember))
    def fleet(query: NoParameters) -> Response:
        """Every node with its certified status, open incidents, and the quorum's health."""
        return render.json(lambda now: fleet_view(sources, now))

    @api.get(
        "/nodes/<node_id>",
        responses=responses(
            schemas.NodePage,
            errors.UnknownMember,
            errors.InvalidId,
            errors.UnknownValue,
            errors.UnknownNode,
        ),
    )
    def node(path: NodePath, query: PeriodQuery) -> Response:
        """One node: history, incidents, and response times by observer."""
        return render.json(lambda now: node_view(sources, now, path.node_id, query.period))

    @api.get("/rounds", responses=responses(schemas.RoundsPage, errors.UnknownMember))
    def rounds(query: NoParameters) -> Response:
        """The last rounds of the aggregators. Uncertified."""
        return render.json(lambda now: rounds_view(sources, now))

    @api.get("/committee", responses=responses(schemas.CommitteePage, errors.UnknownMember))
    def committee(query: NoParameters) -> Response:
        """Members, rules, and the participation of each operator."""
        return render.json(lambda now: committee_view(sources, now))

    @api.get("/epochs", responses=responses(schemas.EpochsPage, *PAGING_ERRORS))
    def epochs(query: BeforeQuery) -> Response:
        """All committees that have held, newest first. `before` is an epoch."""
        return render.json(lambda now: epochs_view(sources, now, query.before))

    @api.get(
        "/epochs/<epoch>",
        responses=responses(schemas.EpochPage, *PAGING_ERRORS, errors.NotFound),
    )
    def epoch(path: EpochPath, query: NoParameters) -> Response:
        """The committee of one epoch, what it changed, and both sides' signatures."""
        return render.json(lambda now: epoch_view(sources, now, path.epoch))

    @api.get("/alerts", responses=responses(schemas.AlertsPage, errors.UnknownMember))
    def alerts(query: NoParameters) -> Response:
        """Rules' incidents, and the delivery of messages. Uncertified; without secrets."""
        return render.json(lambda now: alerts_view(components.alerting, now))

    @api.get("/public", responses=responses(schemas.PublicPage, errors.UnknownMember))
    def public(query: NoParameters) -> Response:
        """The public status page."""
        return render.json(lambda now: public_view(sources, now))


def _add_incidents(api: Routes, components: Components) -> None:
    render, sources = components.renderer, components.sources

    @api.get("/incidents", responses=responses(schemas.IncidentsPage, *PAGING_ERRORS))
    def incidents(query: BeforeQuery) -> Response:
        """Outages of all nodes, newest first."""
        return render.json(lambda now: incidents_view(sources, now, query.before))

    @api.get(
        "/incidents/<position>",
        responses=responses(schemas.IncidentPage, *PAGING_ERRORS, errors.NotFound),
    )
    def incident(path: PositionPath, query: NoParameters) -> Response:
        """One change of status: signers, certificate, inclusion proof, operators' answers."""
        return render.json(lambda now: incident_view(sources, now, path.position))

    @api.get(
        "/agreements",
        responses=responses(
            schemas.AgreementsPage,
            *PAGING_ERRORS,
            errors.InvalidId,
            errors.MissingMember,
            errors.UnknownValue,
        ),
    )
    def agreements(query: AgreementsQuery) -> Response:
        """Announced maintenance of all nodes, and the totals of a period from this log."""
        chosen = query.interval
        return render.json(
            lambda now: agreements_view(sources, now, query.before, chosen, query.after)
        )


def _add_streams(api: Routes, components: Components) -> None:
    render, sources = components.renderer, components.sources

    @api.get(
        "/streams",
        responses=responses(schemas.StreamsPage, errors.UnknownMember, errors.InvalidHex),
    )
    def streams(query: AfterStreamQuery) -> Response:
        """Streams in the log, and those that a watched stream service has."""
        return render.json(lambda now: streams_view(sources, now, query.after))

    @api.get(
        "/streams/<stream>",
        responses=responses(schemas.StreamPage, *PAGING_ERRORS, errors.InvalidHex, errors.NotFound),
    )
    def stream(path: StreamPath, query: BeforeQuery) -> Response:
        """One stream and its newest windows."""
        return render.json(lambda now: stream_view(sources, now, path.stream, query.before))

    @api.get(
        "/streams/<stream>/windows/<number>",
        responses=responses(schemas.WindowPage, *PAGING_ERRORS, errors.InvalidHex, errors.NotFound),
    )
    def window(path: WindowPath, query: NoParameters) -> Response:
        """One window of a stream, with every verdict and the votes of every operator."""
        return render.json(lambda now: window_view(sources, now, path.stream, path.number))


def _add_log(api: Routes, components: Components) -> None:
    render, sources = components.renderer, components.sources

    @api.get("/log", responses=responses(schemas.LogPage, *PAGING_ERRORS))
    def log(query: BeforeQuery) -> Response:
        """Entries of the log, newest first, with checkpoints and refused events."""
        return render.json(lambda now: log_page(sources, now, query.before))

    @api.get(
        "/log/<position>",
        responses=responses(schemas.EntryPage, *PAGING_ERRORS, errors.NotFound),
    )
    def entry(path: PositionPath, query: NoParameters) -> Response:
        """One entry of the log with its proof of inclusion."""
        return render.json(lambda now: entry_view(sources, now, path.position))
