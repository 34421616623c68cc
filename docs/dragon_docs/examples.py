"""Examples of the specification: one JSON file each in `tests/vectors/protocol`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

VECTORS: Final = Path(__file__).resolve().parents[2] / "tests" / "vectors" / "protocol"


def fenced(name: str) -> str:
    """An example as a block of code: a text as it is, a value indented, a table in columns."""
    example: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    if "value" in example:
        language, text = "json", json.dumps(example["value"], indent=2, ensure_ascii=False)
    elif "rows" in example:
        language, text = (
            "text",
            _columns(
                [*([columns] if (columns := example.get("columns")) else []), *example["rows"]]
            ),
        )
    else:
        language, text = example.get("language", "text"), example["text"]
    return f"```{language} {name}\n{text}\n```"


def _columns(rows: list[list[Any]]) -> str:
    """Columns that stand two blanks apart."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[k]) for row in texts) for k in range(len(texts[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in texts
    ]
    return "\n".join(line.rstrip() for line in lines)
