"""`GET /openapi.json` and its page: every route with its parameters, bodies, responses and errors.

A route is documented where it is written, with flask-openapi:

    class ThingsQuery(LimitQuery):
        after: Annotated[int, integer()] = 0

    @routes.get("/things", responses=responses(Things, *PAGING_ERRORS))
    def things(query: ThingsQuery) -> Response:
        \"\"\"This sentence is the summary of the route.\"\"\"

The library decodes queries and paths as they are described. Bodies are only described: everything
that is signed is decoded by `dragon.encoding`.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn, TypeAlias

from flask import Flask, Request, Response, jsonify
from flask.sessions import NullSession, SessionInterface, SessionMixin
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.info import Info
from flask_openapi.models.schema import Schema as OpenApiSchema
from flask_openapi.models.security_scheme import SecurityScheme
from flask_openapi.openapi import OpenAPI
from flask_openapi.types import ParametersTuple
from flask_openapi.utils import parse_parameters
from flask_openapi_swagger.plugins import RegisterPlugin  # type: ignore[import-untyped]
from pydantic import BaseModel, ValidationError

from dragon import errors
from dragon.node import problems
from dragon.node.descriptions import Descriptions
from dragon.node.schemas import Problem, Schema

URL: Final = "/openapi.json"
UI_PREFIX: Final = "/openapi"  # the page `/openapi/swagger` and its files
OPENAPI_VERSION: Final = "3.1.0"
FORMAT_VERSION: Final = "1"  # version of everything that is signed, hashed or answered
_MEDIA_TYPE: Final = "application/problem+json"
# The page loads nothing from other servers and sends nothing to them.
_POLICY: Final = "default-src 'self' 'unsafe-inline'; img-src 'self' data:"

# What the document of a service with tokens declares, and its routes that require one.
BEARER: Final[dict[str, SecurityScheme | dict[str, Any]]] = {
    "token": {"type": "http", "scheme": "bearer"}
}
REQUIRES_TOKEN: Final[list[dict[str, list[Any]]]] = [{"token": []}]
TAKES_TOKEN: Final[list[dict[str, list[Any]]]] = [*REQUIRES_TOKEN, {}]  # for a part of the answers

Refusal: TypeAlias = type[errors.DragonError]
Responses: TypeAlias = dict[Any, Any]  # by status: a model, or a description in OpenAPI's terms
BODY_ERRORS: Final[tuple[Refusal, ...]] = (
    errors.NotJson,
    errors.DuplicateMember,
    errors.NotAnInteger,
    errors.IntegerOutOfRange,
    errors.LoneSurrogate,
    errors.WrongType,
    errors.UnknownMember,
    errors.MissingMember,
    errors.InvalidId,
    errors.InvalidHex,
    errors.UnknownValue,
)
EVERYWHERE: Final[tuple[Refusal, ...]] = (errors.RateLimited, errors.DiskFull, errors.DiskFailed)
PAGING_ERRORS: Final[tuple[Refusal, ...]] = (
    errors.UnknownMember,
    errors.NotAnInteger,
    errors.IntegerOutOfRange,
)


def responses(model: type[Schema], *refusals: Refusal, status: int = 200) -> Responses:
    """Describe the responses of a route.

    Args:
        model: the body of a successful response.
        refusals: the errors that the route answers with.
        status: the HTTP status of a successful response.
    """
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for refusal in (*refusals, *EVERYWHERE):
        error = refusal.__new__(refusal)  # name and status do not depend on the instance
        by_status[problems.status_of(error)].append(error.name)
    by_status[500].append("Internal Server Error")
    documented = {int(code): _document(names) for code, names in by_status.items()}
    return {status: model, **documented}


def _document(titles: list[str]) -> dict[str, Any]:
    schema = {
        "allOf": [{"$ref": "#/components/schemas/Problem"}],
        "properties": {"title": {"enum": titles}},
    }
    return {"description": ", ".join(titles), "content": {_MEDIA_TYPE: {"schema": schema}}}


INTERNAL_ERROR: Final[Responses] = {500: _document(["Internal Server Error"])}
RATE_LIMITED: Final[Responses] = {429: _document(["rate_limited"])}
BODY_TOO_LARGE: Final[Responses] = {413: _document(["Request Entity Too Large"])}


class Routes(APIBlueprint):
    """A blueprint whose routes appear in the OpenAPI document."""

    def __init__(self, name: str, import_name: str, **options: Any) -> None:
        super().__init__(name, import_name, **options)
        self.descriptions = Descriptions()

    def _collect_openapi_info(self, rule: str, func: Any, **options: Any) -> ParametersTuple:
        self.descriptions.add(super()._collect_openapi_info, rule, func, **options)
        return parse_parameters(func, doc_ui=False)

    def request_body(self, *models: type[Schema]) -> dict[str, Any]:
        """Describe a JSON body that is one of `models`, without decoding it."""
        self.descriptions.add(self._describe_models, models)
        references = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
        schema = references[0] if len(references) == 1 else {"oneOf": references}
        return {"required": True, "content": {"application/json": {"schema": schema}}}

    def _describe_models(self, models: Iterable[type[Schema]]) -> None:
        for model in models:
            whole = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schema = {name: part for name, part in whole.items() if name != "$defs"}
            for name, inner in {**whole.get("$defs", {}), model.__name__: schema}.items():
                self.components_schemas[name] = OpenApiSchema(**inner)

    def binary_body(self) -> dict[str, Any]:
        """Describe a body of bytes."""
        schema = {"type": "string", "format": "binary"}
        return {"required": True, "content": {"application/octet-stream": {"schema": schema}}}


_MAKING: Final = threading.Lock()  # pydantic must not build one model in two threads


class _NoSessions(SessionInterface):
    """No cookies, and no session: Flask would make an empty one for each request."""

    def __init__(self) -> None:
        self._empty = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self._empty

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Do nothing: an empty session cannot be changed."""


class _App(OpenAPI):
    """An app whose blueprints may share a path: the library keeps the last one's methods only."""

    session_interface = _NoSessions()

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self._descriptions = Descriptions()

    def _collect_openapi_info(self, rule: str, func: Any, **options: Any) -> ParametersTuple:
        self._descriptions.add(super()._collect_openapi_info, rule, func, **options)
        return parse_parameters(func, doc_ui=False)

    def register_api(self, api: APIBlueprint, **options: Any) -> None:
        self._descriptions.add(self._describe, api)
        self.register_blueprint(api, **options)

    def _describe(self, api: APIBlueprint) -> None:
        """Add the descriptions of a blueprint's routes to those of the app."""
        if isinstance(api, Routes):
            api.descriptions.make()
        for path, added in api.paths.items():
            methods = {name: getattr(added, name) for name in added.model_fields_set}
            known = self.paths.get(path)
            self.paths[path] = known.model_copy(update=methods) if known else added
        self.components_schemas.update(api.components_schemas)

    @property
    def api_doc(self) -> dict[str, Any]:
        """The OpenAPI document; the first call makes it."""
        with _MAKING:
            self._descriptions.make()
            document: dict[str, Any] = super().api_doc
            return document

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return `func`: nothing of ours is a coroutine, and Flask would inspect it each time."""
        return func


def make_app(
    name: str, *, title: str, error: type[BaseModel] = Problem, tokens: bool = False
) -> OpenAPI:
    """Make an app that describes itself.

    Args:
        error: the model of its errors.
        tokens: whether some of its routes require a bearer token.
    """
    app = _App(
        name,
        info=Info(title=title, version=FORMAT_VERSION),
        static_folder=None,
        doc_ui=False,
        security_schemes=BEARER if tokens else {},
        # Every route describes its own 500, so the library adds only the model, and no response.
        validation_error_model=error,
        validation_error_status=500,
        validation_error_callback=_refuse,
    )
    app.openapi_version = OPENAPI_VERSION  # more tools support it than the library's 3.2
    app.json.sort_keys = False  # type: ignore[attr-defined]
    return app


def serve_pages(app: OpenAPI, failed: Responses) -> None:
    """Add `/openapi.json`, and a page that displays it, with the files of the page."""
    described = {"description": "OpenAPI 3.1", "content": {"application/json": {}}}

    @app.get(URL, responses={200: described, **failed})
    def document() -> Response:
        """This document (OpenAPI 3.1)."""
        return jsonify(app.api_doc)

    pages = RegisterPlugin.register(doc_url=URL)
    pages.after_request(_keep_local)
    app.config["SWAGGER_CONFIG"] = {
        "validatorUrl": None
    }  # otherwise the page sends the document to a public validator
    app.register_blueprint(pages, url_prefix=UI_PREFIX)


def _keep_local(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY
    return response


def _refuse(error: ValidationError) -> NoReturn:
    """Raise the error for a fault that pydantic itself found: usually a missing parameter."""
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "missing":
        raise errors.MissingMember(f"the parameter {name} is missing", member=name) from None
    raise errors.WrongType(f"{name} has the wrong type", member=name) from None
