"""The file `lineage.json` of a log: all committees and handovers, written piece by piece.

The committees of a network that has changed for years do not fit into memory at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from dragon.encoding import canonical
from dragon.log.store import Log
from dragon_explorer.epochs import FILES_AT_ONCE, Epochs


def written_lineage(log: Log, epochs: Epochs) -> Iterator[bytes]:
    """Yield the lineage as JSON.

    It ends with the newest committee that has certified a checkpoint: before that, nothing proves
    that a handover was applied.
    """
    last = log.state.checkpoint
    checkpoint = log.entry(last.position).event if last else None
    newest = (epochs.number_of(checkpoint.committee_id) or 0) if checkpoint else 0
    yield b'{"checkpoint":' + (canonical(checkpoint.to_json()) if checkpoint else b"null")
    yield b',"committees":['
    yield from _committees(log, newest)
    yield b'],"handovers":['
    yield from _handovers(log, newest)
    yield b"]}\n"


def _committees(log: Log, newest: int) -> Iterator[bytes]:
    for first in range(0, newest + 1, FILES_AT_ONCE):
        for seating in log.committees(first - 1, min(FILES_AT_ONCE, newest + 1 - first)):
            epoch = seating.committee.epoch
            yield (b"," if epoch else b"") + seating.committee.encode()


def _handovers(log: Log, newest: int) -> Iterator[bytes]:
    for first in range(1, newest + 1, FILES_AT_ONCE):
        for seating in log.committees(first - 1, min(FILES_AT_ONCE, newest + 1 - first)):
            if seating.handover is not None:
                separator = b"," if seating.committee.epoch > 1 else b""
                yield separator + canonical(seating.handover.to_json())
