"""Verify one log entry offline.

    curl -s localhost:5001/events/1 > event.json
    python examples/verify_event.py event.json fleet/committee.json [ROOT]

ROOT is the root of the log as known from another source, 0x….
"""

from __future__ import annotations

import sys
from pathlib import Path

from dragon import Committee, DragonError, ProvenEntry, parse


def main(event_file: str, committee_file: str, root: str | None = None) -> int:
    """Returns the exit code: 0 if the entry is genuine, 1 if it is refused."""
    try:
        committee = Committee.load(Path(committee_file).read_bytes())
        proven = ProvenEntry.from_json(parse(Path(event_file).read_bytes()))
        proven.verify(committee)
    except DragonError as refusal:
        print(f"refused: {refusal.name}: {refusal}")
        return 1
    if root is not None and root != "0x" + proven.root.hex():
        print(f"refused: the entry belongs to a log with the root 0x{proven.root.hex()}")
        return 1
    entry = proven.entry
    print(f"verified: {entry.event.claim.to_json()}")
    print(f"entry {entry.position} of {proven.size}, in batch {entry.ledger_index} of the ledger")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
