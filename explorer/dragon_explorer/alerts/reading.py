"""Reads tables of a TOML file, and collects every mistake instead of stopping at the first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

MAX_TEXT_CHARS: Final = 2000
_NAME: Final = re.compile(r"[a-z0-9_-]{1,32}")
_DURATION: Final = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
NAME_FORM: Final = "1 to 32 of the characters a-z, 0-9, _ and -"


@dataclass(slots=True)
class Mistakes:
    """Sentences about what is wrong, each beginning with its key."""

    found: list[str] = field(default_factory=list)

    def add(self, key: str, what: str) -> None:
        """Add one mistake; `what` continues the sentence that the key begins."""
        self.found.append(f"`{key}` {what}")


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the file. Every method notes a mistake and returns an empty value."""

    key: str  # its place, such as `rules[1]`
    values: dict[str, Any]
    mistakes: Mistakes

    def wrong(self, name: str, what: str) -> None:
        """Note a mistake of one key of this table."""
        self.mistakes.add(f"{self.key}.{name}" if self.key else name, what)

    def only(self, names: Sequence[str]) -> None:
        """Note every key that is not among `names`."""
        for name in sorted(self.values.keys() - set(names)):
            self.wrong(name, f"is unknown; expected one of {', '.join(names)}")

    def text(self, name: str, *, required: bool = False) -> str:
        value = self.values.get(name, "")
        if not isinstance(value, str) or len(value) > MAX_TEXT_CHARS:
            self.wrong(name, f"must be a text of at most {MAX_TEXT_CHARS} characters")
            return ""
        if required and not value:
            self.wrong(name, "is missing")
        return str(value)

    def name(self, name: str) -> str:
        """A name, which appears in messages, on pages and in metrics."""
        value = self.text(name, required=True)
        if value and not _NAME.fullmatch(value):
            self.wrong(name, f"must have {NAME_FORM}")
            return ""
        return value

    def texts(self, name: str, *, required: bool = False) -> tuple[str, ...]:
        value = self.values.get(name, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            self.wrong(name, 'must be a list of texts, for example ["one", "two"]')
            return ()
        if not value and (required or name in self.values):
            self.wrong(name, "is missing or empty")
        return tuple(value)

    def boolean(self, name: str, *, default: bool) -> bool:
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            self.wrong(name, "must be true or false")
            return default
        return value

    def seconds(self, name: str, *, most: int, least: int = 0) -> int | None:
        """A duration such as "30s", "5m", "2h" or "1d", in seconds; None if it is missing."""
        if name not in self.values:
            return None
        value = self.values[name]
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        seconds = int(found[1]) * _UNITS[found[2]] if found else -1
        if not least <= seconds <= most:
            self.wrong(
                name,
                f'must be a duration such as "30s", "5m", "2h" or "1d", from {least} '
                f"to {most} seconds",
            )
            return None
        return seconds

    def tables(self, name: str, most: int) -> list[Table]:
        """The tables that are written as [[name]]."""
        value = self.values.get(name, [])
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            self.wrong(name, f"must be written as [[{name}]] tables")
            return []
        if len(value) > most:
            self.wrong(name, f"must not have more than {most} tables")
        return [
            Table(f"{name}[{number}]", each, self.mistakes)
            for number, each in enumerate(value[:most], start=1)
        ]

    def tables_by_name(self, name: str, most: int) -> dict[str, Table]:
        """The tables that are written as [name.of-the-table]."""
        value = self.values.get(name, {})
        if not isinstance(value, dict) or not all(
            isinstance(each, dict) for each in value.values()
        ):
            self.wrong(name, f"must be written as [{name}.<name>] tables")
            return {}
        if len(value) > most:
            self.wrong(name, f"must not have more than {most} tables")
        for each in value:
            if not _NAME.fullmatch(each):
                self.wrong(name, f"has the name {each!a}; a name must have {NAME_FORM}")
        return {
            each: Table(f"{name}.{each}", table, self.mistakes)
            for each, table in list(value.items())[:most]
        }
