"""Write the pictures of the explorer that the documentation shows: `make screenshots`.

All are of one simulated fleet with genuine certificates (`explorer_example`). The certificate of
the outage that they show, and the committee that signed it, are written beside them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page

import memoize
from explorer_browser import PHONE, chromium, served
from explorer_example import ExampleWorld, example, positions, stream_id

FOLDER: Final = Path(__file__).parent.parent / "docs" / "images"
WIDTH: Final = 1200
MAX_BYTES: Final = 150_000
DOWN: Final = "mail"
MONTH: Final = "2026-10"  # of the totals that they show
# Each picture that the pages show, and its height in pixels.
PICTURES: Final = {
    "explorer-fleet": 950,
    "explorer-fleet-dark": 950,
    "explorer-incident": 900,
    "explorer-stream": 620,
    "explorer-rounds": 760,
    "explorer-agreements": 1040,
    "explorer-verify": 620,
    "explorer-status-page": 1000,
    "explorer-phone": PHONE["height"],
}
# The event that the pictures show, for `dragon verify event`.
EVENT, COMMITTEE = "event.json", "committee.json"


@contextmanager
def new_page(browser: Browser, scheme: str = "light") -> Iterator[Page]:
    context = browser.new_context(viewport={"width": WIDTH, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    yield context.new_page()
    context.close()


def take(page: Page, name: str, width: int = WIDTH) -> None:
    """Write the picture of what a page shows."""
    page.set_viewport_size({"width": width, "height": PICTURES[name]})
    page.wait_for_load_state("networkidle")
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise SystemExit(f"{path} has {size} bytes, more than {MAX_BYTES}")
    sys.stdout.write(f"{path.name}: {size:,} bytes\n")


def take_all(browser: Browser, world: ExampleWorld, base: str) -> None:
    [position, *_] = positions(world, DOWN)
    paths = {
        "fleet": "/",
        "incident": f"/incidents/{position}",
        "stream": f"/streams/{stream_id(world)}",
        "rounds": "/rounds",
        "agreements": f"/agreements?month={MONTH}",
        "status-page": "/public",
    }
    with new_page(browser) as page:
        for name, path in paths.items():
            page.goto(f"{base}{path}")
            take(page, f"explorer-{name}")
        page.goto(f"{base}/verify")
        page.get_by_label("File").set_input_files(FOLDER / EVENT)
        page.get_by_role("heading", name="Verified").wait_for()
        take(page, "explorer-verify")
    with new_page(browser, "dark") as page:
        page.goto(f"{base}/")
        take(page, "explorer-fleet-dark")
        page.goto(f"{base}/public")
        take(page, "explorer-phone", PHONE["width"])


def write_documents(world: ExampleWorld) -> None:
    """Write what proves the outage that the pictures show."""
    client = world.app().test_client()
    [position, *_] = positions(world, DOWN)
    (FOLDER / EVENT).write_bytes(client.get(f"/downloads/event-{position}.json").data)
    (FOLDER / COMMITTEE).write_bytes(client.get("/downloads/committee.json").data)


def main() -> None:
    memoize.install()  # seven logs verify the same thousands of signatures
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        example(Path(folder)) as world,
        served(world) as base,
        chromium() as browser,
    ):
        write_documents(world)
        take_all(browser, world, base)


if __name__ == "__main__":
    main()
