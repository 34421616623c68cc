"""Cells of CSV files that spreadsheets open."""

from __future__ import annotations

from typing import Final

# A spreadsheet takes a cell that begins so for a formula. An id of a node may begin with "-".
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def plain_cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: with an apostrophe if it might."""
    return f"'{text}" if text.startswith(_FORMULA) else text
