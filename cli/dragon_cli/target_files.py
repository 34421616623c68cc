"""Files that list targets, for `--targets`."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from dragon.encoding import Json, Members, parse
from dragon.errors import DragonError, InvalidEncoding, ListedTwice, NotJson
from dragon.protocol.committee import MAX_FILE_BYTES, MAX_LISTED, Target
from dragon_cli.committee_files import read_members
from dragon_cli.files import read_bytes
from dragon_cli.hints import with_hint
from dragon_cli.target_options import Entry, decode, heartbeat_members

FORM_HINT: Final = "deploy/targets.example.toml is an example with comments."
CHECKS_HINT: Final = "docs/targets.md describes the members of each check."
MEMBER_FILE: Final = "member_file"  # in a heartbeat check, in place of the key


def read_all(paths: Iterable[Path]) -> list[Entry]:
    """Return the entries of several files. Raises as `read_targets`."""
    return [each for path in paths for each in read_targets(path)]


def decode_all(entries: Sequence[Entry], round_seconds: int) -> tuple[Target, ...]:
    """Return the targets of entries from files and options.

    Args: `round_seconds`, length of a round; default timeouts follow from it.

    Raises ListedTwice; InvalidEncoding, InvalidCommittee: the message names the target.
    """
    _check_once(entries)
    return tuple(_decode(each, round_seconds) for each in entries)


def _decode(entry: Entry, round_seconds: int) -> Target:
    try:
        return decode(entry, round_seconds)
    except DragonError as error:
        error.args = (f"target {entry.get('id')}: {error}",)
        raise with_hint(error, CHECKS_HINT) from None


def read_targets(path: Path) -> list[Entry]:
    """Return the entries in a file of targets.

    The file is TOML, or JSON if its name ends with `.json`: a list `targets` of entries as in a
    committee file. Defaults may be omitted. In place of its key, a heartbeat check may name a
    `member_file`, relative to the file.

    Raises InvalidEncoding, ListedTwice; the message names the file.
    """
    raw = read_bytes(path, most=MAX_FILE_BYTES)
    try:
        members = Members(_parse(path, raw), "the file")
        found = [_entry(each, path) for each in members.list("targets", most=MAX_LISTED)]
        members.end()
        _check_once(found)
    except DragonError as error:
        error.args = (f"{path}: {error}",)
        raise with_hint(error, FORM_HINT) from None
    return found


def _parse(path: Path, raw: bytes) -> Json:
    """Raises InvalidEncoding."""
    if path.suffix == ".json":
        return parse(raw)
    try:
        found = tomllib.loads(raw.decode())
        return parse(json.dumps(found))
    except (ValueError, TypeError, RecursionError):  # TypeError: a date
        raise NotJson("not TOML of numbers, texts, lists and tables") from None


def _entry(value: Json, path: Path) -> Entry:
    if not isinstance(value, dict):
        raise InvalidEncoding("a target must be a table")
    if isinstance(url := value.get("url"), str):
        value = {**value, "url": url.rstrip("/")}  # as the commands take a URL
    check = value.get("check")
    if not isinstance(check, dict) or MEMBER_FILE not in check:
        return value
    file = path.parent / str(check[MEMBER_FILE])
    stated = heartbeat_members(str(value.get("id")), read_members([file])[0], file)
    rest = {name: each for name, each in check.items() if name != MEMBER_FILE}
    return {**value, "check": {**rest, **stated}}


def _check_once(found: Iterable[Entry]) -> None:
    often = Counter(str(each.get("id")) for each in found)
    for name, number in often.items():
        if number > 1:
            raise ListedTwice(f"the target {name} is listed {number} times", id=name)
