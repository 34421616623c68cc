"""The HTTP reference of a service, from its OpenAPI document and the notes in `http_notes.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from dragon.node.openapi import BODY_ERRORS, EVERYWHERE
from dragon_docs import apps, tables
from dragon_docs.http_types import members, words
from dragon_docs.tables import code, prose, sentence

NOTES: Final = Path(__file__).with_name("http_notes.toml")
ORDER: Final = ("operator", "aggregator", "stream", "prover", "explorer", "sequencer")
SHARED: Final = "shared"
NETWORK: Final = "sequencer"  # it speaks as the network's nodes do
REDIRECTED: Final = 300  # the lowest status that is no success
USED: Final[set[tuple[str, str]]] = set()  # notes that fitted something
UNEXPLAINED: Final[set[str]] = set()  # parameters and members that no note explains
PROBLEM: Final = "application/problem+json"
# The refusals of a body that is not in the form of section 1 of the specification.
# Problems of every endpoint, which the page explains once.
ANYWHERE: Final = frozenset(refusal.__new__(refusal).name for refusal in EVERYWHERE)
ENCODING: Final = frozenset(refusal.__new__(refusal).name for refusal in BODY_ERRORS)


@cache
def notes() -> Mapping[str, Mapping[str, str]]:
    """By table: `operations`, `members` and `parameters`."""
    return tomllib.loads(NOTES.read_text(encoding="utf-8"))


def section(service: str) -> str:
    """Every endpoint of a service; for `shared` those that several services have alike."""
    if service == SHARED:
        found = {name: _owners(name) for name in _all_names() if len(_owners(name)) > 1}
        parts = [_endpoint(owners[0], name, owners) for name, owners in found.items()]
    else:
        own = [name for name in apps.operations(service) if len(_owners(name, service)) == 1]
        parts = [_endpoint(service, name, ()) for name in own]
    return "\n\n".join(parts)


def _all_names() -> list[str]:
    return list(dict.fromkeys(name for service in ORDER for name in apps.operations(service)))


def _owners(name: str, service: str = "") -> tuple[str, ...]:
    """The services that answer an operation alike: as `service` does, or as the first does."""
    having = [each for each in ORDER if name in apps.operations(each)]
    first = _text(service or having[0], name)
    return tuple(each for each in having if _text(each, name) == first)


def _endpoint(service: str, name: str, owners: tuple[str, ...]) -> str:
    method, path = name.split(" ")
    shown = path.replace("{", "<").replace("}", ">")
    head = f"### `{method} {shown}`"
    of = f"Services: {', '.join(owners)}." if owners else ""
    return "\n\n".join(part for part in (head, of, _text(service, name)) if part)


@cache
def _text(service: str, name: str) -> str:
    operation = apps.operations(service)[name]
    schemas = apps.document(service)["components"]["schemas"]
    said = Notes(service, name)
    parts = [
        prose(f"{operation['summary']} {operation.get('description', '')}"),
        prose(said.of("operations", "")),
        _parameters(operation, said),
        *_bodies(operation, schemas, said),
        *_answers(operation, schemas, said),
        _problems(operation),
        _other_statuses(service, operation),
    ]
    return "\n\n".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Notes:
    """The notes on one operation."""

    service: str
    operation: str

    def of(self, kind: str, path: str, *, by_name: bool = True) -> str:
        """The most specific note on a parameter or member; on the operation itself without one.

        Args:
            by_name: whether a note on the last part of the path fits as well.
        """
        for key in self._keys(path, by_name=by_name):
            if key in notes()[kind]:
                USED.add((kind, key))
                return notes()[kind][key]
        return ""

    def meaning(self, kind: str, path: str) -> str:
        """The note on a parameter or member, which must have one; see `check_notes`."""
        if not (found := self.of(kind, path)):
            UNEXPLAINED.add(f"{self.service} {self.operation} {path}")
        return found

    def _keys(self, path: str, *, by_name: bool) -> list[str]:
        whole = f"{self.operation} {path}".strip()
        names = [path, path.rpartition(".")[2]] if path and by_name else []
        return [f"{self.service} {whole}", whole, *names]


def _parameters(operation: Mapping[str, Any], said: Notes) -> str:
    rows = [
        (
            code(each["name"]),
            f"{each['in']}: {words(each['schema'])}",
            "" if each.get("required") or each["in"] == "path" else _default(each["schema"]),
            sentence(each.get("description") or said.meaning("parameters", each["name"])),
        )
        for each in operation.get("parameters", [])
    ]
    return tables.table(("parameter", "type", "default", "meaning"), rows) if rows else ""


def _default(schema: Mapping[str, Any]) -> str:
    value = schema.get("default")
    if value is None or value == "" or (isinstance(value, int) and value > 1 << 52):
        return "none"
    return code(value)


def _bodies(operation: Mapping[str, Any], schemas: Mapping[str, Any], said: Notes) -> Iterator[str]:
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield _object(f"Request body, `{media}`", content.get("schema", {}), schemas, said)


def _answers(
    operation: Mapping[str, Any], schemas: Mapping[str, Any], said: Notes
) -> Iterator[str]:
    """The bodies of the answers; statuses with the same body stand together."""
    statuses: dict[str, list[str]] = {}
    for status, response in operation["responses"].items():
        if said.service == NETWORK and int(status) >= REDIRECTED:
            continue  # the network's forms, which the page describes
        for media, content in response.get("content", {}).items():
            if media != PROBLEM and (media != "text/plain" or status == "200"):
                body = _object(f", `{media}`", content.get("schema", {}), schemas, said)
                statuses.setdefault(body, []).append(status)
    for body, having in statuses.items():
        yield f"Response {', '.join(having)}{body}"


def _object(title: str, schema: Mapping[str, Any], schemas: Mapping[str, Any], said: Notes) -> str:
    """A body: its type, and a table of its members if it has any."""
    rows = [
        (
            code(path),
            kind + (", optional" if optional else ""),
            sentence(_meaning(said, path, kind)),
        )
        for path, kind, optional in members(schema, schemas)
    ]
    if rows:
        return f"{title}:\n\n" + tables.table(("member", "type", "meaning"), rows)
    kind = "bytes" if schema.get("format") == "binary" else words(schema) if schema else ""
    return f"{title}{': ' if kind else ''}{kind}."


def _meaning(said: Notes, path: str, kind: str) -> str:
    """The meaning of a member. The specification explains what the type links to, a list its items.

    An optional note fits in these two cases.
    """
    is_linked = "](" in kind
    if is_linked or path.endswith("[]"):
        return said.of("members", path, by_name=not is_linked)
    return said.meaning("members", path)


def _problems(operation: Mapping[str, Any]) -> str:
    """The problem documents of an operation, by status."""
    lines = []
    for status, response in sorted(operation["responses"].items()):
        content = response.get("content", {}).get(PROBLEM)
        titles = content["schema"]["properties"]["title"]["enum"] if content else []
        own = [title for title in titles if title not in ANYWHERE]
        if own and status not in {"500", "413"}:
            lines.append(f"{status} {_titles(own)}")
    return prose(f"Problems: {'; '.join(lines)}.") if lines else ""


def _other_statuses(service: str, operation: Mapping[str, Any]) -> str:
    """The sequencer's statuses whose bodies are in the network's forms."""
    found = [status for status in operation["responses"] if int(status) >= REDIRECTED]
    shown = ", ".join(sorted(set(found) - {"500"}))
    return f"Other statuses: {shown}." if service == NETWORK and shown else ""


def _titles(titles: list[str]) -> str:
    if set(titles) >= ENCODING:
        rest = [title for title in titles if title not in ENCODING]
        return ", ".join(["[a wrong form](#problems)", *map(code, rest)])
    return ", ".join(map(code, titles))


def check_notes() -> None:
    """Raises LookupError: a member has no meaning, or a note fits no operation of any service."""
    for service in ORDER:
        for name in apps.operations(service):
            _text(service, name)
    if UNEXPLAINED:
        missing = "; ".join(sorted(UNEXPLAINED))
        raise LookupError(f"{NOTES.name} explains these members and parameters not: {missing}")
    unused = [
        f"{kind}: {key}" for kind in notes() for key in notes()[kind] if (kind, key) not in USED
    ]
    if unused:
        raise LookupError(f"{NOTES.name} has notes that fit nothing: {'; '.join(unused)}")
