"""No altered proof is accepted, and no bytes cause another error than a refusal."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import starkvectors as vectors
from dragon.stark.air import Air
from dragon.stark.airs.readings import ReadingsAir
from dragon.stark.bounds import fixed_size, largest_size
from dragon.stark.field import P
from dragon.stark.parameters import Parameters
from dragon.stark.reading_bounds import ReadingBounds
from dragon.stark.refusal import ProofRefused
from dragon.stark.verifier import replay, verify

Subject = tuple[Air, Parameters, bytes]

MASKS = (b"\x01", b"\x80", b"\xff\xff\xff\xff\xff\xff\xff\xff")
PER_REGION = 4


@cache
def subject(name: str) -> Subject:
    if f"{name}.json" in vectors.BLOCKS_PROOFS:
        file = vectors.blocks(f"{name}.json")
        air: Air = vectors.blocks_air(file)
        return air, vectors.parameters(file["parameters"]), vectors.proof_bytes(file)
    if is_of_windows(name):
        file = vectors.readings(f"{name}.json")
        air = vectors.readings_air(file)
        return air, vectors.parameters(file["parameters"]), vectors.proof_bytes(file)
    file = vectors.ziggy(f"{name}.json")
    air = vectors.ziggy_air(file) if name.startswith("ziggy") else vectors.chain_air(file)
    return air, vectors.parameters(file["proof_parameters"]), vectors.proof_bytes(file)


@cache
def regions(name: str) -> list[tuple[str, int, int]]:
    """The parts of a proof: label, first byte, byte after the last."""
    if is_of_windows(name):
        return regions_of_window(name)
    layout = vectors.ziggy(f"{name}_transcript.json")["proof_layout"]
    return [(part["section"], part["start"], part["end"]) for part in layout]


def is_of_windows(name: str) -> bool:
    """Whether this is a blocks proof or a readings proof."""
    return name.startswith(("proof_", "valid_"))


def regions_of_window(name: str) -> list[tuple[str, int, int]]:
    """Cells, salts and nodes of each table, from their sizes."""
    air, parameters, proof = subject(name)
    transcript = replay(air, parameters, proof)
    openings = transcript.openings
    width = parameters.lengths(air.original_length, air.columns).columns
    n_rows, n_roots = len(openings.rows), len(transcript.fri.roots)
    values = 64 + 24 * len(air.mask)
    last_layer = values + 96 + 32 * n_roots
    nonce = openings.query_offset - 8
    salts = openings.query_offset + 8 * width * n_rows
    trace_nodes = salts + 16 * n_rows
    composition_nodes = openings.trace_end + 96 * n_rows
    ends = [
        ("trace root", 32),
        ("composition root", 64),
        ("mask values", values),
        ("composition values", values + 96),
        ("FRI roots", last_layer),
        ("last layer", nonce),
        ("nonce", openings.query_offset),
        ("trace cells", salts),
        ("salts", trace_nodes),
        ("trace nodes", openings.trace_end),
        ("composition cells", composition_nodes),
        ("composition nodes", openings.composition_end),
        ("FRI layers", len(proof)),
    ]
    starts = [0, *[end for _, end in ends]]
    return [(label, start, end) for (label, end), start in zip(ends, starts, strict=False)]


def refusal_of(air: Air, parameters: Parameters, proof: bytes) -> ProofRefused | None:
    """The refusal, or None if the proof is accepted. Any other error fails the test."""
    try:
        verify(air, parameters, proof)
    except ProofRefused as refused:
        return refused
    return None


@pytest.mark.parametrize(
    "name", ["ziggy_proof_4", "rescue_proof_3", "proof_standard_b2", "proof_standard_b4_meter"]
)
def test_an_altered_byte_in_any_region_is_refused(name: str) -> None:
    air, parameters, proof = subject(name)
    random = Random(f"mutations of {name}")
    accepted = []
    for label, start, end in regions(name):
        places = {start, end - 1, *(random.randrange(start, end) for _ in range(PER_REGION - 2))}
        for place in sorted(places):
            mask = random.choice(MASKS)[: end - place]
            altered = xored(proof, place, mask)
            if refusal_of(air, parameters, altered) is None:
                accepted.append((label, place, mask))

    assert not accepted


def xored(proof: bytes, place: int, mask: bytes) -> bytes:
    altered = bytearray(proof)
    for i, byte in enumerate(mask):
        altered[place + i] ^= byte
    return bytes(altered)


@pytest.mark.parametrize("name", ["ziggy_proof_4", "rescue_proof_3"])
def test_the_regions_cover_the_proof(name: str) -> None:
    _, _, proof = subject(name)
    covered = sorted((start, end) for _, start, end in regions(name))

    assert covered[0][0] == 0
    assert covered[-1][1] == len(proof)
    assert all(a[1] == b[0] for a, b in pairwise(covered))


@pytest.mark.parametrize("name", ["ziggy_proof_4", "proof_standard_b2", "proof_strong_b4"])
def test_a_truncated_proof_is_refused_at_any_length(name: str) -> None:
    air, parameters, proof = subject(name)
    random = Random(f"cuts of {name}")
    edges = {edge for _, start, end in regions(name) for edge in (start, start + 1, end - 1)}
    cuts = edges | {random.randrange(len(proof)) for _ in range(20)}

    assert all(refusal_of(air, parameters, proof[:cut]) for cut in sorted(cuts))


def test_non_canonical_encodings_of_the_same_elements_are_refused() -> None:
    """Adding p to a word changes the encoding but not the element."""
    air, parameters, proof = subject("ziggy_proof_4")
    spelled = []
    for label, start, end in regions("ziggy_proof_4"):
        if (end - start) % 24 == 0:
            word = int.from_bytes(proof[start : start + 8], "big")
            if word + P < 2**64:
                again = proof[:start] + (word + P).to_bytes(8, "big") + proof[start + 8 :]
                spelled.append((label, refusal_of(air, parameters, again)))

    assert len(spelled) > 5
    assert all(refusal for _, refusal in spelled)


@pytest.mark.parametrize(
    "name",
    [
        *(f"ziggy_proof_{i}" for i in range(1, 6)),
        *(f"rescue_proof_{i}" for i in range(1, 6)),
        *("proof_standard_b8_wide", "proof_standard_b64_temperature", "proof_strong_b4"),
    ],
)
def test_no_proof_is_larger_than_its_parameters_allow(name: str) -> None:
    air, parameters, proof = subject(name)
    lengths = parameters.lengths(air.original_length, air.columns)

    most = largest_size(air, parameters, lengths)

    assert fixed_size(air, parameters) < len(proof) <= most
    assert most < 2 * len(proof)


# -- fuzzing -------------------------------------------------------------------------------------

edits = st.lists(
    st.tuples(
        st.sampled_from(["write", "insert", "delete", "copy"]),
        st.integers(0, 2**16),
        st.binary(min_size=1, max_size=40),
    ),
    min_size=1,
    max_size=4,
)


def edited(proof: bytes, changes: list[tuple[str, int, bytes]], first: int) -> bytes:
    """`proof` with changes at offsets from `first` on."""
    altered = bytearray(proof)
    for kind, place, data in changes:
        at = first + place % max(1, len(altered) - first)
        match kind:
            case "write":
                altered[at : at + len(data)] = data
            case "insert":
                altered[at:at] = data
            case "delete":
                del altered[at : at + len(data)]
            case "copy":
                altered[at : at + len(data)] = altered[first : first + len(data)]
    return bytes(altered)


@given(
    edits,
    st.booleans(),
    st.sampled_from(["ziggy_proof_4", "ziggy_proof_5", "rescue_proof_2", "valid_b8"]),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_edited_proofs_are_refused_or_unchanged(
    changes: list[tuple[str, int, bytes]], late: bool, name: str
) -> None:
    """Half of the edits change only the query phase, and so reach its checks."""
    air, parameters, proof = subject(name)
    first = fixed_size(air, parameters) if late else 0

    altered = edited(proof, changes, first)

    assert (refusal_of(air, parameters, altered) is None) == (altered == proof)


@given(st.binary(max_size=3000), st.integers(0, 30_000))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_random_bytes_are_refused(start: bytes, size: int) -> None:
    air, parameters, _ = subject("ziggy_proof_4")

    assert refusal_of(air, parameters, start + bytes(size))


@given(st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_readings_proof_is_refused_for_any_other_statement(data: st.DataObject) -> None:
    air, parameters, proof = subject("valid_carried_b4")
    assert isinstance(air, ReadingsAir)
    name = data.draw(st.sampled_from([field.name for field in fields(ReadingBounds)]))
    change = data.draw(st.integers(-40, 40))
    bounds = replace(air.bounds, **{name: getattr(air.bounds, name) + change})

    refused = None
    try:
        verify(replace(air, bounds=bounds), parameters, proof)
    except ProofRefused as refusal:
        refused = refusal

    assert (refused is None) == (change == 0)


@given(st.integers(0, 2**16), st.sampled_from(["ziggy_proof_1", "ziggy_proof_3"]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_two_genuine_proofs_spliced_together_are_refused(cut: int, other: str) -> None:
    air, parameters, proof = subject("ziggy_proof_2")
    _, _, foreign = subject(other)
    at = cut % len(proof)
    spliced = proof[:at] + foreign[at:]

    assert (refusal_of(air, parameters, spliced) is None) == (spliced == proof)
