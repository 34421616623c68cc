"""Every section that the code of `dragon.stark` cites exists in `docs/spec/`."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

import dragon.stark

ROOT = Path(__file__).parents[3]
SPEC = ROOT / "docs" / "spec"
PACKAGE = Path(dragon.stark.__file__).parent
ORACLES = [
    ROOT / "tests" / f"{name}.py"
    for name in (
        *("plainprover", "plainreadings", "plaintraces", "readingrows"),
        *("ranks", "readingranks", "leak"),
    )
]
SOURCES = sorted(PACKAGE.rglob("*.py")) + ORACLES

NUMBER = r"\d+(?:\.\d+)?"
CITED = re.compile(rf"\bsections? ({NUMBER}(?:(?:, and |, | and | to ){NUMBER})*)")
# A number in brackets that looks like a section but is not introduced by the word.
BARE = re.compile(rf"\((?:see )?(\d{{1,2}}\.\d{{1,2}}(?:(?:,| and) {NUMBER})*)(?=[),])")
HEADING = re.compile(rf"^#+ ({NUMBER})\.? ", re.MULTILINE)


def prose_of(source: str) -> str:
    """All comments and strings of a module as one line of text."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    kinds = (tokenize.COMMENT, tokenize.STRING)
    words = " ".join(token.string.lstrip("#") for token in tokens if token.type in kinds)
    return re.sub(r"\s+", " ", words)


def sections_in(source: str) -> set[str]:
    """The numbers of all sections that a module cites."""
    return {number for cited in CITED.findall(prose_of(source)) for number in numbers_in(cited)}


def numbers_in(cited: str) -> list[str]:
    return re.findall(NUMBER, cited)


def headings() -> set[str]:
    """The numbered headings. Sections 0 to 17, section 18 and section 19 have a page each."""
    base, blocks, readings = (
        set(HEADING.findall((SPEC / f"{name}.md").read_text()))
        for name in ("ziggy", "ziggy-blocks", "ziggy-readings")
    )
    assert all(int(number.split(".")[0]) <= 17 for number in base)
    assert all(number.split(".")[0] == "18" for number in blocks)
    assert all(number.split(".")[0] == "19" for number in readings)
    return base | blocks | readings


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_cited_section_exists(source: Path) -> None:
    assert sections_in(source.read_text()) <= headings()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_citation_says_that_it_is_a_section(source: Path) -> None:
    assert BARE.findall(prose_of(source.read_text())) == []


def test_the_headings_are_those_of_the_specification() -> None:
    found = headings()

    assert {str(number) for number in range(20)} <= found
    assert {"1.3", "9.1", "14.1", "18.1", "18.12", "19.1", "19.16"} <= found
    assert not found & {"20", "3.1", "18.13", "19.17"}


SAMPLE = '''
"""A module (sections 1.3, 18.4 and 99.1).

It is bound to the
statement (section 14.1, and steps 7 to 10). See sections 2 to 4.
"""
x = 1.5  # the bound of section
#   77, which wraps
y = "1.23 MB"
'''


def test_citations_are_found_in_every_form() -> None:
    assert sections_in(SAMPLE) == {"1.3", "18.4", "99.1", "14.1", "2", "4", "77"}


def test_a_section_that_does_not_exist_is_found() -> None:
    assert sections_in(SAMPLE) - headings() == {"99.1", "77"}


def test_a_bare_number_is_found() -> None:
    sample = '"""A tree (7.3) and more (10.1, steps 7); also (section 9.1), 1.15 p and f(1.5 x)."""'

    assert BARE.findall(prose_of(sample)) == ["7.3", "10.1"]
