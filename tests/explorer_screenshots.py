"""Write the pictures of the explorer that the documentation shows: `make screenshots`.

Incident, stream, rounds and verdict are those of a simulated fleet, with genuine signatures. Such a
fleet is minutes old. The fleet and the status page are shown with a log of 90 days, in which all
certificates carry one genuine signature, because signing so many would take minutes.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page

import explorer as bench
import long_log
from committees import Members, make_members
from dragon.encoding import to_hex
from dragon.protocol import merkle
from dragon.protocol.claims.base import EventClaim
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon_explorer.app import create_app
from dragon_explorer.components import Components
from dragon_explorer.live import answers
from dragon_explorer.public_page import PublicNode, PublicPage
from dragon_explorer.settings import Settings
from explorer_browser import chromium, paths_of, served_app
from explorer_fleet import ExplorerWorld, fleet_with_history
from stream_simulation import PROVER

FOLDER: Final = Path(__file__).parent.parent / "docs" / "images"
VIEWPORT: Final = {"width": 1200, "height": 860}
MAX_BYTES: Final = 150_000
DAYS: Final = 89
ROUND_SECONDS: Final = 10
TARGETS: Final = {"website": "Website", "api": "API", "login": "Login", "mail": "Mail"}
# Node, day on which it went down, hour of that day, and minutes until it was up again.
OUTAGES: Final = (
    ("mail", 9, 3, 131),
    ("operator_2", 17, 22, 14),
    ("api", 31, 11, 7),
    ("website", 44, 5, 23),
    ("operator_4", 52, 1, 340),
    ("mail", 63, 14, 48),
    ("login", 71, 9, 5),
    ("api", 84, 16, 19),
)
BLIND: Final = (57, 2)  # the day and hour in which no checkpoint was certified
BLIND_HOURS: Final = 15
DOWN_NOW: Final = ("api", 4)  # minutes before the end


def members() -> Members:
    """Four operators that watch four services with telling names."""
    made = make_members(
        targets=len(TARGETS), name="example", round_seconds=ROUND_SECONDS, genesis=1_789_084_800
    )
    names = zip(made.committee.targets, TARGETS, strict=True)
    targets = tuple(
        replace(each, id=name, url=f"https://{name}.example.org") for each, name in names
    )
    return replace(made, committee=replace(made.committee, targets=targets))


def claims(made: Members, days: int, tree: merkle.Tree) -> Iterator[EventClaim]:
    """Yield the claims of a fleet with a few outages, of which one lasts."""
    rounds = made.committee.rounds
    end = days * 86_400 + 50_000
    changes = [(0, node_id, Status.UP) for node_id in made.committee.urls]
    for node_id, day, hour, minutes in OUTAGES:
        begin = day * 86_400 + hour * 3600
        changes += [(begin, node_id, Status.DOWN), (begin + minutes * 60, node_id, Status.UP)]
    changes.append((end - DOWN_NOW[1] * 60, DOWN_NOW[0], Status.DOWN))
    changes.sort(key=lambda each: each[0])
    blind = BLIND[0] * 86_400 + BLIND[1] * 3600
    for second in range(rounds.checkpoint_every, end, rounds.checkpoint_every):
        while changes and changes[0][0] < second:
            at, node_id, status = changes.pop(0)
            yield StatusClaim(node_id, status, rounds.start(max(1, at // rounds.seconds)))
        if not blind <= second < blind + BLIND_HOURS * 3600:
            yield CheckpointClaim(len(tree), tree.root(), rounds.start(second // rounds.seconds))


def long_fleet(folder: Path) -> Components:
    """The explorer of that fleet, on a clock that stands still."""
    made, clock = members(), bench.Clock()
    nodes = tuple(PublicNode(each, name) for each, name in TARGETS.items())
    settings = Settings(
        committee=made.committee,
        database=folder / "explorer.db",
        nodes_file=Path(),
        host="",
        port=0,
        threads=1,
        public=PublicPage("Example status", "The services of Example Ltd.", nodes),
    )
    long_log.fill(settings.database, made, DAYS, claims)
    components = bench.assembled(settings, clock)
    last = components.log.state.checkpoint
    assert last is not None
    clock.now = float(last.timestamp + 25)
    components.sources.follower.step()  # notes that the ledger has nothing new
    bench.report(components, made, int(clock.now))
    show_outage(components)
    return components


def show_outage(components: Components) -> None:
    """Let the aggregator's rounds agree with the log, and response times vary."""
    board = components.sources.board
    [report] = board.aggregators()
    found = report.rounds.value or ()
    rounds = tuple(
        each.model_copy(
            update={
                "start": found[-1].start - ROUND_SECONDS * (len(found) - 1 - number),
                "probes": [
                    probe(each.probes[place], place, number, len(found))
                    for place in range(len(each.probes))
                ],
            }
        )
        for number, each in enumerate(found)
    )
    board.put(replace(report, rounds=replace(report.rounds, value=rounds)))


def probe(found: answers.Probe, place: int, number: int, count: int) -> answers.Probe:
    left = (count - number) * ROUND_SECONDS
    is_down = found.node_id == DOWN_NOW[0] and left <= DOWN_NOW[1] * 60
    latency = 30 + 17 * place + (number * number * 37 + 11 * place) % 23
    seen, reason = ("down", "timeout") if is_down else ("up", "answered")
    return found.model_copy(update={"seen": seen, "reason": reason, "latency_ms": latency})


def take(page: Page, address: str, name: str, height: int = VIEWPORT["height"]) -> None:
    """Write the picture of a page."""
    page.set_viewport_size({**VIEWPORT, "height": height})
    if address:
        page.goto(address)
    page.wait_for_load_state("networkidle")
    path = FOLDER / f"explorer-{name}.png"
    page.screenshot(path=path, full_page=False)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise SystemExit(f"{path} has {size} bytes, more than {MAX_BYTES}")
    sys.stdout.write(f"{path.name}: {size:,} bytes\n")


def new_page(browser: Browser) -> Page:
    return browser.new_context(viewport=VIEWPORT, color_scheme="light").new_page()


def take_fleet(browser: Browser, folder: Path) -> None:
    app: Any = create_app(long_fleet(folder))
    with served_app(app) as base:
        page = new_page(browser)
        take(page, f"{base}/", "fleet", 900)
        take(page, f"{base}/public", "status-page", 960)


def close_window(world: ExplorerWorld) -> None:
    """Upload data, so that one window of the stream is on its way."""
    [stream] = world.components("stream_api").streams.all()
    made = {"stream": to_hex(stream.id), "token": stream.keys.token}
    world.stop(PROVER)
    world.upload(made, b"21.9")
    world.run(1)


def take_simulated(browser: Browser, folder: Path) -> None:
    with fleet_with_history(folder) as world, served_app(world.app()) as base:
        close_window(world)
        page, paths = new_page(browser), paths_of(world)
        take(page, f"{base}{paths['incident']}", "incident")
        take(page, f"{base}{paths['stream']}", "stream", 560)
        take(page, f"{base}/rounds", "rounds")
        position = paths["incident"].rpartition("/")[2]
        event = world.app().test_client().get(f"/downloads/event-{position}.json").text
        page.goto(f"{base}/verify")
        page.get_by_label("Or paste its text").fill(event)
        page.get_by_role("button", name="Verify").click()
        page.get_by_role("heading", name="Verified").wait_for()
        take(page, "", "verify", 640)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with chromium() as browser, tempfile.TemporaryDirectory() as folder:
        take_fleet(browser, Path(folder))
        (Path(folder) / "simulated").mkdir()
        take_simulated(browser, Path(folder) / "simulated")


if __name__ == "__main__":
    main()
