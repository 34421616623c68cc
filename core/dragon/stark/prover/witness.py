"""What a statement brings along to be proven; `prover` names none of them."""

from __future__ import annotations

from typing import Protocol

from dragon.stark.air import Air
from dragon.stark.parameters import Lengths, Parameters
from dragon.stark.prover.kernels.jit import Words
from dragon.stark.prover.threads import ThreadTeam


class ProverAir(Protocol):
    """A statement together with the secrets that make it true.

    An implementation holds secrets: its `repr` shows none of them.
    """

    @property
    def air(self) -> Air: ...

    def zk_seed(self, parameters: Parameters) -> bytes:
        """The seed of all blinding. Never the same for two different continuations (14.1)."""

    def rows(self, team: ThreadTeam) -> Words:
        """The original trace, row by row: a fresh array, which the prover overwrites after use.

        Raises WrongWitness: the secrets do not belong to the statement.
        """

    def compose(
        self, trace: Words, lengths: Lengths, coefficients: Words, result: Words, team: ThreadTeam
    ) -> None:
        """The composition polynomial C (5.5) on the coset 3·⟨ω_4n⟩, in bit-reversed order.

        `trace` has the columns with blinding, N numbers each, of which the first 4n are that coset;
        `coefficients` are the α, three numbers each; `result` takes three columns of 4n numbers.
        """
