"""The explorer's pages in a real browser: content, accessibility, and what they load."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from dragon.protocol.claims.status import StatusClaim
from explorer_browser import DESKTOP, PHONE, Watched, paths_of, served
from explorer_fleet import ExplorerWorld, SmallExplorerWorld

pytestmark = pytest.mark.browser
Open = Callable[..., Watched]

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
SERIOUS = {"serious", "critical"}
MODES = {
    "light": {"viewport": DESKTOP, "color_scheme": "light"},
    "dark phone": {"viewport": PHONE, "color_scheme": "dark"},
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


@pytest.mark.parametrize("mode", MODES)
def test_pages_are_accessible_and_complete_without_scripts(
    fleet: ExplorerWorld, base: str, open_page: Open, mode: str
) -> None:
    scripted = open_page(base, **MODES[mode])
    plain = open_page(base, **MODES[mode], java_script_enabled=False)
    for name, path in paths_of(fleet).items():
        page = scripted.go(path)
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        assert findings(page) == []
        assert page.evaluate(TOO_WIDE) <= 0, name
        told = plain.go(path).locator(FACTS).all_text_contents()
        assert told, name
        assert set(told) <= set(page.locator(FACTS).all_text_contents()), name


# Content


def test_the_fleet_shows_the_status_that_the_log_certifies(
    fleet: ExplorerWorld, base: str, open_page: Open
) -> None:
    page = open_page(base).go("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("1 of 6 nodes is down")
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
    page = open_page(base).go(paths_of(fleet)["window"])
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
