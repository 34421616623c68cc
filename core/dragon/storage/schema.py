"""Whether a database has the newest schema, found without Alembic, which takes long to load.

A schema is a folder of migrations, named `package:folder`. Its revisions are a chain, called
`<name>_<number>`, and the database keeps the last one applied in the table `schema_<name>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from dragon.errors import DatabaseTooNew

Query = Callable[[str], Iterable[Sequence[Any]]]  # SQL → rows

_REVISION: Final = re.compile(r'^revision = "(\w+)"$', re.MULTILINE)
_BEFORE: Final = re.compile(r'^down_revision = "(\w+)"$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Schema:
    """What this release knows of a schema."""

    revisions: frozenset[str]
    head: str

    @property
    def table(self) -> str:
        return "schema_" + self.head.rpartition("_")[0]


@cache
def known(location: str) -> Schema:
    """The revisions in a folder of migrations, read as text."""
    package, _, folder = location.partition(":")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no package {package}")
    versions = (Path(spec.origin).parent / folder / "versions").glob("*.py")
    texts = [path.read_text("utf-8") for path in versions]
    revisions = frozenset(name for text in texts for name in _REVISION.findall(text))
    [head] = revisions - {name for text in texts for name in _BEFORE.findall(text)}
    return Schema(revisions, head)


def is_behind(location: str, path: Path, query: Query) -> bool:
    """Whether the database at `path` lacks some or all migrations of this schema.

    Raises DatabaseTooNew: it has a revision that this release does not know.
    """
    schema = known(location)
    if not list(query(f"SELECT 1 FROM sqlite_master WHERE name = '{schema.table}'")):  # noqa: S608
        return True
    stored = {row[0] for row in query(f"SELECT version_num FROM {schema.table}")}  # noqa: S608
    for revision in sorted(stored - schema.revisions):
        message = (
            f"{path} was written by a newer release of DataDragon (schema {revision}; this "
            f"release knows {schema.head}); install that release, or use another file"
        )
        raise DatabaseTooNew(message, revision=revision)
    return stored != {schema.head}
