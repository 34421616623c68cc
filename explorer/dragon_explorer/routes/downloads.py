"""Files to download: entries with their proofs, certificates, and the committee."""

from __future__ import annotations

import json
from typing import Any

from flask import Response
from pydantic import ConfigDict

from dragon import errors
from dragon.encoding import Json
from dragon.node import schemas
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.parameters import NoParameters
from dragon_explorer.components import Components
from dragon_explorer.lineage_file import provable_entry, written_lineage
from dragon_explorer.routes.parameters import EpochPath, PositionPath
from dragon_explorer.views.epochs import seating_of


class CommitteeFile(schemas.Schema):
    """The committee file. The specification describes it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str


class LineageFile(schemas.Schema):
    """A lineage. The specification describes it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    committees: list[dict[str, Any]]
    handovers: list[dict[str, Any]]
    checkpoint: dict[str, Any] | None


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
        """One entry with its inclusion proof and, if there is one, a mark that certifies its root.

        `dragon verify event` reads it.
        """
        found = provable_entry(sources.log, sources.epochs, path.position)
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
        """The file of the committee that holds. Compare its id with one from another source."""
        return _file("committee.json", sources.committee.to_json())

    @api.get(
        "/committee-<epoch>.json",
        responses=responses(CommitteeFile, *PAGING_ERRORS, errors.NotFound),
    )
    def committee_of(path: EpochPath, query: NoParameters) -> Response:
        """The file of the committee of one epoch."""
        found, _ = seating_of(sources, path.epoch)
        return _file(f"committee-{path.epoch}.json", found.committee.to_json())

    @api.get("/lineage.json", responses=responses(LineageFile, errors.UnknownMember))
    def lineage(query: NoParameters) -> Response:
        """All committees and handovers up to the newest committee that has certified a checkpoint.

        `dragon verify lineage` reads it.
        """
        return _attached("lineage.json", Response(written_lineage(sources.log, sources.epochs)))

    return api


def _file(name: str, value: dict[str, Json]) -> Response:
    return _attached(name, Response(json.dumps(value, indent=2) + "\n"))


def _attached(name: str, response: Response) -> Response:
    response.content_type = "application/json"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-cache"
    return response
