"""Give the committee of a fleet a new genesis, and so a new id, after its ledger was reset."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dragon.encoding import to_hex
from dragon.protocol import founding
from dragon.protocol.committee import Committee
from dragon_cli.files import PUBLIC_MODE, write_whole
from dragon_cli.fleet.layout import Home

ID_CHARACTERS: Final = 10  # of the old id, in the name of the file that keeps the old committee


@dataclass(frozen=True, slots=True)
class Refounded:
    """The new committee, the old one, and the file that keeps the old one."""

    committee: Committee
    old: Committee
    old_file: Path


def refound(home: Home, *, genesis: int, app: str | None = None) -> Refounded:
    """Replace the committee file. Members, keys, rules and URLs stay the same.

    After a crash the old committee is in place, or the new one is; the old one is kept beside it.

    Args:
        genesis: the start of the first round, Unix seconds; later than the old one.
        app: another name of the app on the sequencer; see `founding.refound`.

    Raises:
        NoCommittee: the folder holds no committee.
        UnusableFile: a file cannot be read or written.
    """
    old = home.committee()
    committee = founding.refound(old, max(genesis, old.rounds.genesis + 1), app=app)
    text = json.dumps(committee.to_json(), indent=2) + "\n"
    digits = to_hex(old.id)[2 : 2 + ID_CHARACTERS]
    if home.lineage_file.exists():  # it belongs to the network that ends
        home.lineage_file.replace(home.path / f"lineage-{digits}.json")
    kept = home.path / f"committee-{digits}.json"
    # Replacing: an attempt that was killed may have written this file, or only a part of it.
    write_whole(kept, home.committee_file.read_text("utf-8"), mode=PUBLIC_MODE)
    write_whole(home.committee_file, text, mode=PUBLIC_MODE)
    return Refounded(committee, old, kept)
