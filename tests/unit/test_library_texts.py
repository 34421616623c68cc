"""What a library says of an error reaches nobody: messages are the project's own words."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "core", "cli", "operator", "aggregator", "stream_api", "zkp_api", "explorer",
    "sequencer_client",
)  # fmt: skip
# Handlers that may quote, and why.
ALLOWED = {
    # Its errors are raised a few lines above, with words of their own.
    ("core/dragon/node/settings.py", "ValueError"),
    ("cli/dragon_cli/durations.py", "ValueError"),
    # All of these are of the project.
    ("cli/dragon_cli/fleet/submitting.py", "tuple(REFUSALS.values())"),
    ("cli/dragon_cli/fleet/repeating.py", "REFUSED"),
    # Only the name of the class, for the log; the window is then verified without the worker.
    ("operator/dragon_operator/window_case.py", "Exception"),
    # Only for the log of the service: nobody can foresee what another release of LLVM raises.
    ("sequencer_client/dragon_sequencer/loading.py", "Exception"),
    # The text is searched for status and code; none of it is quoted.
    ("stream_api/dragon_stream/archive/s3.py", "self._failures"),
    # A program for Docker, which shows the output of the check only to the user that runs it.
    ("core/dragon/node/health.py", "Unhealthy, OSError, ValueError"),
}


@cache
def trees() -> dict[str, ast.Module]:
    """The parsed modules of all packages, by path."""
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8"))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def project_errors() -> set[str]:
    """The names of all classes of the project that derive from an exception."""
    bases: dict[str, set[str]] = {}
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                named = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
                bases.setdefault(node.name, set()).update(named)
    found = {"DragonError"}
    while more := {name for name, of in bases.items() if of & found} - found:
        found |= more
    return found | {name for name, of in bases.items() if of & {"Exception", "ValueError"}}


def quotes(handler: ast.ExceptHandler) -> bool:
    """Whether the text, the form or the class name of the caught error is used."""
    name = handler.name

    def is_it(node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == name

    for node in ast.walk(handler):
        match node:
            case ast.FormattedValue(value=value) if is_it(value):
                return True
            case ast.Call(func=ast.Name(id="str" | "repr" | "type"), args=[value]) if is_it(value):
                return True
            case ast.FormattedValue(value=ast.Attribute(value=value, attr=attribute)) if is_it(
                value
            ) and attribute in {"orig", "description", "msg"}:
                return True
            case _:
                pass
    return False


def handlers(tree: ast.AST) -> Iterator[tuple[str, ast.ExceptHandler]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.name and node.type:
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            yield ", ".join(ast.unparse(kind) for kind in kinds), node


def test_no_handler_quotes_what_a_library_says() -> None:
    own = project_errors()
    found = [
        f"{place}:{handler.lineno}: {kinds}"
        for place, tree in trees().items()
        for kinds, handler in handlers(tree)
        if not all(kind.rpartition(".")[2] in own for kind in kinds.split(", "))
        and quotes(handler)
        and (place, kinds) not in ALLOWED
    ]

    assert found == []


@pytest.mark.parametrize(
    "text",
    ["raise X(f'no: {error}')", "y(str(error))", "y(type(error).__name__)", "y(f'{error.orig}')"],
)
def test_a_handler_that_quotes_is_noticed(text: str) -> None:
    tree = ast.parse(f"try:\n    x()\nexcept ValueError as error:\n    {text}\n")
    handler = next(node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler))

    assert quotes(handler)
