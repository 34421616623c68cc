"""Markdown tables."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

WIDTH: Final = 120  # characters of a line of prose


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table. Columns that are empty in every row are left out."""
    listed = [list(row) for row in rows]
    kept = [k for k in range(len(head)) if k == 0 or any(row[k] for row in listed)]
    lines = [[head[k] for k in kept], ["---"] * len(kept)]
    lines += [[escaped(row[k]) for k in kept] for row in listed]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


def escaped(cell: str) -> str:
    """Text that may stand in a cell."""
    return " ".join(cell.split()).replace("|", r"\|")


def code(text: object) -> str:
    return f"`{text}`"


def sentence(text: str) -> str:
    """A text that begins with a capital letter and ends with one full stop."""
    stripped = " ".join(text.split()).rstrip(".")
    return f"{stripped[:1].upper()}{stripped[1:]}." if stripped else ""


def prose(text: str) -> str:
    """A paragraph, broken into lines."""
    return textwrap.fill(
        " ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False
    )
