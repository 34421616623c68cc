"""Simple lines with colours, rendered as rich does without loading it, which takes 60 ms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

COLOURS: Final[Mapping[str, int]] = {"red": 31, "green": 32, "yellow": 33}  # codes of ECMA-48
# A coloured part of one line.
_COLOURED: Final = re.compile(rf"\[({'|'.join(COLOURS)})\]([^\[\]\n]+)\[/\]")
# What rich may take for the name of an emoji, between two colons.
_NAME: Final = re.compile(r"(?=:(\S*?):)")


def rendered(markup: str, *, coloured: bool) -> str | None:
    """Return the text of a line in rich's markup, or None if that takes rich itself.

    Args: `coloured`, whether colours are shown.
    """
    text = _COLOURED.sub(_escape_codes if coloured else r"\2", markup)
    without = _COLOURED.sub(r"\2", markup)
    if any(each in without for each in "[]\\") or not without.replace("\n", " ").isprintable():
        return None
    # The minutes of a time are no emoji.
    if all(len(name) == 2 and name.isdecimal() for name in _NAME.findall(without)):
        return text
    return None


def _escape_codes(part: re.Match[str]) -> str:
    return f"\x1b[{COLOURS[part[1]]}m{part[2]}\x1b[0m"
