"""Files to download: entries with their proofs, certificates, and the committee."""

from __future__ import annotations

import json

from flask import Response
from pydantic import ConfigDict

from dragon import errors
from dragon.encoding import Json
from dragon.node import schemas
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.parameters import NoParameters
from dragon_explorer.components import Components
from dragon_explorer.routes.parameters import PositionPath
from dragon_explorer.views.incidents import proven_entry


class CommitteeFile(schemas.Schema):
    """The committee file. The specification describes it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str


class CertificateFile(schemas.Schema):
    """A certificate, or an endorsement."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str


def routes(components: Components) -> Routes:
    api, sources = Routes("downloads", __name__, url_prefix="/downloads"), components.sources

    @api.get(
        "/event-<position>.json",
        responses=responses(schemas.ProvenEntry, *PAGING_ERRORS, errors.NotFound),
    )
    def event(path: PositionPath, query: NoParameters) -> Response:
        """One entry with its inclusion proof, as `dragon verify event` reads it."""
        found = proven_entry(sources, path.position)
        return _file(f"event-{path.position}.json", found.to_json())

    @api.get(
        "/certificate-<position>.json",
        responses=responses(CertificateFile, *PAGING_ERRORS, errors.NotFound),
    )
    def certificate(path: PositionPath, query: NoParameters) -> Response:
        """The certificate of one entry, as `dragon verify certificate` reads it."""
        found = sources.log.entry(path.position).event
        return _file(f"certificate-{path.position}.json", found.to_json())

    @api.get("/committee.json", responses=responses(CommitteeFile, errors.UnknownMember))
    def committee(query: NoParameters) -> Response:
        """The committee file of this explorer. Compare its id with one from another source."""
        return _file("committee.json", sources.committee.to_json())

    return api


def _file(name: str, value: dict[str, Json]) -> Response:
    response = Response(json.dumps(value, indent=2) + "\n", content_type="application/json")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-cache"
    return response
