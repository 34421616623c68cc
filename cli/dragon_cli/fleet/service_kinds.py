"""Find out which service answers at a URL, to explain that it is not the requested one."""

from __future__ import annotations

from typing import Final

from dragon.errors import PeerError
from dragon.net.http_client import HttpClient
from dragon_cli.errors import WrongService
from dragon_cli.fleet import queries

STREAM_SERVICE: Final = "stream service"
OPERATOR: Final = "operator"
_TITLE: Final = "DataDragon "  # how the title in a service's OpenAPI document begins


def check_service(http: HttpClient, url: str, expected: str) -> None:
    """Raise WrongService if the service at `url` says that it is another one.

    A service that does not answer raises nothing: the request that follows reports it.
    """
    try:
        info = queries.get(http, f"{url}/openapi.json").get("info")
    except PeerError:
        return
    title = str(info.get("title")) if isinstance(info, dict) else ""
    found = title.removeprefix(_TITLE)
    if title.startswith(_TITLE) and found.isascii() and found.isprintable() and found != expected:
        raise WrongService(f"The service at {url} is the {found}, not the {expected}.", found=found)
