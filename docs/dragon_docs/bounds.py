"""Tables of bounds: every numeric constant of the code, with the comment that explains it.

A constant whose name says its unit and purpose needs no comment.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from importlib import import_module
from operator import attrgetter
from typing import Final

from dragon_docs import tables
from dragon_docs.sources import Source, comment_for, modules, package_folder
from dragon_docs.tables import code, sentence

# What each table is about: package and prefixes of modules; all modules if there is no prefix.
PARTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "formats": ("dragon", ("dragon.protocol", "dragon.encoding", "dragon.stark.blocks")),
    "agreements": (
        "dragon",
        (
            "dragon.agreements",
            "dragon.protocol.claims.maintenance",
            "dragon.protocol.claims.period",
        ),
    ),
    "shared": ("dragon", ("dragon.node", "dragon.net", "dragon.log", "dragon.storage")),
    "probing": ("dragon", ("dragon.probing",)),
    "operator": ("dragon_operator", ()),
    "aggregator": ("dragon_aggregator", ()),
    "stream": ("dragon_stream", ()),
    "prover": ("dragon_zkp", ()),
    "explorer": ("dragon_explorer", ()),
    "sequencer": ("dragon_sequencer", ()),
}
# Numbers that bound nothing: constants of curves, status codes, places in a format.
LEFT_OUT: Final = (
    "dragon.node.websocket:NORMAL",
    "dragon.node.websocket:GOING_AWAY",
    "dragon.node.websocket:NO_STATUS",
    "dragon.node.websocket:NOT_TEXT",
    "dragon.node.websocket:POLICY",
    "dragon.node.websocket:TOO_BIG",
    "dragon.node.websocket:TRY_AGAIN",
    "dragon.protocol.bls:ORDER",
    "dragon.storage.blobs:DESCRIPTOR_NUMBER",
    "dragon_sequencer.nodes:STATIC_TAG",
    "dragon_sequencer.pairing:*",
    "dragon_sequencer.tower:*",
    "dragon_sequencer.bn254:*",
    "dragon_sequencer.machine.instructions:*",
    "dragon_sequencer.machine.kernel:*",
    "dragon_sequencer.machine.library:*",
    "dragon_sequencer.machine.recording:*",
    "dragon_sequencer.machine.schedule:*",
    "dragon_sequencer.weighted_sum:WINDOW",
)
# Bounds that are attributes of classes.
ATTRIBUTES: Final[Mapping[str, Mapping[str, str]]] = {
    "dragon.net.deadlines": {
        "ServerSocket.receiving": "Seconds within which a request has to arrive as a whole",
        "ServerSocket.answering": "Seconds from the start of a request to the end of its response",
    },
}


def table(part: str) -> str:
    """Constant, value and meaning of every bound of a part, module by module."""
    package, prefixes = PARTS[part]
    rows: list[tuple[str, str, str]] = []
    for source in modules(package):
        if not prefixes or source.name.startswith(prefixes):
            short = source.name.removeprefix(f"{package}.")
            rows += [
                (code(f"{short}.{name}"), value, meaning)
                for name, value, meaning in constants(source)
            ]
    folder = package_folder(package).parent.name
    return f"Modules of `{folder}/{package}`.\n\n" + tables.table(
        ("constant", "value", "meaning"), rows
    )


def constants(source: Source) -> Iterator[tuple[str, str, str]]:
    """The public numeric constants of a module: name, value and meaning."""
    module = import_module(source.name)
    for statement in source.tree.body:
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        name = statement.target.id
        if name.isupper() and not name.startswith("_") and not _is_left_out(source, name):
            value = getattr(module, name)
            if type(value) in {int, float}:
                yield name, shown(value), sentence(comment_for(source, statement))
    for name, meaning in ATTRIBUTES.get(source.name, {}).items():
        yield name, shown(attrgetter(name)(module)), sentence(meaning)


def _is_left_out(source: Source, name: str) -> bool:
    return f"{source.name}:{name}" in LEFT_OUT or f"{source.name}:*" in LEFT_OUT


def shown(value: float) -> str:
    """A number with separators; whole seconds without a decimal point."""
    if isinstance(value, float) and not value.is_integer():
        return str(value)
    return f"{int(value):,}"
