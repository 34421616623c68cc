"""Parameter sets by name (section 18.5).

A relying party knows a set by its name and computes the parameters from the name and the number
of blocks. Which set it accepts is its policy; sets are never tried one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from dragon.stark.field import log2
from dragon.stark.parameters import Parameters, Slack
from dragon.stark.refusal import ProofRefused, Reason

BLOCK_ROWS: Final = 16
MAX_BLOCKS: Final = 4096


@dataclass(frozen=True, slots=True)
class Candidate:
    log_n_cosets: int
    n_queries: int
    max_blocks: int


@dataclass(frozen=True, slots=True)
class ParameterSet:
    name: str
    proof_of_work_bits: int
    slack: Slack | None
    candidates: tuple[Candidate, ...]

    def parameters(self, n_blocks: int) -> Parameters:
        """The parameters for `n_blocks` blocks, by the rule of 18.5.

        Raises ProofRefused (parameters): no power of two, or more than the set admits.
        """
        if not is_block_count(n_blocks):
            message = "the number of blocks is a power of two from 1 to 4096"
            raise ProofRefused(Reason.PARAMETERS, message)
        admitted = [each for each in self.candidates if n_blocks <= each.max_blocks]
        if not admitted:
            message = f"{self.name} does not admit {n_blocks} blocks"
            raise ProofRefused(Reason.PARAMETERS, message)
        # The smallest domain; among equals the shortest trace; among equals the fewest queries.
        options = [self._with(candidate, n_blocks) for candidate in admitted]
        return min(options, key=lambda option: _cost(option, n_blocks))

    def block_counts(self) -> list[int]:
        """Every number of blocks that this set admits."""
        most = max(candidate.max_blocks for candidate in self.candidates)
        return [n_blocks for n_blocks in range(1, most + 1) if is_block_count(n_blocks)]

    def _with(self, candidate: Candidate, n_blocks: int) -> Parameters:
        draft = Parameters(
            candidate.log_n_cosets,
            candidate.n_queries,
            self.proof_of_work_bits,
            fri_step_list=(0,),
            last_layer_degree_bound=1,
            slack=self.slack,
        )
        steps, last_layer = fri_schedule(draft.trace_length(BLOCK_ROWS * n_blocks))
        return Parameters(
            candidate.log_n_cosets,
            candidate.n_queries,
            self.proof_of_work_bits,
            steps,
            last_layer,
            slack=self.slack,
        )


def is_block_count(n_blocks: int) -> bool:
    return 1 <= n_blocks <= MAX_BLOCKS and n_blocks & (n_blocks - 1) == 0


def _cost(parameters: Parameters, n_blocks: int) -> tuple[int, int, int]:
    n = parameters.trace_length(BLOCK_ROWS * n_blocks)
    return n << parameters.log_n_cosets, n, parameters.n_queries


def fri_schedule(trace_length: int) -> tuple[tuple[int, ...], int]:
    """FRI steps and the size of the last layer for a trace of that length (18.5)."""
    excess = log2(trace_length) - 8
    if excess <= 0:
        return (0,), trace_length
    threes, rest = divmod(excess, 3)
    steps = (0, *[3] * threes, *[2] * (rest == 2))
    return steps, 512 if rest == 1 else 256


CLASSIC: Final = ParameterSet("ziggy-classic", 8, None, (Candidate(3, 38, 1),))
STANDARD: Final = ParameterSet(
    "standard", 12, Slack.STRICT, (Candidate(2, 90, MAX_BLOCKS), Candidate(3, 60, MAX_BLOCKS))
)
STRONG: Final = ParameterSet(
    "strong",
    13,
    Slack.STRICT,
    (Candidate(3, 81, 64), Candidate(2, 125, 256), Candidate(2, 148, MAX_BLOCKS)),
)
# For test vectors only: with several blocks its proofs give the preimages away (18.7). It stands
# outside `SETS`, so no name that a user or a configuration holds leads to it.
TEST_REFERENCE: Final = ParameterSet(
    "test-reference", 8, Slack.REFERENCE, (Candidate(3, 38, MAX_BLOCKS),)
)

SETS: Final[Mapping[str, ParameterSet]] = MappingProxyType(
    {each.name: each for each in (CLASSIC, STANDARD, STRONG)}
)


def named_set(name: str) -> ParameterSet:
    """The set of that name.

    Raises ProofRefused (parameters): there is none that a relying party may accept.
    """
    if not isinstance(name, str) or name not in SETS:
        message = f"a parameter set is one of {', '.join(SETS)}"
        raise ProofRefused(Reason.PARAMETERS, message)
    return SETS[name]


def parameters_for(name: str, n_blocks: int) -> Parameters:
    """The parameters of the named set for `n_blocks` blocks. Raises ProofRefused (parameters)."""
    return named_set(name).parameters(n_blocks)
