"""The explorer's pages in a real browser: content, accessibility, and what they load."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from committees import make_members
from dragon.protocol.claims.status import StatusClaim
from dragon_explorer.alerts.alerting import open_database
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.alerts.config import AlertsConfig, Rule
from dragon_explorer.alerts.routes import Route
from dragon_explorer.app import create_app
from dragon_explorer.main import with_alerts
from dragon_explorer.public_page import Note, PublicNode, PublicPage
from dragon_explorer.settings import Settings
from explorer_browser import DESKTOP, PHONE, Watched, page_rules, paths_of, served, served_app
from explorer_epochs import EpochsWorld
from explorer_fleet import EXPLORER, ExplorerWorld, SmallExplorerWorld

pytestmark = pytest.mark.browser
Open = Callable[..., Watched]

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
SERIOUS = {"serious", "critical"}
MODES = {
    "light": {"viewport": DESKTOP, "color_scheme": "light"},
    "dark": {"viewport": DESKTOP, "color_scheme": "dark"},
    "light phone": {"viewport": PHONE, "color_scheme": "light"},
    "dark phone": {"viewport": PHONE, "color_scheme": "dark"},
}
# The pages without a parameter.
TABLE = {
    *("/", "/incidents", "/rounds", "/committee", "/streams", "/log"),
    *("/verify", "/alerts", "/public", "/epochs", "/agreements"),
}
# What a page says. Scripts add only buttons and the interactive chart.
FACTS = "main h1, main h2, main th, main td, main dd, main .status"
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
REFRESHED_MS = 3000  # an event appears within this time, without a reload


def cells(page: Page, row: str) -> list[str]:
    """The texts of the table row that begins with a text."""
    return (
        page.locator("tr", has=page.locator(f"th:has-text('{row}')"))
        .locator("th, td")
        .all_inner_texts()
    )


def findings(page: Page) -> list[str]:
    """Serious faults of accessibility on a page."""
    page.evaluate(AXE)
    found = page.evaluate(
        "axe.run({resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa']})"
    )
    return [
        f"{page.url} {each['id']}: {node['html']} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


# Every page


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mode", MODES)
def test_every_page_is_accessible(
    fleet: ExplorerWorld, base: str, open_page: Open, mode: str
) -> None:
    watched, paths = open_page(base, **MODES[mode]), paths_of(fleet)
    assert set(paths) >= TABLE
    for path in paths:
        check(watched.go(path))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mode", ["light", "dark phone"])
def test_every_page_is_complete_without_scripts(
    fleet: ExplorerWorld, base: str, open_page: Open, mode: str
) -> None:
    scripted = open_page(base, **MODES[mode])
    plain = open_page(base, **MODES[mode], java_script_enabled=False)
    for path in paths_of(fleet):
        page = scripted.go(path)
        told = plain.go(path).locator(FACTS).all_text_contents()
        assert told, path
        assert set(told) <= set(page.locator(FACTS).all_text_contents()), path


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mode", MODES)
def test_pages_of_a_changed_committee_are_accessible(
    epochs: EpochsWorld, changed: str, open_page: Open, mode: str
) -> None:
    watched = open_page(changed, **MODES[mode])
    for path in pages_of_epochs(epochs):
        check(watched.go(path))


def test_pages_of_a_changed_committee_are_complete_without_scripts(
    epochs: EpochsWorld, changed: str, open_page: Open
) -> None:
    scripted, plain = open_page(changed), open_page(changed, java_script_enabled=False)
    for path in pages_of_epochs(epochs):
        told = plain.go(path).locator(FACTS).all_text_contents()
        assert told, path
        assert set(told) <= set(scripted.go(path).locator(FACTS).all_text_contents()), path


def test_pending_approvals_are_read_at_a_glance(changed: str, open_page: Open) -> None:
    page = open_page(changed).go("/committee")

    first = page.locator(".proposal").first
    expect(first.get_by_role("heading", level=3)).to_have_text(
        re.compile("2 of 3 needed say that they have approved [0-9a-f]{4} ")
    )
    assert cells(page, "operator_2")[1] == "this committee"
    assert cells(page, "operator_5")[1] == "nothing"
    expect(first.get_by_text("operator operator_6 joins:")).to_be_visible()


def pages_of_epochs(world: EpochsWorld) -> list[str]:
    newest = world.explorer.sources.epochs.all()[-1]
    return [
        *("/", "/committee", "/epochs", "/epochs/0", f"/epochs/{newest.epoch}", "/rounds", "/log"),
        *(f"/log/{newest.position}", "/nodes/target_2", "/nodes/operator_4", "/public"),
    ]


def check(page: Page) -> None:
    """A page has one heading, no serious fault of accessibility, and no overflow."""
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    assert findings(page) == []
    assert page.evaluate(TOO_WIDE) <= 0, page.url


@pytest.mark.parametrize("mode", MODES)
def test_pages_that_refuse_something_are_accessible(base: str, open_page: Open, mode: str) -> None:
    watched = open_page(base, **MODES[mode])
    check(watched.go("/nowhere", status=404))
    check(watched.go("/nodes/A", status=400))
    watched.errors.clear()  # Chromium reports the status as an error of the console
    page = watched.go("/verify")
    page.get_by_label("Or paste its text").fill("{}")
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Refused")
    check(page)


@pytest.mark.parametrize("mode", MODES)
def test_a_new_fleet_and_a_dead_one_are_accessible(
    tmp_path: Path, open_page: Open, mode: str
) -> None:
    with SmallExplorerWorld(tmp_path, make_members(targets=1)) as world, served(world) as base:
        watched = open_page(base, **MODES[mode])
        world.explorer.follower.catch_up()
        page = watched.go("/")
        expect(page.locator("main .notice")).to_contain_text("Nothing is certified yet")
        for path in (each for each in page_rules(world) if "<" not in each):
            check(watched.go(path))
        world.run(14)
        for name in (*world.operators, *world.aggregators):
            world.stop(name)
        rounds = world.committee.rounds
        world.clock.now += rounds.unknown_after + rounds.checkpoint_every
        world.poll()
        world.explorer.follower.catch_up()
        page = watched.go("/")
        expect(page.locator("main .notice")).to_contain_text("The operators certify nothing")
        for path in (each for each in page_rules(world) if "<" not in each):
            check(watched.go(path))
        watched.leave()


@pytest.mark.parametrize("mode", MODES)
def test_groups_and_notes_are_accessible(
    fleet: ExplorerWorld, base: str, open_page: Open, mode: str
) -> None:
    file, before = fleet.explorer.sources.public_file, fleet.explorer.sources.public
    nodes = (PublicNode("target_1", "Website", "Shop"), PublicNode("target_2", "Mail"))
    notes = (
        Note("Slow", "We know.", nodes=("target_1",)),
        Note("Later", begin=int(fleet.clock.now) + 3600, end=int(fleet.clock.now) + 7200),
    )
    watched = open_page(base, **MODES[mode])
    try:
        file.page = PublicPage("Status", "", nodes, notes=notes)
        page = watched.go("/public")
        expect(page.get_by_role("heading", name="Shop")).to_be_visible()
        expect(page.get_by_role("heading", name="Later")).to_contain_text("planned")
        check(page)
    finally:
        file.page = before


@pytest.mark.parametrize("mode", MODES)
def test_alerts_are_accessible(small: SmallExplorerWorld, open_page: Open, mode: str) -> None:
    route = Route("team", "webhook", "http://no-receiver.example/secret-path")
    rule = Rule("nodes", frozenset({Condition.NODE_DOWN}), ("team",))
    database = small.database_file(EXPLORER)
    settings = Settings(
        committee=small.committee,
        database=database,
        nodes_files=(),
        host="",
        port=0,
        threads=1,
        public=PublicPage.of_all(small.committee),
        alerts=AlertsConfig((rule,), {"team": route}),
    )
    alerts = open_database(database)
    components = with_alerts(small.explorer, settings, alerts, small.runtime(EXPLORER))
    assert components.alerting is not None
    components.alerting.engine.step()
    small.stop("operator_2")
    for _ in range(4):
        small.run(1)
        components.alerting.engine.step()
    with served_app(create_app(components)) as base:
        watched = open_page(base, **MODES[mode])
        page = watched.go("/alerts")
        expect(page.get_by_role("region", name="Messages")).to_contain_text("Down: operator_2")
        check(page)
        watched.leave()
    alerts.close()


# Content


def test_the_fleet_shows_the_status_that_the_log_certifies(
    fleet: ExplorerWorld, base: str, open_page: Open
) -> None:
    page = open_page(base).go("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("1 of 7 nodes is down")
    state = fleet.explorer.log.state
    for node_id in fleet.committee.urls:
        last = state.last(node_id)
        assert last is not None
        shown = cells(page.locator(".nodes").page, node_id)
        assert shown[1].split()[0] == str(last.status)
        link = page.get_by_role("link", name=f"check {node_id}")
        expect(link).to_have_attribute("href", f"/incidents/{last.position}")


def test_the_log_page_lists_every_entry(fleet: ExplorerWorld, base: str, open_page: Open) -> None:
    page = open_page(base).go("/log")
    entries = page.get_by_role("region", name="Entries").locator("tbody th").all_inner_texts()
    assert [int(each) for each in entries] == list(reversed(range(fleet.explorer.log.state.size)))


def test_the_incident_page_names_signers_and_the_command(
    fleet: ExplorerWorld, base: str, open_page: Open
) -> None:
    outage = fleet.explorer.sources.index.open_outages()[-1]
    event = fleet.explorer.log.entry(outage.position).event
    assert isinstance(event.claim, StatusClaim)
    page = open_page(base).go(f"/incidents/{outage.position}")
    signed = page.locator(".signers .signed a").all_inner_texts()
    assert signed == list(event.signers)
    name = f"event-{outage.position}.json"
    expect(page.locator(".check pre code")).to_have_text(
        f"dragon verify event {name} --committee committee.json"
    )
    with page.expect_download() as download:
        page.get_by_role("link", name=name).click()
    assert download.value.suggested_filename == name


def test_the_window_page_shows_every_vote_and_the_proof(
    fleet: ExplorerWorld, base: str, open_page: Open
) -> None:
    [window] = [path for path in paths_of(fleet) if "/windows/" in path]
    page = open_page(base).go(window)
    votes = page.get_by_role("region", name="Votes on the verdict")
    shown = [row.inner_text().split("\t")[:2] for row in votes.locator("tbody tr").all()]
    assert [(name, vote.split(" ")[0].rstrip(":")) for name, vote in shown] == [
        *((f"operator_{number}", "signed") for number in (1, 2, 3)),
        ("operator_4", "silent"),
    ]
    facts = page.locator("dl.list").first
    expect(facts).to_contain_text(re.compile(r"Proof size\s*\d+\.\d kB"))
    expect(facts).to_contain_text(re.compile(r"Security level\s*101 bits"))
    steps = page.locator(".journey li").all_inner_texts()
    assert steps == ["closed", "announced", "proven", "voting", "certified"]


def test_the_public_page_has_no_internals(fleet: ExplorerWorld, base: str, open_page: Open) -> None:
    html = open_page(base).go("/public").content()
    for operator in fleet.committee.operators:
        assert operator.url not in html
    for word in ("operator_", "aggregator", "ledger", "/log", "/committee"):
        assert word not in html, word


def test_the_chart_is_drawn_with_its_text_beside_it(base: str, open_page: Open) -> None:
    page = open_page(base).go("/nodes/target_1?period=1h")
    expect(page.locator("#chart canvas")).to_be_visible()
    expect(page.get_by_role("region", name="Response times by observer")).to_be_visible()


# Times


def test_times_of_the_device_are_shown_on_request_and_stay(base: str, open_page: Open) -> None:
    page = open_page(base, timezone_id="America/New_York").go("/incidents")
    first = page.locator("main time").first
    expect(first).to_have_text(re.compile(r"^2024-11-25 08:\d\d:\d\d UTC$"))
    expect(first).to_have_attribute("title", re.compile(r"^2024-11-25 03:\d\d:\d\d UTC-05:00$"))
    page.get_by_role("button", name="Show times of this device").click()
    expect(first).to_have_text(re.compile(r"^2024-11-25 03:\d\d:\d\d UTC-05:00$"))
    page.goto(f"{base}/nodes/target_1")
    expect(page.locator("main .banner time")).to_have_text(re.compile(r"UTC-05:00$"))
    expect(page.locator("#chart canvas")).to_be_visible()
    page.get_by_role("button", name="Show UTC").click()
    expect(page.locator("main .banner time")).to_have_text(re.compile(r":\d\d UTC$"))
    expect(page.locator("#clock")).to_contain_text("All times are UTC.")


def test_a_refresh_keeps_the_times_of_the_device(
    small: SmallExplorerWorld, open_page: Open
) -> None:
    with served(small) as base:
        page = open_page(base, timezone_id="Asia/Kolkata").go("/rounds")
        page.get_by_role("button", name="Show times of this device").click()
        newest = page.get_by_role("region", name="The last rounds").locator("time").first
        before = newest.inner_text()
        assert before.endswith("UTC+05:30")
        small.run(2)
        expect(newest).not_to_have_text(before, timeout=REFRESHED_MS)
        expect(newest).to_have_text(re.compile(r"UTC\+05:30$"))


# Pages that refresh themselves


def test_an_event_appears_without_a_reload(small: SmallExplorerWorld, open_page: Open) -> None:
    with served(small) as base:
        page = open_page(base).go("/")
        heading = page.get_by_role("heading", level=1)
        expect(heading).to_have_text("All 4 nodes are up")
        page.evaluate("window.isOld = true")
        small.stop("operator_4", "hang")
        small.run(3)
        expect(heading).to_have_text("1 of 4 nodes is down", timeout=REFRESHED_MS)
        expect(page.locator("#announcement")).to_have_text("1 of 4 nodes is down")
        assert page.title().startswith("1 of 4 nodes is down")
        assert page.evaluate("window.isOld")


def test_a_refresh_keeps_what_is_open_and_the_focus(
    small: SmallExplorerWorld, open_page: Open
) -> None:
    with served(small) as base:
        page = open_page(base).go("/committee")
        opened = page.locator("details.id").first
        opened.locator("summary").click()
        page.get_by_role("link", name="operator_2").focus()
        ago = page.locator("main .ago").first
        before = ago.inner_text()
        small.run(2)
        expect(ago).not_to_have_text(before, timeout=REFRESHED_MS)
        expect(opened).to_have_attribute("open", "")
        expect(page.get_by_role("link", name="operator_2")).to_be_focused()


def test_a_page_says_that_the_explorer_does_not_answer(
    small: SmallExplorerWorld, open_page: Open
) -> None:
    with served(small) as base:
        watched = open_page(base)
        page = watched.go("/")
        page.context.set_offline(True)
        notice = page.locator("#connection")
        expect(notice).to_contain_text("has not answered since", timeout=REFRESHED_MS)
        page.context.set_offline(False)
        small.run(1)
        expect(notice).to_be_hidden(timeout=REFRESHED_MS)
    watched.errors.clear()  # about the lost connection


# Verification of documents


def event_file(fleet: ExplorerWorld, folder: Path) -> Path:
    position = fleet.explorer.sources.index.open_outages()[-1].position
    answer = fleet.app().test_client().get(f"/downloads/event-{position}.json")
    path = folder / "event.json"
    path.write_bytes(answer.data)
    return path


@pytest.mark.parametrize("scripts", [True, False])
def test_a_pasted_event_is_verified(
    fleet: ExplorerWorld, base: str, open_page: Open, tmp_path: Path, scripts: bool
) -> None:
    page = open_page(base, java_script_enabled=scripts).go("/verify")
    page.get_by_label("Or paste its text").fill(event_file(fleet, tmp_path).read_text())
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Verified: event")
    assert cells(page, "inclusion")[1].strip() == "holds"


def test_a_chosen_file_is_verified_at_once(
    fleet: ExplorerWorld, base: str, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(base).go("/verify")
    page.get_by_label("File").set_input_files(event_file(fleet, tmp_path))
    expect(page.get_by_role("heading", level=1)).to_have_text("Verified: event")


def test_a_dropped_file_is_verified(
    fleet: ExplorerWorld, base: str, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(base).go("/verify")
    text = event_file(fleet, tmp_path).read_text().replace('"down"', '"up"')
    transfer = page.evaluate_handle(
        """text => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([text], "event.json", {type: "application/json"}));
            return transfer;
        }""",
        text,
    )
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    expect(page.get_by_role("heading", level=1)).to_have_text("Refused: event")
    shown: list[Any] = cells(page, "signatures")
    assert shown[1].strip() == "refused"


# Keyboard


def test_the_first_tab_leads_to_the_content(base: str, open_page: Open) -> None:
    page = open_page(base).go("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")


def test_an_outage_is_found_and_checked_with_the_keyboard_alone(base: str, open_page: Open) -> None:
    page = open_page(base).go("/")
    reach(page, "Check the outage of operator_4")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("operator_4")
    with page.expect_download():
        reach(page, "event-")
        page.keyboard.press("Enter")


def reach(page: Page, name: str) -> None:
    """Press the tabulator until the focus is on a link whose name begins with a text."""
    script = """() => {
        const focused = document.activeElement;
        return focused.getAttribute("aria-label") || focused.textContent.trim();
    }"""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(script).startswith(name):
            return
    raise AssertionError(f"no link begins with {name!r}")
