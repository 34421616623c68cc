"""JSON schemas of an OpenAPI document in words: `32 bytes`, `id`, `list`, `text or null`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from dragon.encoding import DECIMAL_PATTERN

Schema = Mapping[str, Any]
REFERENCE: Final = "#/components/schemas/"
# Objects that the protocol specifies: by the names of their schemas, a word and where it stands.
SPECIFIED: Final[Mapping[frozenset[str], tuple[str, str]]] = {
    frozenset({"Descriptor"}): ("descriptor", "spec/protocol.md#descriptor"),
    frozenset({"WindowHeader"}): ("window header", "spec/protocol.md#window-headers"),
    frozenset({"ChunkHeader"}): ("chunk header", "spec/protocol.md#chunks"),
    frozenset({"WindowCertificate"}): ("certificate", "spec/protocol.md#5-certificates"),
    frozenset({"CheckpointCertificate"}): ("certificate", "spec/protocol.md#5-certificates"),
    frozenset({"HandoverEvent"}): ("handover", "spec/protocol.md#handovers"),
    frozenset({"CheckpointCertificate", "HandoverEvent"}): (
        "certificate of a checkpoint, or handover",
        "spec/protocol.md#lineage",
    ),
    frozenset(
        {
            *("StatusCertificate", "CheckpointCertificate", "WindowCertificate", "Endorsement"),
            *("Maintenance", "HandoverEvent"),
        }
    ): ("event", "spec/protocol.md#6-events-and-the-log"),
    frozenset({"Status", "Checkpoint", "Downtime", "Window"}): (
        "claim with its `kind`",
        "spec/protocol.md#4-claims",
    ),
}
_WORDS: Final = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "object": "object",
    "array": "list",
    "null": "null",
}
_DIGITS: Final = re.compile(r"\^0x(?:\[0-9a-f\]|\(\[0-9a-f\]\{2\}\))(\{(\d+)(?:,(\d+))?\}|\*)\$")


def words(schema: Schema) -> str:
    """The type of a member or parameter, as a phrase."""
    if named := specified(schema):
        word, place = named
        return f"[{word}]({place})"
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return _alternatives([word for choice in choices for word in _each(choice)])
    if values := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
        return _alternatives([f"`{value}`" for value in values])
    return "object" if "$ref" in schema else _plain(schema)


def _each(choice: Schema) -> list[str]:
    """The alternatives of an alternative."""
    return [words({"const": value}) for value in choice.get("enum", ())] or [words(choice)]


def _plain(schema: Schema) -> str:
    if pattern := schema.get("pattern"):
        return _text(pattern)
    return _WORDS[schema["type"]] + _range(schema) if "type" in schema else "any JSON"


def _alternatives(names: list[str]) -> str:
    *others, last = dict.fromkeys(names)
    return f"{', '.join(others)} or {last}" if others else last


def _text(pattern: str) -> str:
    """The words for a pattern of the specification, section 1."""
    if pattern == DECIMAL_PATTERN:
        return "integer as text"
    if found := _DIGITS.fullmatch(pattern):
        counted, least, most = found.groups()
        if counted == "*":
            return "bytes"
        each = 1 if "{2}" in pattern else 2  # the pattern counts bytes, or digits
        if most and most != least:
            return f"{int(least) // each} to {int(most) // each} bytes"
        return f"{int(least) // each} bytes"
    return "id"


def _range(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is None or most is None or most > 1 << 52:
        return f" from {int(least)}" if least is not None else ""
    return f", {int(least):,} to {int(most):,}"


def specified(schema: Schema) -> tuple[str, str] | None:
    """The word and the section of an object that the protocol specifies."""
    names = frozenset(_names(schema))
    return SPECIFIED.get(names)


def _names(schema: Schema) -> Iterator[str]:
    for each in (schema, *schema.get("oneOf", ()), *schema.get("anyOf", ())):
        if "$ref" in each:
            yield each["$ref"].removeprefix(REFERENCE)


def members(
    schema: Schema, schemas: Mapping[str, Schema], path: str = ""
) -> Iterator[tuple[str, str, bool]]:
    """Every member of an object, also inside others: its path, its type, whether it is optional."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].removeprefix(REFERENCE)]
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}{name}", words(inner), name not in required
        yield from _inside(inner, schemas, f"{path}{name}")


def _inside(
    schema: Schema, schemas: Mapping[str, Schema], path: str
) -> Iterator[tuple[str, str, bool]]:
    if specified(schema):
        return
    if items := schema.get("items"):
        if specified(items) or "$ref" not in items:
            yield f"{path}[]", words(items), False
        else:
            yield from members(items, schemas, f"{path}[].")
    for each in (schema, *schema.get("anyOf", ())):
        if "$ref" in each:
            yield from members(each, schemas, f"{path}.")
