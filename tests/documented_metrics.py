"""Whether the reference lists what a service shows at `/metrics`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_REFERENCE: Final = Path(__file__).parents[1] / "docs" / "reference.md"


def check_documented(exposition: str) -> None:
    """Check that the reference has each metric with its type. Args: the text of `/metrics`."""
    reference = _REFERENCE.read_text(encoding="utf-8")
    found = re.findall(r"^# TYPE (datadragon_\w+) (\w+)$", exposition, re.MULTILINE)
    assert found, "the service shows no metric of its own"
    for name, kind in found:
        assert f"| `{name}` | {kind} |" in reference, name
