"""The bodies of this service as `/openapi.json` describes them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dragon.node.schemas import Schema

ParameterSet = Literal["ziggy-classic", "standard", "strong"]
Output = Annotated[str, Field(pattern="^0x[0-9a-f]{64}$")]
Opening = Annotated[str, Field(pattern="^0x[0-9a-f]{120}$")]
Hex = Annotated[str, Field(pattern="^0x([0-9a-f]{2})*$")]


class Statement(Schema):
    """Every output of a window, padding included: a power of two of them; and a message."""

    outputs: Annotated[list[Output], Field(min_length=1, max_length=4096)]
    message: Hex


class Secrets(Schema):
    """The identity's private key, and the opening of each chunk, digest ‖ salt."""

    identity: Output
    openings: Annotated[list[Opening], Field(max_length=4095)]


class ProofRequest(Schema):
    parameter_set: ParameterSet
    statement: Statement
    secrets: Secrets


class Proof(Schema):
    parameter_set: ParameterSet
    proof: Hex


class VerificationRequest(Schema):
    parameter_set: ParameterSet
    statement: Statement
    proof: Hex


class Verdict(Schema):
    valid: bool
    reason: str | None
    detail: str | None


class Figures(Schema):
    """Bits of security; `level` is the least of the three."""

    blocks: int
    rows: int
    queries: int
    provable: float
    conjectured: float
    binding: float
    level: float


class NamedSet(Schema):
    name: ParameterSet
    zero_knowledge: Literal["strict", "heuristic"]
    figures: list[Figures]


class ParameterSets(Schema):
    parameter_sets: list[NamedSet]
