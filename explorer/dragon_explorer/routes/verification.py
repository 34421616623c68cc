"""`POST /api/verify` and the form of `/verify`: anyone may have a document checked.

A check may take seconds of processor time. One runs at a time, on a thread of its own, and clients
outside the committee pay for it from their share of processor time.
"""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, render_template, request

from dragon.errors import ClientGone, TooLarge
from dragon.node import app as web
from dragon.node import client_gone
from dragon.node.openapi import BODY_TOO_LARGE, Routes, responses
from dragon_explorer import schemas
from dragon_explorer.components import Components
from dragon_explorer.rendering import HTML_TYPE, JSON_TYPE, encode
from dragon_explorer.views.verification import Verification
from dragon_explorer.views.verify import MAX_VERIFY_BYTES, verification

API_PATH: Final = "/api/verify"
FORM_PATH: Final = "/verify/result"
MAX_FORM_BYTES: Final = MAX_VERIFY_BYTES + 64 * 1024  # with what multipart adds
MAX_FORM_PARTS: Final = 8


def routes(components: Components) -> Routes:
    api = Routes("verification", __name__)

    @api.post(
        API_PATH,
        request_body=api.binary_body(),
        responses={**responses(schemas.VerificationResult), **BODY_TOO_LARGE},
    )
    def verify() -> Response:
        """Verify a document that certifies something; the body is the document."""
        request.max_content_length = MAX_VERIFY_BYTES
        found = _verify(components, web.raw_body())
        return Response(encode(found), content_type=JSON_TYPE)

    return api


def pages(components: Components) -> Blueprint:
    blueprint = Blueprint("verification_page", __name__)

    @blueprint.post(FORM_PATH)
    def result() -> Response:
        """The page with the verdict on an uploaded file or a pasted text."""
        request.max_content_length = MAX_FORM_BYTES
        request.max_form_memory_size = MAX_FORM_BYTES
        request.max_form_parts = MAX_FORM_PARTS
        found = _verify(components, _document())
        page = render_template("verify.html", view=found, page="verify")
        return Response(page, content_type=HTML_TYPE)

    return blueprint


def _document() -> bytes:
    """The uploaded file, or the pasted text. Raises TooLarge."""
    file = request.files.get("file")
    found = file.read(MAX_VERIFY_BYTES + 1) if file else b""
    if not found:
        # A browser sends the line ends of a text as CR LF, which JSON ignores.
        found = request.form.get("text", "").encode("utf-8", "replace")
    if len(found) > MAX_VERIFY_BYTES:
        message = f"the document has more than {MAX_VERIFY_BYTES} bytes, the maximum"
        raise TooLarge(message, most=MAX_VERIFY_BYTES)
    return found


def _verify(components: Components, raw: bytes) -> Verification:
    """Raises ClientGone."""
    if client_gone.of_request(request.environ)():  # while its request waited for the thread
        raise ClientGone("the client closed its connection before its verification began")
    return verification(raw, components.sources)
