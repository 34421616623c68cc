"""With which keys an operator may sign what it says about itself, around a handover.

Two logs apply one handover up to a second apart, and an operator whose key is rotated signs with
the key of the committee that its own log is at. Nobody must look down because of that. So status
answers and suspicions count with the key in the committee that holds, in the one before it for
`max_age` after the handover, and in the one that is approved here. Claims never do: a certificate
belongs to one committee.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from dragon.protocol import bls
from dragon.protocol.committee import Committee, Seated

if TYPE_CHECKING:  # clients without a log do not load the database library
    from dragon.log.store import Log

KeysOf: TypeAlias = Callable[[str], tuple[bls.PublicKey, ...]]  # by id of the operator


def listed_keys(seated: Seated) -> KeysOf:
    """Return a function for the one key that the committee that holds lists for an operator."""

    def keys_of(operator: str) -> tuple[bls.PublicKey, ...]:
        key = seated.committee.keys.get(operator)
        return () if key is None else (key,)

    return keys_of


class OperatorKeys:
    """The keys of operators at this moment, by the log and by what is approved."""

    def __init__(
        self,
        log: Log,
        wall: Callable[[], float],
        approved: Callable[[], Committee | None] = lambda: None,
    ) -> None:
        """Args: `wall`, the current Unix seconds; `approved`, the next committee, if there is one.

        Approved by the owner of an operator, or by a quorum of owners for an aggregator.
        """
        self._log = log
        self._wall = wall
        self._approved = approved

    def of(self, operator: str) -> tuple[bls.PublicKey, ...]:
        """Return the keys that count now, that of the committee that holds first; maybe none."""
        found = (each.keys.get(operator) for each in self._committees())
        return tuple(dict.fromkeys(key for key in found if key is not None))

    def _committees(self) -> Iterator[Committee]:
        state = self._log.state
        yield state.committee
        before = self._log.committee_before
        if before is not None and self._wall() - state.seat <= before.rounds.max_age:
            yield before
        following = self._approved()
        if following is not None and following.previous == state.committee.id:
            yield following
