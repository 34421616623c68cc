"""Tables of errors, and of the codes with which processes end."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from importlib import import_module
from typing import Final

from dragon.errors import DragonError
from dragon.node.problems import status_of
from dragon_docs import tables
from dragon_docs.sources import PACKAGES, calls, modules, source_of
from dragon_docs.tables import code, sentence

MODULES: Final = ("dragon.errors", "dragon_sequencer.errors", "dragon_cli.errors")
# Code, or the constant that holds it, and why a process ends with it.
EXIT_CODES: Final[tuple[tuple[int | str, str, str], ...]] = (
    (0, "command", "Done, or the statement that was checked is true"),
    (0, "service", "It was told to stop"),
    ("dragon_cli.main:REFUSED", "command", "Refused or failed; the error names the reason"),
    ("dragon_cli.main:USAGE", "command", "Wrong usage, or a setting or file that cannot be used"),
    (2, "service", "A setting, a key, a certificate or the node list is wrong"),
    ("dragon_cli.main:DATABASE", "command", "The database is of a newer release"),
    (3, "service", "The database cannot be used, or no checkpoint to start from was found"),
    ("dragon_cli.main:INTERRUPTED", "command", "Interrupted with Ctrl-C"),
)


def exit_codes(_argument: str) -> str:
    rows = [(str(_code(value)), where, sentence(why)) for value, where, why in EXIT_CODES]
    return tables.table(("code", "of a", "meaning"), sorted(rows, key=lambda row: int(row[0])))


def _code(value: int | str) -> int:
    if isinstance(value, int):
        return value
    module, _, name = value.partition(":")
    found = getattr(import_module(module), name, None)
    if not isinstance(found, int):
        raise LookupError(f"{module} has no exit code {name}")
    return found


def table(argument: str) -> str:
    """The errors of a module; or, for the name of an error, those beneath it."""
    if argument in MODULES:
        rows = [_row(error) for error in errors_of(argument)]
        return tables.table(("error", "status", "facts", "meaning"), rows)
    base = getattr(import_module(MODULES[0]), argument)
    beneath = [error for error in errors_of(MODULES[0]) if base in error.__bases__]
    return tables.table(
        ("refusal", "reason"), [(code(each.__name__), meaning_of(each)) for each in beneath]
    )


def errors_of(module: str) -> list[type[DragonError]]:
    """The errors that a module defines, in the order of its text."""
    return [
        value
        for value in vars(import_module(module)).values()
        if inspect.isclass(value) and issubclass(value, DragonError) and value.__module__ == module
    ]


def name_of(error: type[DragonError]) -> str:
    """The name that users see, e.g. `quorum_not_met`."""
    return error.__new__(error).name


def meaning_of(error: type[DragonError]) -> str:
    """The first paragraph of the docstring."""
    return sentence((inspect.getdoc(error) or "").split("\n\n")[0])


def _row(error: type[DragonError]) -> tuple[str, str, str, str]:
    status = status_of(error.__new__(error))
    shown = "" if status is HTTPStatus.INTERNAL_SERVER_ERROR else str(status.value)
    facts = ", ".join(code(fact) for fact in sorted(_facts().get(error.__name__, ())))
    return code(name_of(error)), shown, facts, meaning_of(error)


@cache
def _facts() -> dict[str, set[str]]:
    """By class: the facts that it adds itself, or that are given to it anywhere in the code."""
    found: dict[str, set[str]] = {}
    own: dict[str, set[str]] = {}  # arguments of a class's own that are no facts by themselves
    for source in (source for package in PACKAGES for source in modules(package)):
        for definition in source.tree.body:
            if isinstance(definition, ast.ClassDef) and source.name in MODULES:
                found.setdefault(definition.name, set()).update(_added(definition))
                own.setdefault(definition.name, set()).update(_named(definition))
        for name, call in calls(source):
            found.setdefault(name, set()).update(_keywords(call))
    return {name: facts - (own.get(name, set()) - _kept(name)) for name, facts in found.items()}


def _kept(name: str) -> set[str]:
    """Facts that the constructor of a class passes on under their own names."""
    return {
        fact
        for module in MODULES
        for definition in source_of(import_module(module)).tree.body
        if isinstance(definition, ast.ClassDef) and definition.name == name
        for fact in _added(definition)
    }


def _added(definition: ast.ClassDef) -> Iterator[str]:
    """The facts that a class's constructor gives to that of its base."""
    for node in ast.walk(definition):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "__init__":
            yield from _keywords(node)


def _named(definition: ast.ClassDef) -> Iterator[str]:
    """The keyword-only arguments of a class's constructor."""
    for node in definition.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            yield from (argument.arg for argument in node.args.kwonlyargs)


def _keywords(call: ast.Call) -> Iterator[str]:
    return (each.arg for each in call.keywords if each.arg is not None)
