"""Shapes of requests and answers of a Zellular node."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from dragon.node.openapi import Responses
from dragon.node.parameters import Parameters
from dragon.node.schemas import Described, Schema


class NodeError(Schema):
    code: str
    message: str


class Refused(Schema):
    """An error of the node, with its code."""

    status: Literal["error"]
    error: NodeError


class Detail(Schema):
    """An error of the node's framework: a text, or a list of validation errors."""

    detail: str | list[dict[str, Any]]


class Success(Schema):
    status: Literal["success"]
    message: str
    data: Any


class NodeReady(Schema):
    status: bool


class AppPath(Parameters):
    app: str


class StatePath(Parameters):
    state: str


class AppStatePath(AppPath, StatePath):
    pass


class PageQuery(Described):
    """Unknown parameters are ignored, as by the node."""

    after: Annotated[str, Field(description="an integer from 0")] = "0"


FAILED: Final[Responses] = {
    500: {"description": "Internal Server Error", "content": {"text/plain": {}}}
}
RESPONSES: Final[Responses] = {200: Success, 400: Refused, **FAILED}
SUBMISSION: Final[Responses] = {
    **RESPONSES,
    413: Detail,
    422: Detail,
    429: Refused,
    503: Refused,
}
BATCH: Final = {"type": "string"}
BATCHES: Final = {"type": "object", "additionalProperties": {"type": "array", "items": BATCH}}
OBJECT: Final = {"type": "object"}
