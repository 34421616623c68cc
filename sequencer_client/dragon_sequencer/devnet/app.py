"""The HTTP interface of the development sequencer: that of a Zellular node, including errors.

Paths, statuses, codes and bodies are those of the node. Its framework is FastAPI, hence the format
of validation errors. Batches pass through byte for byte. In addition there are the routes of every
DataDragon service: `/metrics`, `/healthz`, `/readyz` and `/openapi.json`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from flask import Response, redirect, request
from flask_openapi.openapi import OpenAPI
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from werkzeug.exceptions import (
    HTTPException,
    InternalServerError,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
)

from dragon.errors import SettingsError
from dragon.node import openapi
from dragon.node.app import install_common_routes
from dragon.node.metrics import StateCollector
from dragon.node.openapi import Responses, Routes
from dragon_sequencer.devnet.faults import LeaderChange, bomb_pieces
from dragon_sequencer.devnet.network import STATES, Network, Refusal
from dragon_sequencer.devnet.request_parsing import (
    Invalid,
    after_of,
    batch_of,
    batches_of,
    check_state,
    check_version,
    read_body,
)
from dragon_sequencer.devnet.schemas import (
    BATCH,
    BATCHES,
    FAILED,
    OBJECT,
    RESPONSES,
    SUBMISSION,
    AppPath,
    AppStatePath,
    Detail,
    NodeReady,
    PageQuery,
    Refused,
    StatePath,
)

MAX_BATCH_BODY_BYTES: Final = (
    64 << 10
)  # body with one batch; JSON escapes may make it six times as long
MAX_BULK_BODY_BYTES: Final = 1 << 20  # body with batches of several apps
MAX_WAITING_READS: Final = 32  # reads that wait for a batch; further ones are answered at once
GATEWAY: Final = "dragon.gateway"  # in a request's environment: the number of the gateway
_GATEWAY: Final = re.compile(r"/gateway/([0-9]{1,3})(/.*)", re.ASCII | re.DOTALL)


def create_app(network: Network, *, hold: float = 1.0, control: bool = False) -> OpenAPI:
    """Build the node's interface to a network.

    Args:
        network: the simulated network.
        hold: seconds that a read without result waits for a batch.
        control: whether `/dev/faults` exists, with which anyone can inject faults.
    """
    app = openapi.make_app(__name__, title="DataDragon development sequencer", error=Detail)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BULK_BODY_BYTES
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.register_api(_submissions(network))
    app.register_api(_pages(network, hold))
    app.register_api(_status(network))
    if control:
        app.register_api(_control(network))
    install_common_routes(
        app, lambda: _not_ready(network), [StateCollector(lambda: _metrics(network))], FAILED
    )
    app.register_error_handler(Refusal, _refusal)
    app.register_error_handler(Invalid, lambda error: _json({"detail": error.detail}, 422))
    app.register_error_handler(SettingsError, lambda error: _json({"detail": str(error)}, 422))
    app.register_error_handler(HTTPException, _http_error)
    app.wsgi_app = _Gateways(app.wsgi_app)  # type: ignore[method-assign]
    return app


class _Gateways:
    """Takes the prefix `/gateway/N` from paths, by which one process stands for several nodes."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if found := _GATEWAY.fullmatch(environ["PATH_INFO"]):
            environ[GATEWAY], environ["PATH_INFO"] = int(found[1]), found[2]
            environ["SCRIPT_NAME"] += f"/gateway/{found[1]}"
        return self._app(environ, start_response)


def _gateway() -> int:
    """The number of the gateway that was asked."""
    return int(request.environ.get(GATEWAY, 0))


def _not_ready(network: Network) -> Iterator[str]:
    try:
        network.check_accepting()
    except Refusal as refusal:
        yield f"accepting: {refusal}"


def _metrics(network: Network) -> Iterator[Metric]:
    final = GaugeMetricFamily(
        "datadragon_sequencer_finalized_index",
        "Index of the newest finalized batch.",
        labels=["app"],
    )
    for app, indices in network.state()["apps"].items():
        final.add_metric([app], indices["last_finalized_index"])
    yield final


def _json_body(schema: Mapping[str, object]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _submissions(network: Network) -> Routes:
    routes = Routes("submissions", __name__)

    @routes.put("/node/<app>/batches", request_body=_json_body(BATCH), responses=SUBMISSION)
    def submit(path: AppPath) -> Response:
        """Submit a batch. It is accepted, but not final yet."""
        request.max_content_length = MAX_BATCH_BODY_BYTES
        try:
            body = read_body()
        except RequestEntityTooLarge:
            message = "The batch exceeds the maximum allowed size."
            raise Refusal(429, "BatchSizeExceededError", message) from None
        check_version()
        network.check_accepting()
        network.submit(path.app, batch_of(body))
        return _success({}, "The batch is received successfully.")

    @routes.put("/node/batches", request_body=_json_body(BATCHES), responses=SUBMISSION)
    def submit_many() -> Response:
        """Submit batches of several apps. Batches of unknown apps are dropped without an error."""
        body = read_body()
        check_version()
        network.check_accepting()
        for app, batches in batches_of(body).items():
            for batch in batches:
                _submit_silently(network, app, batch)
        return _success({}, "The batches are received successfully.")

    return routes


def _pages(network: Network, hold: float) -> Routes:
    routes = Routes("pages", __name__)
    waiting = threading.BoundedSemaphore(MAX_WAITING_READS)

    @routes.get("/node/<app>/batches/<state>", responses={**RESPONSES, 422: Detail})
    def page(path: AppStatePath, query: PageQuery) -> Response:
        """List finalized batches after an index, with their proofs; null if there are none."""
        app, state, gateway = path.app, path.state, _gateway()
        check_version()
        after = after_of(query.after)
        found = network.page(app, after, gateway)
        if bomb := network.faults.at(gateway).bomb:
            pieces = bomb_pieces(bomb, network.faults.bomb_bytes)
            return Response(pieces, 200, mimetype="application/json")
        if state not in STATES:
            return _success(None)
        if found is None and hold and waiting.acquire(blocking=False):
            try:
                network.wait(app, after, hold)
            finally:
                waiting.release()
            found = network.page(app, after, gateway)
        return _success(found)

    @routes.get("/node/<app>/batches/<state>/last", responses=RESPONSES)
    def last(path: AppStatePath) -> Response:
        """Get the newest finalized batch of an app."""
        check_version()
        check_state(path.state)
        return _success(network.last(path.app, path.state, _gateway()))

    @routes.get("/node/batches/<state>/last", responses=RESPONSES)
    def last_of_all(path: StatePath) -> Response:
        """Get the newest finalized batch of every app that has one."""
        state = path.state
        check_version()
        check_state(state)
        records = {app: network.last(app, state, _gateway()) for app in network.apps}
        return _success({app: record for app, record in records.items() if record})

    return routes


def _status(network: Network) -> Routes:
    routes = Routes("status", __name__)

    @routes.get("/", responses={307: {"description": "/node/state"}, **FAILED})
    def root() -> Any:
        """Redirect to the state."""
        return redirect(f"{request.script_root}/node/state", 307)

    @routes.get("/node/state", responses=RESPONSES)
    def state() -> Response:
        """Get the node's identity and the newest index of each app."""
        check_version()
        return _success(network.state())

    @routes.get("/node/ready", responses={200: NodeReady, 503: Refused, **FAILED})
    def ready() -> Response:
        """Tell whether batches are accepted."""
        network.check_accepting()
        return _json({"status": True})

    return routes


def _control(network: Network) -> Routes:
    """Fault injection, which a real node does not have."""
    routes = Routes("control", __name__)
    shown: Responses = {
        200: {"description": "Faults", "content": {"application/json": {}}},
        **FAILED,
    }

    @routes.get("/dev/faults", responses=shown)
    def faults() -> Response:
        """Get the active faults."""
        return _json(_shown(network))

    @routes.post("/dev/faults", request_body=_json_body(OBJECT), responses={**shown, 422: Detail})
    def change() -> Response:
        """Change faults, set `min_age_ms`, delete all batches with `reset`, or `leader_change`."""
        changes = request.get_json(silent=True)
        if not isinstance(changes, dict):
            raise SettingsError("faults must be a JSON object")
        reset, age = changes.pop("reset", False), changes.pop("min_age_ms", None)
        new_leader = changes.pop("leader_change", None)
        leader_change = None if new_leader is None else LeaderChange.decode(new_leader)
        if type(reset) is not bool or not (age is None or (type(age) is int and age >= 0)):
            raise SettingsError("reset must be true or false, min_age_ms an integer from 0")
        network.set_faults(**changes)
        if age is not None:
            network.set_min_age(age / 1000)
        if leader_change:
            network.change_leader(leader_change)
        if reset:
            network.reset()
        return _json(_shown(network))

    return routes


def _shown(network: Network) -> dict[str, Any]:
    faults = network.faults
    listed = {name: getattr(faults, name) for name in type(faults).__slots__}
    return {**listed, "min_age_ms": round(network.rules.min_age * 1000)}


def _submit_silently(network: Network, app: str, batch: str) -> None:
    """Submit, but drop batches of unknown apps and oversized batches without an error."""
    try:
        network.submit(app, batch)
    except Refusal as refusal:
        if refusal.code not in {"InvalidRequestError", "BatchSizeExceededError"}:
            raise


# Responses


def _success(data: object, message: str = "Operation successful") -> Response:
    return _json({"status": "success", "message": message, "data": data})


def _json(value: object, status: int = 200) -> Response:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode(errors="backslashreplace"), status, mimetype="application/json")


def _refusal(refusal: Refusal) -> Response:
    error = {"code": refusal.code, "message": str(refusal)}
    return _json({"status": "error", "error": error}, refusal.status)


def _http_error(error: HTTPException) -> Any:
    if isinstance(error, InternalServerError):
        return Response("Internal Server Error", 500, mimetype="text/plain")
    if isinstance(error, MethodNotAllowed | NotFound | RequestEntityTooLarge):
        answer = _json({"detail": error.name}, error.code or 500)
        if isinstance(error, MethodNotAllowed):
            answer.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return answer
    return error
