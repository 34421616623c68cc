"""What follows from the entries of a log, and is kept in memory: state, tree, sums of downtime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from dragon import errors
from dragon.log import mark_records
from dragon.log.block_table import MARKS, Blocks, tree_series
from dragon.log.downtime_index import DowntimeIndex
from dragon.log.entry_table import StoredEntry
from dragon.protocol import merkle
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.committee import Committee
from dragon.protocol.marks import Mark
from dragon.protocol.state import State
from dragon.protocol.transition import advance


@dataclass(slots=True)
class Derived:
    """The result of the first entries of a log."""

    state: State
    tree: merkle.Tree = field(default_factory=merkle.Tree)
    downtime: DowntimeIndex = field(default_factory=DowntimeIndex)
    ledger_index: int = 0  # of the last entry

    @classmethod
    def of(cls, committee: Committee, blocks: Blocks) -> Derived:
        """Return the beginning of the log of a network. Its full blocks will be in `blocks`."""
        tree, downtime = merkle.Tree(read=blocks.hashes), DowntimeIndex(blocks.integers)
        return cls(State.of(committee), tree, downtime)

    def apply(self, entry: StoredEntry, committees: Sequence[Committee]) -> None:
        """Apply the next stored entry.

        Raises LogDamaged: it is not the next one, or its committee is missing.
        """
        expected = self.state.size
        if entry.position != expected:
            raise errors.LogDamaged(f"entry {expected} is missing", position=expected)
        if entry.ledger_index < self.ledger_index:
            message = f"entry {expected} has an earlier ledger index than the entry before it"
            raise errors.LogDamaged(message, position=expected)
        self.state = _advanced(self.state, entry, committees)
        self.tree.append(entry.leaf_hash)
        self.ledger_index = entry.ledger_index

    def new_blocks(self) -> Iterator[tuple[str, int, bytes]]:
        """Yield series, number and content of each full block that is not stored yet."""
        for level, number, hashes in self.tree.new_blocks():
            yield tree_series(level), number, hashes
        for number, marks in self.state.marks.new_blocks():
            yield MARKS, number, mark_records.to_bytes(marks)
        yield from self.downtime.new_blocks()

    def forget_blocks(self, blocks: Blocks) -> None:
        """Forget all full blocks, which are stored from now on."""
        self.tree.forget()
        self.downtime.forget()
        self.state = replace(self.state, marks=self.state.marks.stored(blocks.marks))

    def check_roots(self) -> None:
        """Compare the tree with the marks in the log, which a quorum has certified.

        The newest mark covers all entries before it. Only if it differs are the others compared.
        Raises LogDamaged.
        """
        last = self.state.mark
        if last is None or self._is_root(last):
            return
        first = next(each for each in self.state.marks if not self._is_root(each))
        message = (
            f"the first {first.size} entries do not have the root that entry {first.position} "
            "certifies"
        )
        raise errors.LogDamaged(message, position=first.position)

    def _is_root(self, mark: Mark) -> bool:
        return mark.size <= len(self.tree) and self.tree.root(mark.size) == mark.log_root


def _advanced(state: State, entry: StoredEntry, committees: Sequence[Committee]) -> State:
    """Return the state after a stored entry. Raises LogDamaged: its committee is missing."""
    claim = entry.to_claim()
    following = None
    if isinstance(claim, HandoverClaim):
        following = committees[claim.epoch] if claim.epoch < len(committees) else None
        if following is None or following.id != claim.next:
            message = f"the committee that entry {entry.position} seats is missing"
            raise errors.LogDamaged(message, position=entry.position)
    return advance(state, claim, following)
