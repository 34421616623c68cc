"""The pictures of the documentation: each is shown, each is made by the script, and is true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import pytest

from dragon.protocol.claims.status import StatusClaim
from dragon.protocol.committee import Committee
from dragon.protocol.log_entry import ProvenEntry
from explorer_screenshots import COMMITTEE, DOWN, EVENT, FOLDER, MAX_BYTES, PICTURES

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted(
    path
    for folder in (ROOT, *(each for each in ROOT.iterdir() if each.is_dir()))
    for path in (folder.rglob("*.md") if folder.name == "docs" else folder.glob("*.md"))
)
MARKDOWN: Final = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
HTML: Final = re.compile(r'(?:src|srcset)="([^"]+)"')
CODE: Final = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def shown(page: Path) -> dict[Path, str]:
    """The pictures in a page of Markdown, with their texts for people who do not see them."""
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    found = {address: alt for alt, address in MARKDOWN.findall(text)}
    found |= dict.fromkeys(HTML.findall(text), "of a <picture>")
    return {
        (page.parent / address).resolve(): alt
        for address, alt in found.items()
        if "://" not in address
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_picture_that_a_page_shows_exists_and_has_a_text(page: Path) -> None:
    for picture, alt in shown(page).items():
        assert picture.is_file(), picture
        assert alt.strip(), f"{picture.name} has no alternative text"


def test_the_script_makes_exactly_the_pictures_that_pages_show() -> None:
    used = {picture for page in PAGES for picture in shown(page)}

    assert used == {FOLDER.resolve() / f"{name}.png" for name in PICTURES}
    assert used == {path.resolve() for path in FOLDER.glob("*.png")}
    assert all(path.stat().st_size <= MAX_BYTES for path in used)


def test_the_outage_that_the_pictures_show_is_certified() -> None:
    committee = Committee.from_json(json.loads((FOLDER / COMMITTEE).read_bytes()))
    proven = ProvenEntry.from_json(json.loads((FOLDER / EVENT).read_bytes()))

    proven.verify(committee)

    claim = proven.entry.event.claim
    assert isinstance(claim, StatusClaim)
    assert (claim.node_id, str(claim.status)) == (DOWN, "down")
