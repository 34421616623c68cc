"""Where a file is not TOML, without the library's own text."""

from __future__ import annotations

import re
import tomllib
from typing import Final

_PLACE: Final = re.compile(r"\(at (line \d+, column \d+|end of document)\)$")


def toml_fault(error: tomllib.TOMLDecodeError) -> str:
    """Return a predicate such as "is not TOML at line 3, column 7"."""
    found = _PLACE.search(str(error))
    if found is None:
        return "is not TOML"
    return f"is not TOML at {found[1].replace('end of', 'the end of the')}"
