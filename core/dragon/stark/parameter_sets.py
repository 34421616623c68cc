"""Named parameter sets (section 18.5).

A relying party computes the parameters from the name of a set and the number of blocks. Its policy
names one set to accept. Never try several sets in turn: the weakest one would set the level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from dragon.stark.field import log2
from dragon.stark.parameters import Parameters, Slack
from dragon.stark.refusal import ProofRefused, Reason

BLOCK_ROWS: Final = 16  # original rows of one block
MAX_BLOCKS: Final = 4096


@dataclass(frozen=True, slots=True)
class Candidate:
    """Parameters that a set may use for up to `max_blocks` blocks."""

    log_n_cosets: int
    n_queries: int
    max_blocks: int


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """A named rule that gives the parameters for each number of blocks."""

    name: str
    proof_of_work_bits: int
    slack: Slack | None
    candidates: tuple[Candidate, ...]

    def parameters(self, n_blocks: int) -> Parameters:
        """The parameters for `n_blocks` blocks, by the rule of section 18.5.

        Raises ProofRefused (parameters): `n_blocks` is not a power of two, or exceeds the maximum
        of the set.
        """
        if not is_block_count(n_blocks):
            rule = f"a power of two from 1 to {MAX_BLOCKS}"
            message = f"the number of blocks must be {rule}, not {n_blocks}"
            raise ProofRefused(Reason.PARAMETERS, message)
        admitted = [each for each in self.candidates if n_blocks <= each.max_blocks]
        if not admitted:
            message = f"parameter set {self.name} does not allow {n_blocks} blocks"
            raise ProofRefused(Reason.PARAMETERS, message)
        # The smallest domain wins; then the shortest trace; then the fewest queries.
        options = [self._with(candidate, n_blocks) for candidate in admitted]
        return min(options, key=lambda option: _cost(option, n_blocks))

    def block_counts(self) -> list[int]:
        """All numbers of blocks that this set allows, in ascending order."""
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
    """Whether this is a power of two from 1 to 4096."""
    return 1 <= n_blocks <= MAX_BLOCKS and n_blocks & (n_blocks - 1) == 0


def _cost(parameters: Parameters, n_blocks: int) -> tuple[int, int, int]:
    n = parameters.trace_length(BLOCK_ROWS * n_blocks)
    return n << parameters.log_n_cosets, n, parameters.n_queries


def fri_schedule(trace_length: int) -> tuple[tuple[int, ...], int]:
    """The FRI steps and the last-layer degree bound for a trace length (section 18.5)."""
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
# For test vectors only: with four or more blocks its proofs reveal preimages (section 18.7). It is
# not in `SETS`, so it cannot be chosen by name.
TEST_REFERENCE: Final = ParameterSet(
    "test-reference", 8, Slack.REFERENCE, (Candidate(3, 38, MAX_BLOCKS),)
)

SETS: Final[Mapping[str, ParameterSet]] = MappingProxyType(
    {each.name: each for each in (CLASSIC, STANDARD, STRONG)}
)


def named_set(name: str) -> ParameterSet:
    """The parameter set with this name.

    Raises ProofRefused (parameters): the name is unknown, or not one that may be relied on.
    """
    if not isinstance(name, str) or name not in SETS:
        message = f"unknown parameter set {name!r:.40}: choose one of {', '.join(SETS)}"
        raise ProofRefused(Reason.PARAMETERS, message)
    return SETS[name]


def strict_set(name: str) -> ParameterSet:
    """The parameter set with this name, for a window.

    Windows require a strict set, even without chunks: an identity that also signs under a base
    parameter file would have only the weaker secrecy of that file (section 18.12).

    Raises ProofRefused (parameters): the name is unknown, or the set is not strict.
    """
    chosen = named_set(name)
    if chosen.slack is not Slack.STRICT:
        message = f"windows require a strict parameter set, and {name} is not strict"
        raise ProofRefused(Reason.PARAMETERS, message)
    return chosen


def parameters_for(name: str, n_blocks: int) -> Parameters:
    """The parameters of the named set for `n_blocks` blocks. Raises ProofRefused (parameters)."""
    return named_set(name).parameters(n_blocks)
