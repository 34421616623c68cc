"""The interface of a statement for the prover. `prover` knows statements only through it."""

from __future__ import annotations

from typing import Protocol

from dragon.stark.air import Air
from dragon.stark.parameters import Lengths, Parameters
from dragon.stark.prover.kernels.jit import Words
from dragon.stark.prover.threads import ThreadTeam


class ProverAir(Protocol):
    """A statement (`Air`) together with the secrets that make it true.

    The `repr` of an implementation must not show the secrets.
    """

    @property
    def air(self) -> Air:
        """The statement, as its verifier knows it."""

    def zk_seed(self, parameters: Parameters, channel_seed: bytes) -> bytes:
        """The seed of all blinding. `channel_seed` is that of the statement.

        Two different continuations of a trace must not share it (section 14.1).
        """

    def rows(self, team: ThreadTeam) -> Words:
        """The original trace, row by row, in a new array. The prover overwrites it after use.

        Raises WrongWitness: the secrets do not make the statement true.
        """

    def compose(
        self, trace: Words, lengths: Lengths, coefficients: Words, result: Words, team: ThreadTeam
    ) -> None:
        """Compute the composition polynomial C (section 5.5) on the coset 3·⟨ω_4n⟩.

        `trace` has all columns including blinding, N numbers each; the first 4n numbers of a column
        are this coset, in bit-reversed order. `coefficients` holds the α, three numbers each. The
        values of C are written to `result`, three columns of 4n numbers.
        """
