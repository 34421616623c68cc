"""The public status page: which nodes it shows, with its own title, text and host names.

It is configured by a TOML file, which is read again when it changes:

    title = "Example status"
    text = "The services of Example Ltd."
    hosts = ["status.example.org"]      # `/` of these hosts is the public page

    [[nodes]]
    id = "target_1"
    name = "Website"                    # shown in place of the id
    group = "Shop"                      # nodes of a group stand together, below its name

    [[notes]]
    title = "New database"
    text = "The website may be slow."
    begin = 2026-12-06T08:00:00Z        # shown; it does not hide the note
    end = 2026-12-06T12:00:00Z          # from then on the note is not shown
    nodes = ["target_1"]
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import structlog

from dragon.errors import SettingsError
from dragon.protocol.committee import Committee, Seated
from dragon_explorer.toml_files import UnusableToml, read_toml

SETTING: Final = "EXPLORER_PUBLIC_FILE"
MAX_TEXT_CHARS: Final = 2000
MAX_NAME_CHARS: Final = 80
MAX_HOSTS: Final = 16
_NAME: Final = r"[a-z0-9_-]+(\.[a-z0-9_-]+)*"
_HOST: Final = re.compile(rf"{_NAME}|\[[0-9a-f:.]+\]")
# As in `Host`: a dot may end the name, and a port may be empty.
_REQUEST_HOST: Final = re.compile(rf"(?P<name>{_NAME}|\[[0-9a-f:.]+\])\.?(:[0-9]*)?")
MAX_NOTES: Final = 16
REREAD_SECONDS: Final = 5.0  # between two looks at the file

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PublicNode:
    """A node on the public page."""

    id: str
    name: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """A text of the page's owner, about an incident or planned work. Nothing certifies it."""

    title: str
    text: str = ""
    begin: int | None = None  # Unix seconds
    end: int | None = None  # Unix seconds; None: shown until it is removed from the file
    nodes: tuple[str, ...] = ()  # ids


@dataclass(frozen=True, slots=True)
class PublicPage:
    """What the public page shows."""

    title: str
    text: str = ""
    nodes: tuple[PublicNode, ...] = ()
    hosts: frozenset[str] = frozenset()
    notes: tuple[Note, ...] = ()  # in the order of the file
    shows_all: bool = False  # `nodes` follow the committee, because the file names none

    @classmethod
    def of_all(cls, committee: Committee) -> Self:
        """The page of a committee without a file: its targets, or its operators if it has none."""
        ids = [target.id for target in committee.targets] or list(committee.keys)
        nodes = tuple(PublicNode(each, each) for each in ids)
        return cls(committee.name, nodes=nodes, shows_all=True)

    @classmethod
    def load(cls, path: Path, committee: Committee, listed: Container[str] | None = None) -> Self:
        """Read the file. Raises SettingsError: it is not valid; the message says where.

        Args:
            committee: the one that holds.
            listed: ids of the nodes that some committee of the network has listed: a node may stay
                on the page after it has left. By default those of `committee`.
        """
        listed = committee.urls if listed is None else listed
        try:
            found = read_toml(path)
        except UnusableToml as error:
            raise _invalid(path, f"it {error}") from None
        if unknown := found.keys() - {"title", "text", "hosts", "nodes", "notes"}:
            raise _invalid(path, f"the key {min(unknown)!a} is unknown")
        hosts = found.get("hosts", [])
        if not isinstance(hosts, list) or not all(isinstance(each, str) for each in hosts):
            raise _invalid(path, "`hosts` must be a list of host names")
        if len(hosts) > MAX_HOSTS:
            raise _invalid(path, f"`hosts` has more than {MAX_HOSTS} names")
        if wrong := [each for each in hosts if not _HOST.fullmatch(each.lower())]:
            # It would match no request, and the internal pages would be served there.
            raise _invalid(path, f"`hosts` has {wrong[0]!a}; expected a host name without a port")
        named = tuple(_nodes(path, found, listed))
        nodes = named or cls.of_all(committee).nodes
        shown = {each.id for each in nodes}
        if not named:  # the page shows all nodes: a note may be about one that has left
            told = (each for each in _named_in_notes(found) if each in listed)
            shown |= {each for each in told if each not in committee.urls}
        return cls(
            _text(path, found, "title", MAX_NAME_CHARS) or committee.name,
            _text(path, found, "text", MAX_TEXT_CHARS),
            nodes,
            frozenset(each.lower() for each in hosts),
            tuple(_notes(path, found, shown)),
            shows_all=not named,
        )


class PublicFile:
    """The public page of a file, which its owner may change while the explorer runs.

    A file that has become invalid is logged, and the page stays as it was.
    """

    def __init__(
        self,
        page: PublicPage,
        seated: Seated,
        path: Path | None = None,
        listed: Callable[[], Container[str]] | None = None,
    ) -> None:
        """Create the page.

        Args:
            page: as it was read at the start.
            seated: knows the committee that holds.
            path: the file, which is read again when it changes; None: there is none.
            listed: returns the ids of the nodes that some committee has listed.
        """
        self._page = page
        self.version = 0  # grows with each new page
        self._seated = seated
        self._path = path
        self._listed = listed
        self._seen = self._stamp()

    @property
    def page(self) -> PublicPage:
        """What the page shows now."""
        page = self._page
        if not page.shows_all:
            return page
        return replace(page, nodes=PublicPage.of_all(self._seated.committee).nodes)

    @page.setter
    def page(self, page: PublicPage) -> None:
        """Show another page from now on."""
        self._page = page
        self.version += 1

    def step(self) -> None:
        """Read the file again if it has changed."""
        if self._path is None or (stamp := self._stamp()) == self._seen:
            return
        self._seen = stamp
        listed = self._listed() if self._listed else None
        try:
            self.page = PublicPage.load(self._path, self._seated.committee, listed)
        except SettingsError as error:
            logger.warning("public_file_refused", reason=str(error))
        else:
            logger.info("public_file_read", path=str(self._path))

    def run(self, stop: threading.Event) -> None:
        """Look at the file until `stop` is set."""
        while not stop.wait(REREAD_SECONDS):
            self.step()

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat() if self._path else None
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino) if found else None


def is_listed(host: str, hosts: frozenset[str]) -> bool:
    """Whether a request's host, with or without a port, is one of these host names.

    A host that is no host name counts as listed if there are any: who sends it gets least.
    """
    found = _REQUEST_HOST.fullmatch(host.lower())
    return bool(hosts) and (found is None or found["name"] in hosts)


def _nodes(path: Path, found: dict[str, Any], listed: Container[str]) -> list[PublicNode]:
    nodes: list[PublicNode] = []
    for each in _tables(path, found, "nodes", {"id", "name", "group"}):
        node_id = _text(path, each, "id", MAX_NAME_CHARS)
        if node_id not in listed:
            raise _invalid(path, f"the committee lists no node {node_id!a}")
        if any(node_id == other.id for other in nodes):
            raise _invalid(path, f"the node {node_id!a} is listed twice")
        name = _text(path, each, "name", MAX_NAME_CHARS) or node_id
        nodes.append(PublicNode(node_id, name, _text(path, each, "group", MAX_NAME_CHARS)))
    groups = list(dict.fromkeys(each.group for each in nodes))
    return sorted(nodes, key=lambda each: groups.index(each.group))


def _named_in_notes(found: dict[str, Any]) -> Iterator[str]:
    """Yield the ids that notes name; whatever has another form is refused elsewhere."""
    notes = found.get("notes")
    for each in notes if isinstance(notes, list) else ():
        named = each.get("nodes") if isinstance(each, dict) else None
        yield from (one for one in named if isinstance(one, str)) if isinstance(named, list) else ()


def _notes(path: Path, found: dict[str, Any], shown: set[str]) -> list[Note]:
    tables = _tables(path, found, "notes", {"title", "text", "begin", "end", "nodes"})
    if len(tables) > MAX_NOTES:
        raise _invalid(path, f"it has more than {MAX_NOTES} notes")
    return [_note(path, each, shown) for each in tables]


def _note(path: Path, table: dict[str, Any], shown: set[str]) -> Note:
    title = _text(path, table, "title", MAX_NAME_CHARS)
    if not title:
        raise _invalid(path, "a note has no `title`")
    nodes = table.get("nodes", [])
    if not isinstance(nodes, list) or not all(isinstance(each, str) for each in nodes):
        raise _invalid(path, f"`nodes` of the note {title!a} must be a list of node ids")
    if strangers := set(nodes) - shown:
        raise _invalid(path, f"the page shows no node {min(strangers)!a}, which a note names")
    begin, end = _time(path, table, "begin"), _time(path, table, "end")
    if begin is not None and end is not None and end <= begin:
        raise _invalid(path, f"`end` of the note {title!a} must be later than its `begin`")
    return Note(title, _text(path, table, "text", MAX_TEXT_CHARS), begin, end, tuple(nodes))


def _time(path: Path, table: dict[str, Any], key: str) -> int | None:
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        expected = "a date and time with a time zone, for example 2026-12-06T08:00:00Z"
        raise _invalid(path, f"`{key}` of a note must be {expected}")
    return int(value.timestamp())


def _tables(path: Path, found: dict[str, Any], key: str, known: set[str]) -> list[dict[str, Any]]:
    """Return the tables of an array of tables, which have no other keys than the known ones."""
    listed = found.get(key, [])
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise _invalid(path, f"`{key}` must be written as [[{key}]] tables")
    for each in listed:
        if unknown := each.keys() - known:
            raise _invalid(path, f"the key {min(unknown)!a} of a {key[:-1]} is unknown")
    return listed


def _text(path: Path, found: dict[str, Any], key: str, most: int) -> str:
    value = found.get(key, "")
    if not isinstance(value, str) or len(value) > most:
        raise _invalid(path, f"`{key}` must be a text of at most {most} characters")
    return value


def _invalid(path: Path, why: str) -> SettingsError:
    return SettingsError(f"cannot use the public page {path}: {why}", setting=SETTING)
