"""Files that pages load: those of other projects are unchanged, and templates hold no script."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
EXPLORER = ROOT / "explorer" / "dragon_explorer"
FOLDERS = (EXPLORER / "static" / "vendor", ROOT / "tests" / "browser" / "vendor")
TEMPLATES = sorted((EXPLORER / "templates").rglob("*.html"))
# What the content security policy forbids, and what loads from another host.
FORBIDDEN = re.compile(
    r"\sstyle=|\son[a-z]+=|<style|<script(?![^>]*\ssrc=\")|(?:src|href)=\"(?:https?:)?//"
)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_files_of_other_projects_have_their_pinned_hashes(folder: Path) -> None:
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    pinned = {name: digest for digest, name in (line.split() for line in lines)}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "SHA256SUMS"
    }
    assert found == pinned


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_each_project_has_its_licence_beside_its_files(folder: Path) -> None:
    projects = {path.name.partition(".")[0] for path in folder.glob("*.*")}
    assert projects
    assert all((folder / f"{project}.LICENSE.txt").is_file() for project in projects)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_hold_no_inline_script_or_style_and_load_from_no_other_host(path: Path) -> None:
    assert FORBIDDEN.search(path.read_text()) is None
