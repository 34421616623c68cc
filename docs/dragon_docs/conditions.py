"""The table of conditions that rules of alerts can name."""

from __future__ import annotations

from dragon_docs import tables
from dragon_docs.tables import code, sentence
from dragon_explorer.alerts.conditions import FACTS


def table(_argument: str) -> str:
    """Condition, how long it must last by default, what proves it, and its meaning."""
    rows = [
        (
            code(condition),
            "" if facts.after_seconds is None else f"{facts.after_seconds} s",
            "the log" if facts.certified else "",
            sentence(facts.meaning),
        )
        for condition, facts in FACTS.items()
    ]
    return tables.table(("condition", "`after`", "certified by", "meaning"), rows)
