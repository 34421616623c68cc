"""The common part of every service's app: problem documents, health, readiness, metrics, OpenAPI.

`install_common_routes` can be used alone by an app with another format of errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from flask import Response, jsonify, request
from flask_openapi.openapi import OpenAPI
from prometheus_client.registry import Collector
from werkzeug.exceptions import RequestEntityTooLarge

from dragon.encoding import Json, parse
from dragon.node import admission, metrics, openapi, problems, readiness, request_id
from dragon.node.admission import NO_EXCEPTIONS, Clients, Exceptions
from dragon.node.metrics import StateCollector
from dragon.node.schemas import Health, Readiness

if TYPE_CHECKING:  # services without a log do not load the database library
    from dragon.node.certification import Certification

MAX_BODY_BYTES: Final = 16 * 1024  # default limit of a request; a claim is far smaller

Reasons = Callable[[], Iterable[str]]


def create(
    name: str,
    not_ready: Reasons,
    *,
    title: str = "DataDragon",
    collectors: Iterable[Collector] = (),
    max_body: int = MAX_BODY_BYTES,
    unhealthy: Reasons = tuple,
    tokens: bool = False,
    clients: Clients | None = None,
    exceptions: Exceptions = NO_EXCEPTIONS,
    certification: Certification | None = None,
    degraded: Reasons | None = None,
) -> OpenAPI:
    """Make an app whose errors are problem documents, with the common routes.

    Args:
        name: the import name of the app.
        not_ready: returns the reasons why the service cannot do its work now.
        title: the title of the OpenAPI document.
        collectors: metrics of the service.
        max_body: maximum size of a request's body in bytes.
        unhealthy: returns the faults that a restart may repair.
        tokens: whether some routes require a bearer token.
        clients: whose requests share which processor time; None: nothing is limited.
        exceptions: requests that are limited in another way.
        certification: of a service with a log, for `/readyz` and metrics.
        degraded: returns the faults in spite of which the service does its work, for `/readyz`.
    """
    app = openapi.make_app(name, title=title, tokens=tokens)
    app.config["MAX_CONTENT_LENGTH"] = max_body
    problems.install(app)
    refused = [admission.install(app, clients, exceptions)] if clients else []
    certified = [StateCollector(certification.metrics)] if certification else []
    install_common_routes(
        app,
        not_ready,
        [*collectors, *refused, *certified],
        refused=openapi.RATE_LIMITED,
        unhealthy=unhealthy,
        certification=certification,
        degraded=degraded,
    )
    return app


def install_common_routes(
    app: OpenAPI,
    not_ready: Reasons,
    collectors: Iterable[Collector],
    failed: openapi.Responses = openapi.INTERNAL_ERROR,
    *,
    refused: openapi.Responses | None = None,
    unhealthy: Reasons = tuple,
    certification: Certification | None = None,
    degraded: Reasons | None = None,
) -> None:
    """Add request ids, `/healthz`, `/readyz`, `/metrics`, and `/openapi.json` with its page.

    Args:
        failed: the documented responses of a failure within the service.
        refused: those of clients that have used their share of processor time.
        degraded: returns the faults in spite of which the service does its work.
    """
    refused = refused or {}
    request_id.install(app)
    ready = StateCollector(lambda: readiness.metrics(readiness.all_reasons(not_ready)))
    registry = metrics.install(app, [*collectors, ready])

    @app.get("/healthz", responses={200: Health, 503: Readiness, **refused, **failed})
    def healthz() -> tuple[Response, int]:
        """Whether the process works. 503 lists faults that a restart may repair."""
        if reasons := list(unhealthy()):
            return jsonify(status="not ready", reasons=reasons), 503
        return jsonify(status="ok"), 200

    @app.get("/readyz", responses={200: Readiness, 503: Readiness, **refused, **failed})
    def readyz() -> tuple[Response, int]:
        """Whether the service can do its work now. 503 lists the reasons why not."""
        reasons = readiness.all_reasons(not_ready)
        answer: dict[str, object] = {
            "status": "not ready" if reasons else "ready",
            "reasons": reasons,
        }
        if degraded is not None:
            answer["degraded"] = list(degraded())
        if certification is not None:
            answer["certification"] = certification.to_json()
        return jsonify(answer), 503 if reasons else 200

    @app.get("/metrics", responses={200: metrics.METRICS_RESPONSE, **refused, **failed})
    def scrape() -> Response:
        """Metrics in the text format of Prometheus."""
        return metrics.page(registry)

    openapi.serve_pages(app, {**refused, **failed})


def body() -> Json:
    """Decode the request's body as strict JSON.

    Raises:
        InvalidEncoding: the body is not strict JSON.
        RequestEntityTooLarge: the body exceeds the limit (HTTP 413).
    """
    return parse(raw_body())


def raw_body() -> bytes:
    """Return the request's body. Raises RequestEntityTooLarge: it exceeds the limit (HTTP 413)."""
    raw, most = request.get_data(cache=False), request.max_content_length
    # A body without a stated length is truncated at the limit instead of being refused.
    if request.content_length is None and most is not None and len(raw) >= most:
        raise RequestEntityTooLarge
    return raw
