"""The messages between prover and verifier, and the values that the verifier computes from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dragon.stark.deep import Boundary
from dragon.stark.extension import Element


@dataclass(frozen=True, slots=True)
class OutOfDomain:
    """Steps 1 to 6 of section 8: commitments and out-of-domain openings."""

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
    state: bytes  # of the hash chain after these steps


@dataclass(frozen=True, slots=True)
class FriCommitments:
    """Steps 7 to 11 of section 8: from the DEEP coefficients to the queries."""

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
    """Steps 12 to 14 of section 8: the opened values. Offsets are bytes of the proof."""

    query_offset: int
    trace_end: int
    composition_end: int
    end: int
    rows: Sequence[int]  # opened rows of trace and composition, in ascending order
    trace: Sequence[Sequence[int]]  # their cells
    composition: Sequence[Sequence[int]]  # their cells, each as three coordinates
    deep_values: Sequence[Element]  # d at each opened row
    query_values: Sequence[dict[int, Element]]  # for each layer, values by index


@dataclass(frozen=True, slots=True)
class Transcript:
    """A complete, verified exchange."""

    out_of_domain: OutOfDomain
    fri: FriCommitments
    openings: Openings
