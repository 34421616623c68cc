"""Looks of kind `http`: one request, and the redirects that the committee file allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from dragon.errors import PeerError
from dragon.net.http_client import HttpResponse
from dragon.net.target_network import TargetNetwork
from dragon.probing.judgement import ANSWERED, Judgement, excerpt
from dragon.protocol.claims.status import Status
from dragon.protocol.target_checks import HttpCheck

MAX_REDIRECTS: Final = 5
REDIRECT_CODES: Final = frozenset({301, 302, 303, 307, 308})
REDIRECT_HOST: Final = "redirect_host"  # the answer redirects to a host that is not listed
TOO_MANY_REDIRECTS: Final = "too_many_redirects"
TEXT_MISSING: Final = "text_missing"
TEXT_FORBIDDEN: Final = "text_forbidden"


def look(
    check: HttpCheck, url: str, network: TargetNetwork, monotonic: Callable[[], float]
) -> Judgement:
    """Look once. The timeout covers all redirects. Never raises."""
    ends = monotonic() + check.timeout_ms / 1000
    for _ in range(MAX_REDIRECTS + 1):
        if (left := ends - monotonic()) <= 0:
            return Judgement.down("timeout")
        try:
            response = network.exchange(
                check.method, url, deadline=left, headers=check.headers, cut=True
            )
        except PeerError as error:
            return Judgement.failed(error)
        if not is_followed(check, response):
            return judge(check, response)
        url = _target_of(url, response.location or "")
        if (refused := refuse_redirect(check, url)) is not None:
            return refused
    return Judgement.down(TOO_MANY_REDIRECTS, f"more than {MAX_REDIRECTS}")


def is_followed(check: HttpCheck, response: HttpResponse) -> bool:
    """Whether the answer is a redirect that is not to be judged itself."""
    return bool(check.redirect_hosts) and (
        response.status in REDIRECT_CODES and bool(response.location)
    )


def _target_of(url: str, location: str) -> str:
    """Return the URL that an answer redirects to. It may be invalid."""
    try:
        return urljoin(url, location)
    except ValueError:
        return location


def refuse_redirect(check: HttpCheck, url: str) -> Judgement | None:
    """Return a judgement if a redirect to that URL may not be followed."""
    # As the client that connects reads it: other parsers find another host behind a backslash.
    try:
        parts = parse_url(url)
    except LocationParseError:  # for example a port that is no number
        return Judgement.down(REDIRECT_HOST, excerpt(url))
    if parts.scheme in {"http", "https"} and parts.host in check.redirect_hosts and not parts.auth:
        return None
    return Judgement.down(REDIRECT_HOST, excerpt(url))


def judge(check: HttpCheck, response: HttpResponse) -> Judgement:
    """Judge an answer. Of a body, only the first 64 KiB are known."""
    expires = response.certificate_expires
    if not check.accepts(response.status):
        detail = excerpt(response.location or "")
        return Judgement(Status.DOWN, f"status_{response.status}", detail, expires)
    body = b"" if check.method == "HEAD" else response.body
    if check.contains and check.contains.encode() not in body:
        return Judgement(Status.DOWN, TEXT_MISSING, excerpt(body), expires)
    if check.lacks and (at := body.find(check.lacks.encode())) >= 0:
        return Judgement(Status.DOWN, TEXT_FORBIDDEN, excerpt(body[at:]), expires)
    return Judgement(Status.UP, ANSWERED, "", expires)
