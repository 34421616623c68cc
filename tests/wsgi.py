"""A network of WSGI apps without sockets.

    network = WsgiAdapter({"one:5001": app})
    session = network.session()
    session.get("http://one:5001/healthz")

A host that is not mounted, or that refuses, behaves like a closed port.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPHeaderDict, HTTPResponse

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WsgiAdapter(BaseAdapter):
    """Carries the requests of a `requests.Session` to WSGI apps, named by `host:port`."""

    def __init__(self, apps: Mapping[str, WsgiApp] | None = None) -> None:
        super().__init__()
        self._apps = dict(apps or {})
        self._refusing: set[str] = set()
        self.calls: list[
            tuple[str, str]
        ] = []  # method and URL of every request, also of refused ones

    def mount(self, host: str, app: WsgiApp) -> None:
        self._apps[host] = app

    def app(self, host: str) -> WsgiApp:
        """The app that is mounted at `host`."""
        return self._apps[host]

    def refuse(self, host: str) -> None:
        """From now on `host` is a closed port."""
        self._refusing.add(host)

    def accept(self, host: str) -> None:
        self._refusing.discard(host)

    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.mount("http://", self)
        session.mount("https://", self)
        return session

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, **_: object
    ) -> requests.Response:
        self.calls.append((request.method or "", request.url or ""))
        host = urlsplit(request.url or "").netloc
        if host not in self._apps or host in self._refusing:
            raise requests.ConnectionError(f"{host} refuses the connection", request=request)
        return _response(request, *_answer(self._apps[host], _environ(request)), self)

    def close(self) -> None:
        """There is nothing to close."""


def _environ(request: requests.PreparedRequest) -> dict[str, Any]:
    url, body = urlsplit(request.url or ""), request.body or b""
    raw = body.encode() if isinstance(body, str) else body
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(url.path, "latin-1"),
        "QUERY_STRING": url.query,
        "SERVER_NAME": url.hostname,
        "SERVER_PORT": str(url.port or 80),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": url.scheme,
        "wsgi.input": io.BytesIO(raw),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "HTTP_HOST": url.netloc,
        "CONTENT_LENGTH": str(len(raw)),
    }
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        plain = key in {"CONTENT_TYPE", "CONTENT_LENGTH"}
        environ[key if plain else f"HTTP_{key}"] = value
    return environ


def _answer(app: WsgiApp, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> None:
        started.append((status, headers))

    chunks = app(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    status, headers = started[-1]
    return status, headers, body


def _response(
    request: requests.PreparedRequest,
    status: str,
    headers: list[tuple[str, str]],
    body: bytes,
    adapter: WsgiAdapter,
) -> requests.Response:
    code, _, reason = status.partition(" ")
    response, kept = requests.Response(), HTTPHeaderDict(headers)
    response.status_code, response.reason = int(code), reason
    response.headers.update(kept)
    response.raw = HTTPResponse(io.BytesIO(body), kept, int(code), preload_content=False)
    response.url, response.request = request.url or "", request
    response.connection = adapter  # type: ignore[assignment]
    return response
