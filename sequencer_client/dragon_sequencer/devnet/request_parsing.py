"""Reads requests as a Zellular node does, with the validation errors of its framework."""

from __future__ import annotations

import json
import re
from typing import Final

from flask import request
from werkzeug.exceptions import InternalServerError

from dragon_sequencer.devnet.network import VERSION, Refusal

_AFTER: Final = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


class Invalid(Exception):
    """A validation error in FastAPI's format, with status 422."""

    def __init__(self, kind: str, loc: list[str | int], msg: str, given: object, **ctx: object):
        super().__init__(msg)
        detail = {"type": kind, "loc": loc, "msg": msg, "input": given}
        self.detail = [{**detail, "ctx": ctx} if ctx else detail]


def read_body() -> object:
    """The body as the node reads it: bytes, a JSON value, or None if it is empty.

    Raises Invalid: it should be JSON, and is not.
    """
    raw = request.get_data(cache=False)
    if not raw:
        return None
    kind = request.mimetype
    if kind and kind != "application/json" and not re.fullmatch(r"application/.+\+json", kind):
        return raw
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        text = getattr(error, "msg", "Expecting value")
        raise Invalid("json_invalid", ["body", 0], "JSON decode error", {}, error=text) from None


def batch_of(body: object) -> str:
    """One batch, from a body that `read_body` returned.

    Raises:
        Invalid: it is not text.
        InternalServerError: it is not UTF-8, as at the node.
    """
    if body is None:
        raise Invalid("missing", ["body"], "Field required", None)
    try:
        if isinstance(body, bytes):
            return body.decode()
        if isinstance(body, str):
            body.encode()
            return body
    except UnicodeError:
        raise InternalServerError from None
    raise Invalid("string_type", ["body"], "Input should be a valid string", body)


def batches_of(body: object) -> dict[str, list[str]]:
    """Batches by app, from a body that `read_body` returned. Raises as `batch_of`."""
    if body is None:
        raise Invalid("missing", ["body"], "Field required", None)
    if not isinstance(body, dict):
        given = body.decode(errors="replace") if isinstance(body, bytes) else body
        raise Invalid("dict_type", ["body"], "Input should be a valid dictionary", given)
    for app, batches in body.items():
        if not isinstance(batches, list):
            raise Invalid("list_type", ["body", app], "Input should be a valid list", batches)
        for at, batch in enumerate(batches):
            if not isinstance(batch, str):
                place = ["body", app, at]
                raise Invalid("string_type", place, "Input should be a valid string", batch)
            batch_of(batch)
    return body


def after_of(text: str) -> int:
    """The index that a parameter `after` states. Raises Invalid."""
    place: list[str | int] = ["query", "after"]
    if not _AFTER.fullmatch(text):
        msg = "Input should be a valid integer, unable to parse string as an integer"
        raise Invalid("int_parsing", place, msg, text)
    if int(text) < 0:
        msg = "Input should be greater than or equal to 0"
        raise Invalid("greater_than_equal", place, msg, text, ge=0)
    return int(text)


def check_version() -> None:
    """Raises Refusal: the request is of another version of the node."""
    if request.headers.get("Version", VERSION) != VERSION:
        message = "Invalid node version. Please get the latest version of node."
        raise Refusal(400, "InvalidNodeVersionError", message)


def check_state(state: str) -> None:
    """Raises Refusal: batches have no such state."""
    if state not in {"locked", "finalized"}:
        message = "Invalid state. Must be 'locked' or 'finalized'."
        raise Refusal(400, "InvalidRequestError", message)
