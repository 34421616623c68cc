"""Request and response bodies of the prover service, as `/openapi.json` describes them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dragon.encoding import DECIMAL_PATTERN
from dragon.node.schemas import Schema

ParameterSet = Literal["ziggy-classic", "standard", "strong"]
Output = Annotated[str, Field(pattern="^0x[0-9a-f]{64}$")]
Opening = Annotated[str, Field(pattern="^0x[0-9a-f]{120}$")]
Bound = Annotated[str, Field(pattern=DECIMAL_PATTERN, max_length=40)]
Hex = Annotated[str, Field(pattern="^0x([0-9a-f]{2})*$")]


class Statement(Schema):
    """All outputs of a window, including padding (a power of two), and a message."""

    kind: Literal["blocks"] = "blocks"
    outputs: Annotated[list[Output], Field(min_length=1, max_length=4096)]
    message: Hex


class Bounds(Schema):
    """Closed intervals for readings, for steps between consecutive readings, and for their sum."""

    low: Bound
    high: Bound
    step_low: Bound
    step_high: Bound
    sum_low: Bound
    sum_high: Bound


class ReadingsStatement(Schema):
    """The commitments to the readings of a window, the bounds of the readings, and a message."""

    kind: Literal["readings"]
    identity: Output
    commitments: Annotated[list[Output], Field(min_length=1, max_length=4095)]
    carried: bool
    bounds: Bounds
    message: Hex


class Secrets(Schema):
    """The identity's private key, and the opening of each commitment.

    An opening is digest ‖ salt; in a readings statement digest ‖ salt ‖ value.
    """

    identity: Output
    openings: Annotated[list[Opening], Field(max_length=4095)]


class ProofRequest(Schema):
    """What to prove, and the secrets that make it true."""

    parameter_set: ParameterSet
    statement: Statement | ReadingsStatement
    secrets: Secrets


class Proof(Schema):
    """A proof, and the parameter set under which it was made."""

    parameter_set: ParameterSet
    proof: Hex


class VerificationRequest(Schema):
    """A proof to verify, and what it should prove."""

    parameter_set: ParameterSet
    statement: Statement | ReadingsStatement
    proof: Hex


class Verdict(Schema):
    """Whether the proof is valid; if not, which check failed first."""

    valid: bool
    reason: str | None
    detail: str | None


class Figures(Schema):
    """Security figures in bits for one number of blocks; `level` is the least of the three."""

    blocks: int
    rows: int
    queries: int
    provable: float
    conjectured: float
    binding: float
    level: float


class NamedSet(Schema):
    """A parameter set and its figures for each number of blocks."""

    name: ParameterSet
    zero_knowledge: Literal["strict", "heuristic"]
    figures: list[Figures]


class ParameterSets(Schema):
    """All parameter sets."""

    parameter_sets: list[NamedSet]
