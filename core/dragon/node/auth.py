"""Tokens in the header `Authorization`."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from flask import request

from dragon.errors import Unauthorized


def shown() -> str:
    """The token that the caller shows; "" if none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def check(is_token: Callable[[str], bool], message: str) -> None:
    """Raises Unauthorized. How long it takes says nothing about the token."""
    token = shown()
    if not token or not is_token(token):
        raise Unauthorized(message)


def is_same(token: str) -> Callable[[str], bool]:
    return lambda other: hmac.compare_digest(other.encode(), token.encode())
