"""Find out which service answers at a URL, to explain that it is not the requested one."""

from __future__ import annotations

import json
from typing import Final

from dragon.errors import PeerError
from dragon.net.http_client import HttpClient
from dragon_cli.errors import WrongService

STREAM_SERVICE: Final = "stream service"
OPERATOR: Final = "operator"
MAX_DOCUMENT_BYTES: Final = 2 << 20
DEADLINE_SECONDS: Final = 3.0
_TITLE: Final = "DataDragon "  # how the title in a service's OpenAPI document begins


def check_service(http: HttpClient, url: str, expected: str) -> None:
    """Raise WrongService if the service at `url` says that it is another one.

    A service that does not answer raises nothing: the request that follows reports it.
    """
    title = _title(http, url)
    found = title.removeprefix(_TITLE)
    if title.startswith(_TITLE) and found.isascii() and found.isprintable() and found != expected:
        raise WrongService(f"The service at {url} is the {found}, not the {expected}.", found=found)


def _title(http: HttpClient, url: str) -> str:
    """Return the title of a service's OpenAPI document, empty if there is none."""
    try:
        answer = http.get(
            f"{url}/openapi.json", deadline=DEADLINE_SECONDS, max_bytes=MAX_DOCUMENT_BYTES
        )
        # Not our strict decoder: the document has numbers that are no integers.
        document = json.loads(answer.body)
    except (PeerError, ValueError, RecursionError):
        return ""
    info = document.get("info") if isinstance(document, dict) else None
    return str(info.get("title")) if isinstance(info, dict) else ""
