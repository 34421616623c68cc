"""Bearer tokens in the header `Authorization`."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any

from flask import request

from dragon.errors import Unauthorized


def token_of_request() -> str:
    """Return the token of the current request; empty if it has none."""
    return _token(request.environ)


def has_token(environ: Mapping[str, Any], is_token: Callable[[str], bool]) -> bool:
    """Whether the request of a WSGI environment has the right token."""
    token = _token(environ)
    return bool(token) and is_token(token)


def _token(environ: Mapping[str, Any]) -> str:
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return str(token.strip()) if scheme.lower() == "bearer" else ""


def check(is_token: Callable[[str], bool], message: str) -> None:
    """Check the token of the current request.

    Args:
        is_token: whether a token is right; it must take the same time for every token.
        message: the error message if it is not.

    Raises:
        Unauthorized: the request has no token, or a wrong one.
    """
    token = token_of_request()
    if not token or not is_token(token):
        raise Unauthorized(message)


def is_same(token: str) -> Callable[[str], bool]:
    """Return a comparison with `token` in constant time."""
    return lambda other: hmac.compare_digest(other.encode(), token.encode())
