"""Compiled functions that a process may use in place of the plain ones of the verifier.

A process that verifies many proofs, and has the extra `prover` installed, calls `use` once. The
results are the same; only the time differs. Without them the verifier needs nothing but the
standard library.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # these modules use this one
    from dragon.stark.channel import ProofReader
    from dragon.stark.extension import Element
    from dragon.stark.parameters import Lengths, Parameters
    from dragon.stark.transcript import FriCommitments, OutOfDomain


class Compiled(Protocol):
    """The functions that take most of the time of a verification."""

    def check_queries(
        self,
        parameters: Parameters,
        lengths: Lengths,
        reader: ProofReader,
        sampled: OutOfDomain,
        committed: FriCommitments,
    ) -> bool:
        """Whether all checks of `dragon.stark.queries.open_queries` hold.

        If they do, the reader stands behind the openings; otherwise it has not moved.
        """

    def interpolants_at(self, columns: Sequence[Sequence[int]], u: Element) -> list[Element]:
        """The values that `dragon.stark.interpolation.interpolants_at` returns.

        Raises ZeroDivisionError: u lies in the subgroup.
        """

    def encode(self, elements: Sequence[int]) -> bytes:
        """What `dragon.stark.field.encode` returns, for elements in [0, p)."""

    def decode(self, raw: bytes) -> list[int]:
        """What `dragon.stark.field.decode` returns, for words below p."""


_compiled: Compiled | None = None


def use(functions: Compiled | None) -> None:
    """Use these functions in this process from now on; None: the plain ones."""
    global _compiled  # noqa: PLW0603 - one choice for the process, which changes no result
    _compiled = functions


def in_use() -> Compiled | None:
    """The functions in use, or None."""
    return _compiled
