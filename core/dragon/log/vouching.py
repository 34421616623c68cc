"""How much of a log the committees that a verifier trusts vouch for.

The entries that older committees have certified count only if a mark covers them that a trusted
committee has signed, or a handover of the verifier's lineage. Otherwise stolen keys of an old
committee could add entries at the end of a copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dragon import errors
from dragon.encoding import to_hex
from dragon.protocol import merkle
from dragon.protocol.state import State
from dragon.protocol.trust import Trust, certified_log


@dataclass(frozen=True, slots=True)
class Vouched:
    """The part of a log that the newest committee of a lineage vouches for."""

    epoch: int  # of that committee
    size: int  # entries, from the first one; 0: no mark is known


def vouched(trust: Trust, state: State, tree: merkle.Tree) -> Vouched:
    """Return how much of a verified log the trusted committees vouch for.

    Args:
        state: after all entries, whose certificates are verified.
        tree: of all entries.

    Raises:
        Diverged: the log differs from a mark of the lineage.
        Superseded: the log has entries of older committees that no trusted mark covers.
    """
    known = [0, *_marks_of_lineage(trust, tree), *_trusted_marks(trust, state)]
    found = Vouched(trust.newest.epoch, max(known))
    if found.size < _of_older_committees(trust, state):
        message = (
            f"the committee of epoch {found.epoch} vouches for the first {found.size} of "
            f"{state.size} entries; those after them are signed by keys of older committees"
        )
        raise errors.Superseded(message, epoch=found.epoch, size=found.size)
    return found


def _marks_of_lineage(trust: Trust, tree: merkle.Tree) -> Iterator[int]:
    """Yield the sizes of the marks in the lineage that cover a part of this log.

    Raises Diverged.
    """
    lineage = trust.lineage
    stated = [each.claim for each in lineage.handovers]
    sealed = lineage.committees[0].sealed
    logs = [(sealed.size, sealed.root), *((each.size, each.log_root) for each in stated)]
    if lineage.checkpoint:
        logs.append(certified_log(lineage.checkpoint))
    for size, root in logs:
        if not size or size > len(tree):
            continue
        if (own := tree.root(size)) != root:
            message = (
                f"a committee of the lineage certified the root {to_hex(root)} at {size} entries, "
                f"but this log has {to_hex(own)}"
            )
            raise errors.Diverged(message, size=size)
        yield size


def _trusted_marks(trust: Trust, state: State) -> Iterator[int]:
    """Yield the sizes of the marks in the log that a trusted committee has signed or accepted."""
    trusted, epoch = range(trust.least_epoch, trust.newest.epoch + 1), 0
    for mark in state.marks:
        signers = {epoch} if mark.is_checkpoint else {epoch, epoch + 1}
        if signers & set(trusted):
            yield mark.size
        epoch += not mark.is_checkpoint


def _of_older_committees(trust: Trust, state: State) -> int:
    """Return the number of entries before the first one of a trusted committee.

    The handover that seats it is not one of them: it has accepted that one.
    """
    if (least := trust.least_epoch) == 0:
        return 0
    seatings = state.handovers
    return seatings[least - 1].position if least <= len(seatings) else state.size
