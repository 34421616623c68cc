"""`GET /openapi.json` and its page: every route with its parameters, bodies, answers and problems.

A route is documented where it is written, with flask-openapi:

    class Page(Query):
        after: Annotated[int, integer()] = 0
        limit: Annotated[int, integer(1, MAX_PAGE_SIZE)] = 100

    @routes.get("/things", responses=responses(Things, *PAGING_ERRORS))
    def things(query: Page) -> Response:
        \"\"\"What stands here is the summary of the page.\"\"\"

Queries and paths are read as described. Bodies are only described: whatever is signed goes through
our own strict parser and no other.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final, NoReturn, TypeAlias

from flask import Response, jsonify
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.info import Info
from flask_openapi.models.schema import Schema as OpenApiSchema
from flask_openapi.openapi import OpenAPI
from flask_openapi_swagger.plugins import RegisterPlugin  # type: ignore[import-untyped]
from pydantic import BaseModel, ValidationError

from dragon import errors
from dragon.node import problems
from dragon.node.schemas import Problem, Schema

URL: Final = "/openapi.json"
PAGES: Final = "/openapi"  # `/openapi/swagger` and what it loads
OPENAPI: Final = "3.1.0"
FORMATS: Final = "1"  # the version of everything that is signed, hashed or answered
_MEDIA_TYPE: Final = "application/problem+json"
# The page shows what this service says; nothing is fetched from or told to anybody else.
_POLICY: Final = "default-src 'self' 'unsafe-inline'; img-src 'self' data:"

Refusal: TypeAlias = type[errors.DragonError]
Responses: TypeAlias = dict[Any, Any]  # by status: a form, or a description in OpenAPI's own words
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
PAGING_ERRORS: Final[tuple[Refusal, ...]] = (
    errors.UnknownMember,
    errors.NotAnInteger,
    errors.IntegerOutOfRange,
)


def responses(model: type[Schema], *refusals: Refusal, status: int = 200) -> Responses:
    """What a route may answer: the good answer, and a problem document for each refusal."""
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for refusal in refusals:
        unmade = refusal.__new__(refusal)  # name and status are the class's
        by_status[problems.status_of(unmade)].append(unmade.name)
    documented = {int(code): _document(names) for code, names in by_status.items()}
    return {status: model, **documented, **INTERNAL_ERROR}


def _document(titles: list[str]) -> dict[str, Any]:
    schema = {
        "allOf": [{"$ref": "#/components/schemas/Problem"}],
        "properties": {"title": {"enum": titles}},
    }
    return {"description": ", ".join(titles), "content": {_MEDIA_TYPE: {"schema": schema}}}


INTERNAL_ERROR: Final[Responses] = {500: _document(["Internal Server Error"])}
BODY_TOO_LARGE: Final[Responses] = {413: _document(["Request Entity Too Large"])}


class Routes(APIBlueprint):
    """A blueprint whose routes appear in the document."""

    def request_body(self, *forms: type[Schema]) -> dict[str, Any]:
        """Describes a request's body without reading it: one of these forms."""
        for form in forms:
            whole = form.model_json_schema(ref_template="#/components/schemas/{model}")
            schema = {name: part for name, part in whole.items() if name != "$defs"}
            for name, inner in {**whole.get("$defs", {}), form.__name__: schema}.items():
                self.components_schemas[name] = OpenApiSchema(**inner)
        references = [{"$ref": f"#/components/schemas/{form.__name__}"} for form in forms]
        schema = references[0] if len(references) == 1 else {"oneOf": references}
        return {"required": True, "content": {"application/json": {"schema": schema}}}

    def binary_body(self) -> dict[str, Any]:
        """Describes a request's body of bytes."""
        schema = {"type": "string", "format": "binary"}
        return {"required": True, "content": {"application/octet-stream": {"schema": schema}}}


def make_app(name: str, *, title: str, error: type[BaseModel] = Problem) -> OpenAPI:
    """An app that knows how to describe itself. `error` is the form of its errors."""
    app = OpenAPI(
        name,
        info=Info(title=title, version=FORMATS),
        static_folder=None,
        doc_ui=False,
        # Every route of ours describes its 500; so the library adds the form and no answer.
        validation_error_model=error,
        validation_error_status=500,
        validation_error_callback=_refuse,
    )
    app.openapi_version = OPENAPI  # more readers know it than the library's 3.2
    app.json.sort_keys = False  # type: ignore[attr-defined]
    return app


def serve_pages(app: OpenAPI, failed: Responses) -> None:
    """`/openapi.json`, and a page for people with everything that it loads."""
    described = {"description": "OpenAPI 3.1", "content": {"application/json": {}}}

    @app.get(URL, responses={200: described, **failed})
    def document() -> Response:
        """This document."""
        return jsonify(app.api_doc)

    pages = RegisterPlugin.register(doc_url=URL)
    pages.after_request(_keep_local)
    app.config["SWAGGER_CONFIG"] = {"validatorUrl": None}  # else it asks a service of its makers
    app.register_blueprint(pages, url_prefix=PAGES)


def _keep_local(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY
    return response


def _refuse(error: ValidationError) -> NoReturn:
    """What our own readers of parameters leave to pydantic: a parameter that must be there."""
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "missing":
        raise errors.MissingMember(f"the parameter {name} is missing", member=name) from None
    raise errors.WrongType(f"{name} is not what belongs there", member=name) from None
