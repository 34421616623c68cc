"""What every service's app has: problem documents, health, readiness, limits, and its description.

`install_common_routes` is the part that has nothing to do with how a service words its errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from flask import Response, jsonify, request
from flask_openapi.openapi import OpenAPI
from prometheus_client.registry import Collector
from werkzeug.exceptions import RequestEntityTooLarge

from dragon.encoding import Json, parse
from dragon.node import metrics, openapi, problems, request_id
from dragon.node.schemas import Health, Readiness

MAX_BODY_BYTES: Final = 16 * 1024  # bytes; a claim is far smaller

Reasons = Callable[[], Iterable[str]]


def create(
    name: str,
    not_ready: Reasons,
    *,
    title: str = "DataDragon",
    collectors: Iterable[Collector] = (),
    max_body: int = MAX_BODY_BYTES,
    unhealthy: Reasons = tuple,
) -> OpenAPI:
    """An app whose errors are problem documents, furnished.

    `not_ready` gives a sentence for each thing that keeps the service from doing its work,
    `unhealthy` for each that a restart might mend.
    """
    app = openapi.make_app(name, title=title)
    app.config["MAX_CONTENT_LENGTH"] = max_body
    problems.install(app)
    install_common_routes(app, not_ready, collectors, unhealthy=unhealthy)
    return app


def install_common_routes(
    app: OpenAPI,
    not_ready: Reasons,
    collectors: Iterable[Collector],
    failed: openapi.Responses = openapi.INTERNAL_ERROR,
    unhealthy: Reasons = tuple,
) -> None:
    """Give an app request ids, `/metrics`, `/openapi.json` with its page, `/healthz` (the process
    answers, and nothing is wrong with it) and `/readyz` (200, or 503 with the reasons)."""
    request_id.install(app)
    registry = metrics.install(app, collectors)

    @app.get("/healthz", responses={200: Health, 503: Readiness, **failed})
    def healthz() -> tuple[Response, int]:
        """The process answers, and what it checks of itself now and then is well."""
        if reasons := list(unhealthy()):
            return jsonify(status="not ready", reasons=reasons), 503
        return jsonify(status="ok"), 200

    @app.get("/readyz", responses={200: Readiness, 503: Readiness, **failed})
    def readyz() -> tuple[Response, int]:
        """Whether the service does its work now, and if not, why."""
        reasons = list(not_ready())
        status = "not ready" if reasons else "ready"
        return jsonify(status=status, reasons=reasons), 503 if reasons else 200

    @app.get("/metrics", responses={200: metrics.METRICS_RESPONSE, **failed})
    def scrape() -> Response:
        """What the service counts, for Prometheus."""
        return metrics.page(registry)

    openapi.serve_pages(app, failed)


def body() -> Json:
    """The request's body as strict JSON. Raises InvalidEncoding; 413 where it is too large."""
    return parse(raw_body())


def raw_body() -> bytes:
    """The request's body. 413 where it is too large."""
    raw, most = request.get_data(cache=False), request.max_content_length
    # A body that does not state its length is cut at the limit, and not refused.
    if request.content_length is None and most is not None and len(raw) >= most:
        raise RequestEntityTooLarge
    return raw
