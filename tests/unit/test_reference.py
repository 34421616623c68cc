"""The generated pages leave nothing out. `make check` compares them with the code."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dragon.protocol.refusal import RefusalReason

ROOT = Path(__file__).parents[2]
HTTP = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
SERVICES = ("operator", "aggregator", "stream", "prover", "explorer", "sequencer")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the generator as `make docs` finds it."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    return lambda name: importlib.import_module(f"dragon_docs.{name}")


def test_an_outdated_page_is_named_with_the_command_to_run(
    load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n<!-- generated: exit-codes -->\nold\n<!-- end -->\n")
    program = load("__main__")
    monkeypatch.setattr(program, "ROOT", tmp_path)

    assert program.main(["--check"]) == 1
    assert "page.md" in (said := capsys.readouterr().err)
    assert "make docs" in said
    assert "old" in page.read_text()
    assert program.main([]) == 0
    assert "| 130 |" in page.read_text()
    assert program.main(["--check"]) == 0


@pytest.mark.parametrize(
    "section",
    [
        "<!-- generated: nothing -->\n<!-- end -->\n",
        "<!-- generated: settings nobody -->\n<!-- end -->\n",
        "<!-- generated: exit-codes -->\n",
    ],
)
def test_a_section_that_cannot_be_generated_is_refused(
    load: Any, section: str, tmp_path: Path
) -> None:
    pages = load("pages")

    with pytest.raises(pages.PageError, match=r"page\.md|nobody"):
        pages.rewrite(section, tmp_path / "page.md")


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_is_in_the_reference(load: Any, service: str) -> None:
    app = load("apps").CREATE[service]()

    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith(("pages.", "verification_page.")):
            continue  # web pages
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"<\1>", rule.rule)
        for method in (rule.methods or set()) & {"GET", "POST", "PUT"}:
            if not path.startswith("/openapi/") and path not in _sockets(service):
                assert f"### `{method} {path}`" in HTTP


def _sockets(service: str) -> Iterator[str]:
    if service == "stream":
        yield from ("/streams/<stream>/ingest", "/streams/<stream>/events")


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_has_a_meaning(load: Any, service: str) -> None:
    rows = load("settings").table_rows(service)

    assert len(rows) >= 10
    assert all(meaning for *_, meaning in rows)


def test_no_meaning_is_left_without_a_setting(load: Any) -> None:
    settings = load("settings")
    read = {name.strip("`") for each in SERVICES for name, *_ in settings.table_rows(each)}
    modules = [settings.SHARED, *(name for names in settings.MODULES.values() for name in names)]

    for module in modules:
        assert set(getattr(importlib.import_module(module), "MEANINGS", ())) <= read


def test_every_reason_has_a_meaning(load: Any) -> None:
    members = [each for name in load("reasons").LISTS for each in load("reasons").members(name)]

    assert {str(reason) for reason in RefusalReason} <= {value for value, _ in members}
    assert all(meaning for _, meaning in members)


def test_a_comment_beside_a_constant_or_above_it_is_its_meaning(load: Any, tmp_path: Path) -> None:
    module = tmp_path / "limits.py"
    module.write_text(
        "# Not this one.\n\n# Seconds\n# to wait.\nWAIT: Final = 3\nMOST: Final = 5  # things\n"
    )
    sources = load("sources")
    source = sources._read(module, "limits")

    found = [sources.comment_for(source, statement) for statement in source.tree.body]

    assert found == ["Seconds to wait.", "things"]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made on the web."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: str(page.relative_to(ROOT))
)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in (link for link in links if not link.startswith(("http://", "https://"))):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_what_strangers_may_cost_is_stated_with_values_of_the_code(
    load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = load("stranger_costs")
    table = costs.table("")
    assert "{" not in table
    assert f"{importlib.import_module('dragon.node.lanes').MAX_WAITING_REQUESTS} requests" in table

    named = tmp_path / "costs.toml"
    named.write_text('[[costs]]\nresource = "r"\nbound = "{dragon.node.lanes:MISSING} s"\n')
    monkeypatch.setattr(costs, "COSTS", named)
    with pytest.raises(LookupError, match="MISSING"):
        costs.table("")
