"""The explorer of a simulated fleet on a local port, and a browser that looks at it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright
from werkzeug.serving import make_server

from explorer_fleet import ExplorerWorld, SmallExplorerWorld

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@dataclass
class Watched:
    """A page of the browser, with what must not happen on it."""

    page: Page
    base: str
    errors: list[str] = field(default_factory=list)  # of the console
    strangers: list[str] = field(default_factory=list)  # requests to other hosts

    def __post_init__(self) -> None:
        self.page.on("console", self._on_message)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._on_request)

    def _on_message(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(f"{self.page.url}: {message.text}")

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith((self.base, "data:", "blob:")):
            self.strangers.append(request.url)

    def go(self, path: str, status: int = 200) -> Page:
        answer = self.page.goto(f"{self.base}{path}")
        assert answer is not None
        assert answer.status == status, path
        return self.page

    def leave(self) -> None:
        """Open an empty page, so that the page asks a server that ends nothing more."""
        self.page.goto("about:blank")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Debian's Chromium. Raises RuntimeError: it is not installed."""
    found = next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)
    if found is None:
        raise RuntimeError("Chromium is missing; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        # Containers have no user namespaces for the sandbox, and little shared memory.
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=found, args=options)
        yield browser
        browser.close()


def served(world: SmallExplorerWorld) -> AbstractContextManager[str]:
    """Serve the explorer of a world on a free port. Yields its address."""
    return served_app(world.app())


@contextmanager
def served_app(app: Any) -> Iterator[str]:
    """Serve an app on a free port. Yields its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def paths_of(world: ExplorerWorld) -> list[str]:
    """The address of every page: all rules of the app, with every kind of entry."""
    client = world.app().test_client()
    [stream] = client.get("/api/streams").json["streams"]
    newest, *_, oldest = client.get("/api/incidents").json["incidents"]
    entries = client.get("/api/log").json["entries"]
    kinds = {each["kind"]: each["position"] for each in entries}
    examples = {
        "/nodes/<node_id>": [newest["node_id"], "target_1?period=1h", "target_2", "target_3"],
        "/incidents/<position>": [newest["position"], oldest["end_position"]],
        "/epochs/<epoch>": [0],
        "/log/<position>": list(kinds.values()),
        "/streams/<stream_id>": [stream["stream"]],
        "/streams/<stream_id>/windows/<number>": [f"{stream['stream']}/windows/1"],
    }
    found = ["/agreements?month=2024-11"]
    for rule in page_rules(world):
        begin = rule.partition("<")[0]
        found += [f"{begin}{each}" for each in examples[rule]] if "<" in rule else [rule]
    return found


def page_rules(world: SmallExplorerWorld) -> list[str]:
    """The rules of all pages that a browser can open by their address."""
    return [
        rule.rule
        for rule in world.app().url_map.iter_rules()
        if rule.endpoint.startswith(("pages.", "verification"))
        and rule.endpoint != "pages.static"
        and "GET" in (rule.methods or ())
    ]
