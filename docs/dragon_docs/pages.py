"""Marked sections of Markdown pages, and what generates each of them.

A section begins with `<!-- generated: KIND ARGUMENT -->` and ends with `<!-- end -->`.
Everything between the two lines is replaced; everything outside is written by people.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from dragon_docs import (
    bounds,
    commands,
    conditions,
    examples,
    failures,
    http_reference,
    metrics,
    outputs,
    performance,
    reasons,
    scaling,
    security,
    settings,
    stranger_costs,
)

SECTION: Final = re.compile(
    r"^<!-- generated: (?P<kind>[a-z-]+)(?: (?P<argument>[^\n]+?))? -->\n"
    r"(?P<body>.*?)^<!-- end -->$",
    re.MULTILINE | re.DOTALL,
)
# By kind: a function of the argument that returns Markdown.
GENERATORS: Final[Mapping[str, Callable[[str], str]]] = {
    "bounds": bounds.table,
    "commands": commands.reference,
    "json-documents": commands.json_documents,
    "conditions": conditions.table,
    "example": examples.fenced,
    "exit-codes": failures.exit_codes,
    "errors": failures.table,
    "http": http_reference.section,
    "metrics": metrics.table,
    "output": outputs.block,
    "example-file": outputs.file,
    "performance": performance.section,
    "reasons": reasons.table,
    "scaling": scaling.section,
    "security": security.table,
    "settings": settings.table,
    "stranger-costs": stranger_costs.table,
}


class PageError(LookupError):
    """A page asks for something that cannot be generated."""


def pages(root: Path) -> Iterator[Path]:
    """Every page that may have generated sections, in a fixed order."""
    yield from sorted(root.glob("*.md"))
    yield from sorted(root.glob("*/README.md"))
    yield from sorted((root / "docs").rglob("*.md"))


def rewrite(text: str, page: Path) -> str:
    """The text of a page with every section generated anew.

    Raises:
        PageError: a section is of an unknown kind, or is not closed.
    """
    opened, closed = text.count("<!-- generated: "), len(SECTION.findall(text))
    if opened != closed:
        raise PageError(f"{page}: {opened} sections begin, {closed} of them end with <!-- end -->")

    def anew(found: re.Match[str]) -> str:
        kind, argument = found["kind"], found["argument"] or ""
        if kind not in GENERATORS:
            known = ", ".join(GENERATORS)
            raise PageError(f"{page}: there is no generator {kind!r}; expected one of {known}")
        head = f"<!-- generated: {f'{kind} {argument}'.strip()} -->"
        return f"{head}\n{generated(kind, argument).strip()}\n<!-- end -->"

    return SECTION.sub(anew, text)


@cache
def generated(kind: str, argument: str) -> str:
    """One section's text. Raises PageError: the generator does not know the argument."""
    try:
        return GENERATORS[kind](argument)
    except (LookupError, FileNotFoundError) as error:
        raise PageError(f"generated: {kind} {argument}: {error}") from error
