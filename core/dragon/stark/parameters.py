"""Parameters of a proof, and the lengths that follow from them (sections 5.1, 12.2, 18.2, 18.4).

The relying party chooses the parameters. Never take them from the proof: with parameters of the
forger's choice, forging is easy (section 10.3).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dragon.stark.field import TWO_ADICITY, ceil_log2, log2, root_of_unity
from dragon.stark.hashchain import MAX_GRINDING_BITS, blake2s_256
from dragon.stark.refusal import ProofRefused, Reason

DEGREE_FACTOR: Final = 4  # the composition polynomial has degree < 4n and is split into 4 parts
# Accepted ranges of the members of a parameter file (section 12.2).
LOG_COSETS: Final = range(2, 15)
QUERIES: Final = range(1, 257)
FRI_STEPS: Final = range(11)
MAX_LAST_LAYER: Final = 16384  # coefficients


class Slack(StrEnum):
    """How a blocks proof is blinded (section 18.4)."""

    REFERENCE = "reference"  # as in Ziggy; for tests only, it reveals preimages (section 18.7)
    STRICT = "strict"


@dataclass(frozen=True, slots=True)
class Lengths:
    """The sizes that follow from the parameters and from the length L of the original trace."""

    original_length: int  # L
    trace_length: int  # n, a power of two
    air_columns: int
    blinding_columns: int  # 0, 1 or 3; they come after the other columns
    log_n_cosets: int

    @property
    def slackness(self) -> int:
        """s: every s-th row of the trace is an original row."""
        return self.trace_length // self.original_length

    @property
    def columns(self) -> int:
        """W, the number of trace columns, including blinding columns."""
        return self.air_columns + self.blinding_columns

    @property
    def domain_size(self) -> int:
        """N, the number of rows of the trace table and the composition table."""
        return self.trace_length << self.log_n_cosets

    @property
    def trace_generator(self) -> int:
        """g = ω_n."""
        return root_of_unity(self.trace_length)

    @property
    def row_generator(self) -> int:
        """h = g^s = ω_L. Original row r is the value at h^r."""
        return root_of_unity(self.original_length)


@dataclass(frozen=True, slots=True)
class Parameters:
    """A parameter file (sections 12.2 and 18.2). An instance is always valid.

    Raises ProofRefused (parameters): a member has the wrong type or is out of range.
    """

    log_n_cosets: int  # base-2 logarithm of the blow-up factor
    n_queries: int
    proof_of_work_bits: int
    fri_step_list: tuple[int, ...]
    last_layer_degree_bound: int
    zero_knowledge: bool = True
    slack: Slack | None = None  # None for a base parameter file

    def __post_init__(self) -> None:
        _require(_within(self.log_n_cosets, LOG_COSETS), "log_n_cosets must be 2 to 14")
        _require(_within(self.n_queries, QUERIES), "n_queries must be 1 to 256")
        grinding = range(MAX_GRINDING_BITS + 1)
        _require(_within(self.proof_of_work_bits, grinding), "proof_of_work_bits must be 0 to 40")
        is_bool = isinstance(self.zero_knowledge, bool)
        _require(is_bool, "enable_zero_knowledge must be true or false")
        is_slack = self.slack is None or isinstance(self.slack, Slack)
        _require(is_slack, "slack must be reference or strict")
        _require(self.slack is None or self.zero_knowledge, "slack requires zero knowledge")
        self._check_fri()

    def _check_fri(self) -> None:
        steps, bound = self.fri_step_list, self.last_layer_degree_bound
        is_list = isinstance(steps, tuple) and 0 < len(steps) <= TWO_ADICITY
        _require(is_list, f"fri_step_list must be a tuple of 1 to {TWO_ADICITY} steps")
        _require(all(_within(step, FRI_STEPS) for step in steps), "a FRI step must be 0 to 10")
        _require(all(steps[1:]), "only the first FRI step may be 0")
        folds_first = self.zero_knowledge and steps[0] > 0
        _require(not folds_first, "zero knowledge requires a first FRI step of 0")
        bounds = range(1, MAX_LAST_LAYER + 1)
        _require(_within(bound, bounds), "last_layer_degree_bound must be 1 to 16384")
        _require(bound & (bound - 1) == 0, "last_layer_degree_bound must be a power of two")

    @property
    def blinding_columns(self) -> int:
        """The number of blinding columns: 0, 1 or 3."""
        if not self.zero_knowledge:
            return 0
        return 3 if self.slack is Slack.STRICT else 1

    def trace_length(self, original_length: int) -> int:
        """n, which also depends on the number of queries (sections 5.1, 18.4)."""
        if not self.zero_knowledge:
            return original_length
        revealed = 9 * self.n_queries + 32 if self.slack is Slack.STRICT else self.n_queries + 2
        return 1 << ceil_log2(original_length + revealed)

    def lengths(self, original_length: int, air_columns: int = 12) -> Lengths:
        """The lengths for a trace of `original_length` rows, which is a power of two.

        Raises ProofRefused (parameters): the FRI steps and the last layer do not fit this length.
        """
        n = self.trace_length(original_length)
        fits = log2(n) + self.log_n_cosets <= TWO_ADICITY
        _require(fits, f"a trace of {n} rows is too long for the field")
        folded = self.last_layer_degree_bound << sum(self.fri_step_list)
        _require(folded == n, f"FRI steps and last layer fit {folded} rows, but the trace has {n}")
        return Lengths(original_length, n, air_columns, self.blinding_columns, self.log_n_cosets)

    def document(self) -> dict[str, object]:
        """The parameter file as a JSON value (sections 12.2, 18.2)."""
        stark: dict[str, object] = {
            "enable_zero_knowledge": self.zero_knowledge,
            "fri": {
                "fri_step_list": list(self.fri_step_list),
                "last_layer_degree_bound": self.last_layer_degree_bound,
                "n_queries": self.n_queries,
                "proof_of_work_bits": self.proof_of_work_bits,
            },
            "log_n_cosets": self.log_n_cosets,
        }
        if self.slack is not None:
            stark["slack"] = self.slack.value
        return {"stark": stark}

    def canonical(self) -> bytes:
        """The parameter file in canonical JSON (RFC 8785): sorted members, no spaces."""
        return json.dumps(self.document(), sort_keys=True, separators=(",", ":")).encode()

    def digest(self) -> bytes:
        """H(pfile), 32 bytes. It binds a blocks proof to its parameters (section 18.2)."""
        return blake2s_256(self.canonical())


def _within(value: object, allowed: range) -> bool:
    return type(value) is int and value in allowed


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ProofRefused(Reason.PARAMETERS, message)
