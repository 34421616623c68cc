"""Everything that passes between prover and verifier, and what the verifier makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dragon.stark.deep import Boundary
from dragon.stark.extension import Element


@dataclass(frozen=True, slots=True)
class OutOfDomain:
    """Steps 1 to 6 of section 8: the commitments and the openings out of the domain."""

    initial_state: bytes
    trace_root: bytes
    state_after_trace_root: bytes
    coefficients: Sequence[Element]  # α
    composition_root: bytes
    state_after_composition_root: bytes
    point: Element  # z
    mask_values: Sequence[Element]
    composition_values: Sequence[Element]
    composition: Element  # C(z)
    state: bytes  # after all of these


@dataclass(frozen=True, slots=True)
class FriCommitments:
    """Steps 7 to 11: from the DEEP coefficients to the queries."""

    deep_coefficients: Sequence[Element]  # δ
    boundaries: Sequence[Boundary]
    challenges: Sequence[Element]  # ζ_i; a first step of 0 has none
    roots: Sequence[bytes]
    last_layer: Sequence[Element]
    state_before_nonce: bytes
    nonce: bytes  # empty without proof of work
    state_after_nonce: bytes
    queries: Sequence[int]  # as drawn


@dataclass(frozen=True, slots=True)
class Openings:
    """Steps 12 to 14: what the queries show. Offsets count bytes of the proof."""

    query_offset: int
    trace_end: int
    composition_end: int
    end: int
    rows: Sequence[int]  # opened rows of trace and composition, ascending
    trace: Sequence[Sequence[int]]  # their cells
    composition: Sequence[Sequence[int]]  # their cells, each as three coordinates
    deep_values: Sequence[Element]  # d at each of them
    query_values: Sequence[dict[int, Element]]  # for each layer, its values by index


@dataclass(frozen=True, slots=True)
class Transcript:
    out_of_domain: OutOfDomain
    fri: FriCommitments
    openings: Openings
