"""Facts that are read from the source text, because the running program does not have them:
calls with their literal arguments, and the comments beside constants."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

PACKAGES: Final = (
    "dragon",
    "dragon_operator",
    "dragon_aggregator",
    "dragon_stream",
    "dragon_zkp",
    "dragon_explorer",
    "dragon_sequencer",
    "dragon_cli",
)


@dataclass(frozen=True, slots=True)
class Source:
    """One module's text."""

    name: str
    tree: ast.Module
    comments: dict[int, str]  # by line, without the hash sign
    alone: frozenset[int]  # lines that hold a comment and nothing else


def package_folder(package: str) -> Path:
    return _path(import_module(package)).parent


def modules(package: str) -> Iterator[Source]:
    """Every module of a package, in the order of their names; migrations are left out."""
    folder = package_folder(package)
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        if not any(part.endswith("migrations") for part in parts):
            yield _read(path, ".".join(part for part in parts if part != "__init__"))


def source_of(module: ModuleType) -> Source:
    return _read(_path(module), module.__name__)


def _path(module: ModuleType) -> Path:
    if module.__file__ is None:
        raise LookupError(f"{module.__name__} is not a module with a file")
    return Path(module.__file__)


@cache
def _read(path: Path, name: str) -> Source:
    text = path.read_text(encoding="utf-8")
    comments, alone = {}, set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string.lstrip("# ").strip()
            if not token.line[: token.start[1]].strip():
                alone.add(token.start[0])
    return Source(name, ast.parse(text), comments, frozenset(alone))


def comment_for(source: Source, node: ast.stmt) -> str:
    """The comment on the lines of a statement, or the one on the lines directly above it."""
    beside = [source.comments.get(line) for line in range(node.lineno, (node.end_lineno or 0) + 1)]
    if found := [text for text in beside if text]:
        return " ".join(found)
    above: list[str] = []
    line = node.lineno - 1
    while line in source.alone:
        above.insert(0, source.comments[line])
        line -= 1
    return " ".join(above)


def calls(source: Source) -> Iterator[tuple[str, ast.Call]]:
    """Every call of the module with the last part of the called name, in the order of lines."""
    found = [node for node in ast.walk(source.tree) if isinstance(node, ast.Call)]
    for node in sorted(found, key=lambda node: (node.lineno, node.col_offset)):
        if isinstance(node.func, ast.Name):
            yield node.func.id, node
        elif isinstance(node.func, ast.Attribute):
            yield node.func.attr, node


def literal(source: Source, node: ast.expr) -> ast.expr:
    """The expression itself; for a name, what the module assigned to it last above that line."""
    if not isinstance(node, ast.Name):
        return node
    values = {
        each.lineno: each.value
        for each in ast.walk(source.tree)
        if isinstance(each, (ast.Assign, ast.AnnAssign))
        and each.value is not None
        and each.lineno <= node.lineno
        and any(isinstance(target, ast.Name) and target.id == node.id for target in _targets(each))
    }
    return values[max(values)] if values else node


def text_of(source: Source, node: ast.expr) -> str | None:
    """A literal text, also through a name; else None."""
    found = literal(source, node)
    return found.value if isinstance(found, ast.Constant) and isinstance(found.value, str) else None


def _targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]
