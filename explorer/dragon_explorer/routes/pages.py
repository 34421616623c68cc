"""The pages: templates, rendered from the same views as the API.

Each page renders `templates/<page>.html`, which includes `templates/fragments/<page>.html`. With
the parameter `fragment` only the fragment is rendered, for a page that refreshes itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from flask import Blueprint, Response, render_template, request
from werkzeug.exceptions import HTTPException, NotFound

from dragon.errors import DragonError
from dragon.node import problems
from dragon.node.http_errors import sentence_of
from dragon_explorer.components import Components
from dragon_explorer.public_page import is_listed
from dragon_explorer.rendering import HTML_TYPE
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
from dragon_explorer.views.agreements import agreements
from dragon_explorer.views.alerts import alerts
from dragon_explorer.views.committee import committee
from dragon_explorer.views.epochs import epoch_page, epochs_page
from dragon_explorer.views.fleet import fleet
from dragon_explorer.views.incidents import incident, incidents, trust_file
from dragon_explorer.views.log import entry, log_page
from dragon_explorer.views.node import node
from dragon_explorer.views.public import public
from dragon_explorer.views.rounds import rounds
from dragon_explorer.views.stream import stream
from dragon_explorer.views.streams import streams
from dragon_explorer.views.window import window

FRAGMENT: Final = "fragment"
PUBLIC: Final = "public"
PAGE_MISSING: Final = "There is no page at this address."
View = Callable[[int], object]
# Paths that the host names of the public page serve, besides `/` and badges of its nodes.
# `/readyz` is not among them: its reasons show internals.
PUBLIC_PATHS: Final = ("/public", "/feed.atom", "/healthz", "/api/public")
PUBLIC_FOLDER: Final = "/static/"
_BADGE: Final = re.compile(r"/badge/(?P<node_id>[a-z0-9_-]+)\.(svg|json)")


def blueprint(components: Components) -> Blueprint:
    """All pages but the result of a verification."""
    pages = Blueprint("pages", __name__, static_folder="../static", static_url_path="/static")
    _add_fleet(pages, components)
    _add_lists(pages, components)
    _add_streams(pages, components)
    pages.register_error_handler(DragonError, _refused)
    pages.register_error_handler(HTTPException, _not_found)
    pages.before_app_request(lambda: _limit_public_hosts(components))
    return pages


def _add_fleet(pages: Blueprint, components: Components) -> None:
    sources = components.sources

    @pages.get("/")
    def index() -> Response:
        if _is_public(components):
            return _page(components, PUBLIC, lambda now: public(sources, now))
        return _page(components, "fleet", lambda now: fleet(sources, now))

    @pages.get("/nodes/<node_id>")
    def node_page(node_id: str) -> Response:
        path, query = NodePath(node_id=node_id), _query(PeriodQuery)
        return _page(components, "node", lambda now: node(sources, now, path.node_id, query.period))

    @pages.get("/rounds")
    def rounds_page() -> Response:
        return _page(components, "rounds", lambda now: rounds(sources, now))

    @pages.get("/committee")
    def committee_page() -> Response:
        return _page(components, "committee", lambda now: committee(sources, now))

    @pages.get("/alerts")
    def alerts_page() -> Response:
        return _page(components, "alerts", lambda now: alerts(components.alerting, now))

    @pages.get("/public")
    def public_page() -> Response:
        return _page(components, PUBLIC, lambda now: public(sources, now))

    @pages.get("/verify")
    def verify_page() -> Response:
        return _page(components, "verify", lambda now: None)


def _add_lists(pages: Blueprint, components: Components) -> None:
    sources = components.sources

    @pages.get("/incidents")
    def incidents_page() -> Response:
        query = _query(BeforeQuery)
        return _page(components, "incidents", lambda now: incidents(sources, now, query.before))

    @pages.get("/incidents/<position>")
    def incident_page(position: str) -> Response:
        path = PositionPath.model_validate({"position": position})
        return _page(components, "incident", lambda now: incident(sources, now, path.position))

    @pages.get("/agreements")
    def agreements_page() -> Response:
        query = _query(AgreementsQuery)
        chosen = query.interval
        return _page(
            components,
            "agreements",
            lambda now: agreements(sources, now, query.before, chosen, query.after),
        )

    @pages.get("/epochs")
    def epochs_list() -> Response:
        query = _query(BeforeQuery)
        return _page(components, "epochs", lambda now: epochs_page(sources, now, query.before))

    @pages.get("/epochs/<epoch>")
    def one_epoch(epoch: str) -> Response:
        path = EpochPath.model_validate({"epoch": epoch})
        return _page(components, "epoch", lambda now: epoch_page(sources, now, path.epoch))

    @pages.get("/log")
    def log_list() -> Response:
        query = _query(BeforeQuery)
        return _page(components, "log", lambda now: log_page(sources, now, query.before))

    @pages.get("/log/<position>")
    def entry_page(position: str) -> Response:
        path = PositionPath.model_validate({"position": position})
        return _page(components, "entry", lambda now: entry(sources, now, path.position))


def _add_streams(pages: Blueprint, components: Components) -> None:
    sources = components.sources

    @pages.get("/streams")
    def streams_page() -> Response:
        query = _query(AfterStreamQuery)
        return _page(components, "streams", lambda now: streams(sources, now, query.after))

    @pages.get("/streams/<stream_id>")
    def stream_page(stream_id: str) -> Response:
        path = StreamPath.model_validate({"stream": stream_id})
        query = _query(BeforeQuery)
        return _page(
            components, "stream", lambda now: stream(sources, now, path.stream, query.before)
        )

    @pages.get("/streams/<stream_id>/windows/<number>")
    def window_page(stream_id: str, number: str) -> Response:
        path = WindowPath.model_validate({"stream": stream_id, "number": number})
        return _page(
            components, "window", lambda now: window(sources, now, path.stream, path.number)
        )


def _query(model: type[Any]) -> Any:
    """Decode the query; the parameter `fragment` belongs to every page."""
    given = {name: value for name, value in request.args.items() if name != FRAGMENT}
    return model.model_validate(given)


def _page(components: Components, name: str, view: View) -> Response:
    if name != PUBLIC:  # which shows nothing live
        components.audience.note()
    folder = "fragments/" if FRAGMENT in request.args else ""
    committee_name = components.sources.committee.name

    def render(now: int) -> str:
        return render_template(
            f"{folder}{name}.html",
            view=view(now),
            page=name,
            now=now,
            committee_name=committee_name,
            trust=trust_file(components.sources),
            is_public=name == PUBLIC,
        )

    return components.renderer.html(render)


def _is_public(components: Components) -> bool:
    """Whether the request is for a host name of the public page."""
    return is_listed(request.host, components.sources.public.hosts)


def not_found(error: HTTPException) -> Response:
    """The answer to a path that does not exist: a page, or a problem document of the API."""
    if request.path.startswith("/api/"):
        return problems.from_http(error)
    return _not_found(error)


def _limit_public_hosts(components: Components) -> None:
    """Serve nothing but the public page at its host names. Raises NotFound."""
    path, shown = request.path, components.sources.public
    if path == "/" or not shown.hosts or not _is_public(components):
        return
    badge = _BADGE.fullmatch(path)
    is_public = path in PUBLIC_PATHS or path.startswith(PUBLIC_FOLDER)
    if not is_public and not (badge and badge["node_id"] in {each.id for each in shown.nodes}):
        raise NotFound


def _refused(error: DragonError) -> Response:
    return _error_page(problems.status_of(error), str(error))


def _not_found(error: HTTPException) -> Response:
    detail = PAGE_MISSING if error.code == HTTPStatus.NOT_FOUND else sentence_of(error)
    return _error_page(error.code or HTTPStatus.INTERNAL_SERVER_ERROR, detail)


def _error_page(status: int, detail: str) -> Response:
    page = render_template("error.html", status=int(status), detail=detail, page="error")
    return Response(page, status=int(status), content_type=HTML_TYPE)
