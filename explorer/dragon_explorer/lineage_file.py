"""The file `lineage.json` of a log: all committees and handovers, written piece by piece.

The committees of a network that has changed for years do not fit into memory at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from dragon.encoding import canonical
from dragon.log.queries import EncodedSeating
from dragon.log.store import Log
from dragon.protocol.certificate import Certificate
from dragon.protocol.handover import Handover
from dragon.protocol.log_entry import ProvenEntry
from dragon_explorer.epochs import FILES_AT_ONCE, Epochs

MAX_FILES_BYTES: Final = 1 << 20  # of committee files that are read in one go


def written_lineage(log: Log, epochs: Epochs) -> Iterator[bytes]:
    """Yield the lineage as JSON.

    It ends with the newest committee that has certified a checkpoint: before that, nothing proves
    that a handover was applied.
    """
    last = log.state.checkpoint
    checkpoint = log.entry(last.position).event if last else None
    newest = lineage_epoch(log, epochs)
    yield b'{"checkpoint":' + (canonical(checkpoint.to_json()) if checkpoint else b"null")
    yield b',"committees":['
    yield from _committees(log, newest)
    yield b'],"handovers":['
    yield from _handovers(log, newest)
    yield b"]}\n"


def lineage_epoch(log: Log, epochs: Epochs) -> int:
    """Return the epoch with which the lineage ends now."""
    last = log.state.checkpoint
    signed_by = log.entry(last.position).event.committee_id if last else b""
    return epochs.number_of(signed_by) or 0


def provable_entry(log: Log, epochs: Epochs, position: int) -> ProvenEntry:
    """Return an entry with a mark that certifies its root, if there is one in the lineage.

    A handover counts once the committee that it seated has certified a checkpoint.
    Raises NotFound.
    """
    found, last = log.anchored(position), log.state.checkpoint
    anchor = found.anchor if found else None
    is_too_new = isinstance(anchor, Handover) and anchor.claim.epoch > lineage_epoch(log, epochs)
    if found and not is_too_new:
        return found
    event = log.entry(last.position).event if last and last.size > position else None
    if last is None or not isinstance(event, Certificate):
        return log.proven(position)
    return replace(log.proven(position, last.size), anchor=event)


def _committees(log: Log, newest: int) -> Iterator[bytes]:
    for seating in _seatings(log, 0, newest):
        yield (b"," if seating.epoch else b"") + seating.committee


def _handovers(log: Log, newest: int) -> Iterator[bytes]:
    for seating in _seatings(log, 1, newest):
        yield (b"," if seating.epoch > 1 else b"") + seating.handover


def _seatings(log: Log, first: int, newest: int) -> Iterator[EncodedSeating]:
    """Yield what the log has of these epochs. Anyone may ask, so nothing is decoded."""
    while first <= newest:
        limit = min(FILES_AT_ONCE, newest + 1 - first)
        page, _ = log.lineage_page(first - 1, limit, MAX_FILES_BYTES)
        yield from page
        first += len(page)
