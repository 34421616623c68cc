"""`/badge/<node>.svg` and `.json`, and `/feed.atom`."""

from __future__ import annotations

from typing import Final

from flask import Response, render_template, request

from dragon import errors
from dragon.node.openapi import Routes, responses
from dragon.node.parameters import NoParameters
from dragon_explorer import schemas
from dragon_explorer.components import Components
from dragon_explorer.public_page import is_listed
from dragon_explorer.routes.parameters import MetricQuery, NodePath
from dragon_explorer.views.badge import Badge
from dragon_explorer.views.badge import badge as badge_view
from dragon_explorer.views.feed import feed as feed_view
from dragon_explorer.views.feed import public_feed

SVG_TYPE: Final = "image/svg+xml"
ATOM_TYPE: Final = "application/atom+xml"
CHAR_WIDTH: Final = 7  # pixels of one character of a badge, at most
PADDING: Final = 10
COLORS: Final = {
    "brightgreen": "#2a7d2e",
    "yellow": "#8a6100",
    "red": "#b3261e",
    "lightgrey": "#5f6368",
}
_ERRORS: Final = (
    errors.UnknownMember,
    errors.InvalidId,
    errors.UnknownValue,
    errors.UnknownNode,
)


def routes(components: Components) -> Routes:
    api = Routes("badges", __name__)
    render, sources = components.renderer, components.sources

    def document(kind: str) -> dict[str, object]:
        return {"description": "the document", "content": {kind: {"schema": {"type": "string"}}}}

    @api.get("/badge/<node_id>.json", responses=responses(schemas.BadgeResult, *_ERRORS))
    def badge_json(path: NodePath, query: MetricQuery) -> Response:
        """A badge in the endpoint format of shields.io."""
        return render.json(lambda now: badge_view(sources, now, path.node_id, query.metric))

    @api.get(
        "/badge/<node_id>.svg",
        responses={**responses(schemas.BadgeResult, *_ERRORS), 200: document(SVG_TYPE)},
    )
    def badge_svg(path: NodePath, query: MetricQuery) -> Response:
        """A badge as an image."""
        return render.text(
            lambda now: _svg(badge_view(sources, now, path.node_id, query.metric)), SVG_TYPE
        )

    @api.get(
        "/feed.atom",
        responses={
            **responses(schemas.BadgeResult, errors.UnknownMember),
            200: document(ATOM_TYPE),
        },
    )
    def feed(query: NoParameters) -> Response:
        """The newest incidents as an Atom feed.

        At a host name of the public page: those of its nodes.
        """
        view = public_feed if is_listed(request.host, sources.public.hosts) else feed_view
        base = request.host_url.rstrip("/")
        return render.text(
            lambda now: render_template("feed.atom", view=view(sources), base=base), ATOM_TYPE
        )

    return api


def _svg(badge: Badge) -> str:
    left, right = (PADDING + CHAR_WIDTH * len(each) for each in (badge.label, badge.message))
    return render_template(
        "badge.svg", badge=badge, left=left, right=right, color=COLORS[badge.color]
    )
