"""Tables of settings: the environment variables of each service."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Final

from dragon.net import tls_names
from dragon_docs import tables
from dragon_docs.sources import calls, source_of
from dragon_docs.tables import code, sentence

SHARED: Final = "dragon.node.settings"
MODULES: Final[Mapping[str, tuple[str, ...]]] = {
    "operator": ("dragon_operator.settings",),
    "aggregator": ("dragon_aggregator.settings",),
    "stream": ("dragon_stream.settings", "dragon_stream.archive.settings"),
    "prover": ("dragon_zkp.settings",),
    "explorer": ("dragon_explorer.settings",),
    "sequencer": ("dragon_sequencer.devnet.main", "dragon_sequencer.devnet.serving"),
}
NAME: Final = re.compile(r"[A-Z]+(_[A-Z]+)+")
REQUIRED: Final = "required"
NONE: Final = "none"
COMPUTED: Final = "computed"


@dataclass(frozen=True, slots=True)
class Read:
    """A setting as the code reads it."""

    name: str
    default: str
    limits: str = ""


def table_rows(service: str) -> list[tuple[str, str, str, str]]:
    """Name, default, limits and meaning of every setting of a service, in the code's order."""
    modules = [import_module(name) for name in MODULES[service]]
    meanings = dict(import_module(SHARED).MEANINGS)
    for module in modules:
        meanings |= getattr(module, "MEANINGS", {})
    found = {each.name: each for module in modules for each in settings_of(module)}
    return [
        (code(each.name), each.default, each.limits, sentence(meanings[each.name]))
        for each in found.values()
    ]


def table(service: str) -> str:
    return tables.table(("setting", "default", "range", "meaning"), table_rows(service))


def settings_of(module: ModuleType) -> Iterator[Read]:
    """The settings that a module reads through `dragon.node.settings.Environment`."""
    for name, call in calls(source_of(module)):
        if name == "tls" and not call.args:
            yield from (
                Read(each, NONE) for each in (tls_names.CERTFILE, tls_names.KEYFILE, tls_names.CA)
            )
        elif name in {"committee", "lineage"} and not call.args:
            yield Read("DRAGON_COMMITTEE", REQUIRED)
        elif setting := _setting(call):
            yield Read(setting, _default(call, name, module), _limits(call, module))


def _setting(call: ast.Call) -> str | None:
    """The setting that a call reads: its literal argument in capital letters."""
    texts = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return next((text for text in texts if NAME.fullmatch(text)), None)


def _default(call: ast.Call, method: str, module: ModuleType) -> str:
    given = call.args[1:] if method in {"text", "path", "integer", "urls"} else []
    if given:
        value = _value(given[0], module)
        return COMPUTED if value is None else code(value)
    return REQUIRED if method in {"text", "path", "paths", "integer", "token", "tokens"} else NONE


def _limits(call: ast.Call, module: ModuleType) -> str:
    limits = {each.arg: _value(each.value, module) for each in call.keywords}
    if "least" not in limits:
        return ""
    return f"{limits['least']} to {limits['most']}"


def _value(node: ast.expr, module: ModuleType) -> object:
    """The value of a literal, of arithmetic on literals, or of a constant of the module."""
    if isinstance(node, ast.Name):
        return getattr(module, node.id, None)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.LShift):
        left, right = _value(node.left, module), _value(node.right, module)
        return left << right if isinstance(left, int) and isinstance(right, int) else None
    return node.value if isinstance(node, ast.Constant) else None
