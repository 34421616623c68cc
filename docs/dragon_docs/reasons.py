"""Tables of closed lists: enumerations whose members are explained by the comments beside them."""

from __future__ import annotations

import ast
import enum
from collections.abc import Mapping
from importlib import import_module
from typing import Final

from dragon_docs import tables
from dragon_docs.sources import comment_for, source_of
from dragon_docs.tables import code, sentence

LISTS: Final[Mapping[str, str]] = {
    "attestation": "dragon.protocol.refusal:RefusalReason",
    "window": "dragon.protocol.claims.window:InvalidReason",
    "proof": "dragon.stark.refusal:Reason",
    "stream-report": "dragon.protocol.streams.certified_window:ReportReason",
    "spot-check": "dragon.protocol.streams.spot_check:SpotCheckReason",
}


def table(argument: str) -> str:
    """The members of one closed list with their meanings, in the order of the code."""
    rows = [(code(value), sentence(meaning)) for value, meaning in members(argument)]
    return tables.table(("reason", "meaning"), rows)


def members(argument: str) -> list[tuple[str, str]]:
    """The value of each member, and its comment."""
    module_name, _, class_name = LISTS[argument].partition(":")
    module = import_module(module_name)
    kind: type[enum.Enum] = getattr(module, class_name)
    source = source_of(module)
    return [
        (str(kind[statement.targets[0].id].value), comment_for(source, statement))
        for definition in source.tree.body
        if isinstance(definition, ast.ClassDef) and definition.name == class_name
        for statement in definition.body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    ]
