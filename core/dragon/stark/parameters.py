"""Parameters of a proof, and the lengths that follow from them (sections 5.1, 12.2, 18.2, 18.4).

A verifier is given its parameters by whoever relies on it, never by the proof: parameters of the
forger's choice make forging easy (10.3).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dragon.stark.field import TWO_ADICITY, ceil_log2, log2, root_of_unity
from dragon.stark.hashchain import MAX_GRINDING_BITS, blake2s_256
from dragon.stark.refusal import ProofRefused, Reason

DEGREE_FACTOR: Final = 4  # the composition polynomial has degree < 4n; it is split into as many
LOG_COSETS: Final = range(2, 15)
QUERIES: Final = range(1, 257)
FRI_STEPS: Final = range(11)
MAX_LAST_LAYER: Final = 16384


class Slack(StrEnum):
    """How a blocks proof is blinded (18.4)."""

    REFERENCE = "reference"  # as in Ziggy; for tests only, it gives preimages away (18.7)
    STRICT = "strict"


@dataclass(frozen=True, slots=True)
class Lengths:
    """What the parameters and the length L of the original trace determine."""

    original_length: int  # L
    trace_length: int  # n, a power of two
    air_columns: int
    blinding_columns: int  # 0, 1 or 3; they follow the others
    log_n_cosets: int

    @property
    def slackness(self) -> int:
        """s: every s-th row of the trace is an original row."""
        return self.trace_length // self.original_length

    @property
    def columns(self) -> int:
        """W, the columns of the trace with the blinding ones."""
        return self.air_columns + self.blinding_columns

    @property
    def domain_size(self) -> int:
        """N, the number of rows of trace and composition table."""
        return self.trace_length << self.log_n_cosets

    @property
    def trace_generator(self) -> int:
        """g = ω_n."""
        return root_of_unity(self.trace_length)

    @property
    def row_generator(self) -> int:
        """h = g^s = ω_L: the original row r lives at h^r."""
        return root_of_unity(self.original_length)


@dataclass(frozen=True, slots=True)
class Parameters:
    """A parameter file. Valid once constructed: construction refuses what 12.2 and 18.2 exclude.

    Raises ProofRefused (parameters): a member is of another type or out of its range.
    """

    log_n_cosets: int  # the logarithm of the blow-up
    n_queries: int
    proof_of_work_bits: int
    fri_step_list: tuple[int, ...]
    last_layer_degree_bound: int
    zero_knowledge: bool = True
    slack: Slack | None = None  # None: a file of the base protocol

    def __post_init__(self) -> None:
        _require(_within(self.log_n_cosets, LOG_COSETS), "log_n_cosets is 2 to 14")
        _require(_within(self.n_queries, QUERIES), "n_queries is 1 to 256")
        grinding = range(MAX_GRINDING_BITS + 1)
        _require(_within(self.proof_of_work_bits, grinding), "proof_of_work_bits is 0 to 40")
        _require(isinstance(self.zero_knowledge, bool), "enable_zero_knowledge is true or false")
        _require(self.slack is None or isinstance(self.slack, Slack), "slack is a known word")
        _require(self.slack is None or self.zero_knowledge, "slack needs zero knowledge")
        self._check_fri()

    def _check_fri(self) -> None:
        steps, bound = self.fri_step_list, self.last_layer_degree_bound
        _require(isinstance(steps, tuple) and 0 < len(steps) <= TWO_ADICITY, "fri_step_list is one")
        _require(all(_within(step, FRI_STEPS) for step in steps), "a FRI step is 0 to 10")
        _require(all(steps[1:]), "only the first FRI step may be 0")
        _require(not (self.zero_knowledge and steps[0]), "zero knowledge needs a first step of 0")
        bounds = range(1, MAX_LAST_LAYER + 1)
        _require(_within(bound, bounds), "last_layer_degree_bound is 1 to 16384")
        _require(bound & (bound - 1) == 0, "last_layer_degree_bound is a power of two")

    @property
    def blinding_columns(self) -> int:
        if not self.zero_knowledge:
            return 0
        return 3 if self.slack is Slack.STRICT else 1

    def trace_length(self, original_length: int) -> int:
        """n, which depends on the number of queries too (5.1, 18.4)."""
        if not self.zero_knowledge:
            return original_length
        revealed = 9 * self.n_queries + 32 if self.slack is Slack.STRICT else self.n_queries + 2
        return 1 << ceil_log2(original_length + revealed)

    def lengths(self, original_length: int, air_columns: int = 12) -> Lengths:
        """All lengths for a trace of `original_length` rows, a power of two.

        Raises ProofRefused (parameters): the FRI steps and the last layer do not fit them.
        """
        n = self.trace_length(original_length)
        _require(log2(n) + self.log_n_cosets <= TWO_ADICITY, "the trace is too long for the field")
        folded = self.last_layer_degree_bound << sum(self.fri_step_list)
        _require(folded == n, f"FRI reduces {folded} coefficients, the trace has {n} rows")
        return Lengths(original_length, n, air_columns, self.blinding_columns, self.log_n_cosets)

    def document(self) -> dict[str, object]:
        """The parameter file as a JSON value (12.2, 18.2)."""
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
        """H(pfile), 32 bytes, which binds a blocks proof to its parameters (18.2)."""
        return blake2s_256(self.canonical())


def _within(value: object, allowed: range) -> bool:
    return type(value) is int and value in allowed


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ProofRefused(Reason.PARAMETERS, message)
