"""The public status page: which nodes it shows, with its own title, text and host names.

It is configured by a TOML file:

    title = "Example status"
    text = "The services of Example Ltd."
    hosts = ["status.example.org"]      # `/` of these hosts is the public page

    [[nodes]]
    id = "target_1"
    name = "Website"                    # shown in place of the id
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from dragon.errors import SettingsError
from dragon.protocol.committee import Committee
from dragon_explorer.toml_faults import toml_fault

SETTING: Final = "EXPLORER_PUBLIC_FILE"
MAX_FILE_BYTES: Final = 64 * 1024
MAX_TEXT_CHARS: Final = 2000
MAX_NAME_CHARS: Final = 80
MAX_HOSTS: Final = 16


@dataclass(frozen=True, slots=True)
class PublicNode:
    """A node on the public page."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class PublicPage:
    """What the public page shows."""

    title: str
    text: str = ""
    nodes: tuple[PublicNode, ...] = ()
    hosts: frozenset[str] = frozenset()

    @classmethod
    def of_all(cls, committee: Committee) -> Self:
        """The page of a committee without a file: its targets, or its operators if it has none."""
        ids = [target.id for target in committee.targets] or list(committee.keys)
        return cls(committee.name, nodes=tuple(PublicNode(each, each) for each in ids))

    @classmethod
    def load(cls, path: Path, committee: Committee) -> Self:
        """Read the file. Raises SettingsError: it is not valid; the message says where."""
        try:
            raw = path.read_bytes()
            if len(raw) > MAX_FILE_BYTES:
                raise _invalid(path, f"it has more than {MAX_FILE_BYTES} bytes")
            found = tomllib.loads(raw.decode())
        except OSError as error:
            raise _invalid(path, f"it cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise _invalid(path, "it is not a text file in UTF-8") from None
        except tomllib.TOMLDecodeError as error:
            raise _invalid(path, f"it {toml_fault(error)}") from None
        if unknown := found.keys() - {"title", "text", "hosts", "nodes"}:
            raise _invalid(path, f"the key {min(unknown)!a} is unknown")
        hosts = found.get("hosts", [])
        if not isinstance(hosts, list) or not all(isinstance(each, str) for each in hosts):
            raise _invalid(path, "`hosts` must be a list of host names")
        if len(hosts) > MAX_HOSTS:
            raise _invalid(path, f"`hosts` has more than {MAX_HOSTS} names")
        return cls(
            _text(path, found, "title", MAX_NAME_CHARS) or committee.name,
            _text(path, found, "text", MAX_TEXT_CHARS),
            tuple(_nodes(path, found, committee)) or cls.of_all(committee).nodes,
            frozenset(each.lower() for each in hosts),
        )


def is_listed(host: str, hosts: frozenset[str]) -> bool:
    """Whether a request's host, with or without a port, is one of these host names."""
    name = host.rpartition(":")[0] or host
    return name.lower() in hosts


def _nodes(path: Path, found: dict[str, Any], committee: Committee) -> list[PublicNode]:
    listed = found.get("nodes", [])
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise _invalid(path, "`nodes` must be written as [[nodes]] tables")
    nodes = []
    for each in listed:
        node_id = _text(path, each, "id", MAX_NAME_CHARS)
        if unknown := each.keys() - {"id", "name"}:
            raise _invalid(path, f"the key {min(unknown)!a} of a node is unknown")
        if node_id not in committee.urls:
            raise _invalid(path, f"the committee lists no node {node_id!a}")
        nodes.append(PublicNode(node_id, _text(path, each, "name", MAX_NAME_CHARS) or node_id))
    return nodes


def _text(path: Path, found: dict[str, Any], key: str, most: int) -> str:
    value = found.get(key, "")
    if not isinstance(value, str) or len(value) > most:
        raise _invalid(path, f"`{key}` must be a text of at most {most} characters")
    return value


def _invalid(path: Path, why: str) -> SettingsError:
    return SettingsError(f"cannot use the public page {path}: {why}", setting=SETTING)
