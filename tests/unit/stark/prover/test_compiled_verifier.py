"""The compiled verifier decides as the plain one, and the plain one names the refusals."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest

import starkvectors as vectors
from dragon.stark import compiled
from dragon.stark.air import Air
from dragon.stark.blocks import statement
from dragon.stark.channel import ProofReader
from dragon.stark.extension import Element
from dragon.stark.field import GENERATOR, P, R, decode, encode, root_of_unity
from dragon.stark.interpolation import interpolants_at, plain_interpolants_at
from dragon.stark.parameters import Lengths, Parameters
from dragon.stark.prover.compiled_verifier import CompiledVerifier, use_compiled_verifier
from dragon.stark.queries import open_queries
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.transcript import FriCommitments, OutOfDomain
from dragon.stark.verifier import replay, verify

Subject = tuple[Air, Parameters, bytes]


class BothWays:
    """Asks both verifiers, and fails if they differ."""

    def __init__(self) -> None:
        self.accepted = self.refused = 0

    def check_queries(
        self,
        parameters: Parameters,
        lengths: Lengths,
        reader: ProofReader,
        sampled: OutOfDomain,
        committed: FriCommitments,
    ) -> bool:
        again = ProofReader(reader.proof)
        again.offset = start = reader.offset
        holds = CompiledVerifier.check_queries(parameters, lengths, reader, sampled, committed)
        try:
            open_queries(parameters, lengths, again, sampled, committed)
        except ProofRefused:
            assert not holds
            assert reader.offset == start
            self.refused += 1
        else:
            assert holds
            assert reader.offset == again.offset
            self.accepted += 1
        return holds

    def encode(self, elements: Sequence[int]) -> bytes:
        encoded = CompiledVerifier.encode(elements)
        assert encoded == struct.pack(f">{len(elements)}Q", *[x * R % P for x in elements])
        return encoded

    def decode(self, raw: bytes) -> list[int]:
        elements = CompiledVerifier.decode(raw)
        assert [x * R % P for x in elements] == [*struct.unpack(f">{len(raw) // 8}Q", raw)]
        return elements

    def interpolants_at(self, columns: Sequence[Sequence[int]], u: Element) -> list[Element]:
        values = CompiledVerifier.interpolants_at(columns, u)
        assert values == plain_interpolants_at(columns, u)
        return values


@pytest.fixture
def both() -> Iterator[BothWays]:
    functions = BothWays()
    compiled.use(functions)
    yield functions
    compiled.use(None)


def ziggy(name: str) -> Subject:
    file = vectors.ziggy(name)
    air = vectors.ziggy_air(file) if name.startswith("ziggy") else vectors.chain_air(file)
    return air, vectors.parameters(file["proof_parameters"]), vectors.proof_bytes(file)


def blocks(file: Any) -> Subject:
    outputs = [bytes.fromhex(output) for output in file["statement"]["outputs"]]
    air = statement(outputs, bytes.fromhex(file["statement"]["message_hex"]))
    return air, vectors.parameters(file["parameters"]), vectors.proof_bytes(file)


def readings(name: str) -> Subject:
    file = vectors.readings(name)
    air = vectors.readings_air(file)
    return air, vectors.parameters(file["parameters"]), vectors.proof_bytes(file)


SUBJECTS = {
    **{name: lambda name=name: ziggy(name) for name in vectors.ZIGGY_PROOFS},
    **{name: lambda name=name: ziggy(name) for name in vectors.RESCUE_PROOFS},
    **{name: lambda name=name: blocks(vectors.blocks(name)) for name in vectors.BLOCKS_PROOFS},
    **{f"r_{name}": lambda name=name: readings(name) for name in vectors.READINGS_PROOFS},
    **{f"r_{name}": lambda name=name: readings(name) for name in vectors.TINY_READINGS_PROOFS},
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_both_accept_every_published_proof(name: str, both: BothWays) -> None:
    verify(*SUBJECTS[name]())

    assert (both.accepted, both.refused) == (1, 0)


@pytest.mark.parametrize(
    "name", ["ziggy_proof_4.json", "r_valid_carried_b4.json", "r_valid_b8.json"]
)
def test_both_refuse_altered_openings(name: str, both: BothWays) -> None:
    """Every byte of the query phase is bound by a commitment, so every change is refused."""
    air, parameters, proof = SUBJECTS[name]()
    start = replay(air, parameters, proof).openings.query_offset
    random = Random(f"openings of {name}")
    for _ in range(25):
        altered = bytearray(proof)
        altered[random.randrange(start, len(proof))] ^= random.randrange(1, 256)
        with pytest.raises(ProofRefused):
            verify(air, parameters, bytes(altered))

    assert (both.accepted, both.refused) == (0, 25)


@pytest.mark.parametrize("name", ["ziggy_proof_4.json", "r_valid_carried_b4.json"])
def test_both_refuse_a_proof_that_ends_early(name: str, both: BothWays) -> None:
    air, parameters, proof = SUBJECTS[name]()
    start = replay(air, parameters, proof).openings.query_offset
    for size in range(start, len(proof), 1511):
        with pytest.raises(ProofRefused) as refused:
            verify(air, parameters, proof[:size])
        assert refused.value.reason in {
            Reason.PROOF_TOO_SHORT,
            Reason.LAYER0_DECOMMITMENT,
            Reason.FRI_LAYER_DECOMMITMENT,
            Reason.NON_CANONICAL,
        }

    assert both.accepted == 0


def test_bytes_behind_the_openings_are_refused(both: BothWays) -> None:
    air, parameters, proof = SUBJECTS["r_valid_b8.json"]()

    with pytest.raises(ProofRefused) as refused:
        verify(air, parameters, proof + b"\0")

    assert refused.value.reason is Reason.TRAILING_BYTES


def test_a_word_that_is_not_below_p_is_refused(both: BothWays) -> None:
    """The same element in another encoding, in each part of the query phase."""
    air, parameters, proof = SUBJECTS["ziggy_proof_4.json"]()
    start = replay(air, parameters, proof).openings.query_offset
    spelled = 0
    for place in range(start, len(proof) - 8, 8 * 97):
        word = int.from_bytes(proof[place : place + 8], "big")
        if word < P and word + P < 2**64:
            again = proof[:place] + (word + P).to_bytes(8, "big") + proof[place + 8 :]
            with pytest.raises(ProofRefused):
                verify(air, parameters, again)
            spelled += 1

    assert spelled > 10
    assert both.refused == spelled


@pytest.mark.parametrize(
    "case", vectors.blocks("invalid_proofs.json")["cases"], ids=lambda case: str(case["name"])
)
def test_invalid_blocks_proofs_have_the_same_reason(case: Any) -> None:
    file = vectors.altered(vectors.blocks(case["base"]), case["ops"])
    reasons = []
    for functions in (None, BothWays(), CompiledVerifier()):
        compiled.use(functions)
        try:
            with pytest.raises(ProofRefused) as refused:
                verify(*blocks(file))
        finally:
            compiled.use(None)
        reasons.append(refused.value.reason)

    assert len(set(reasons)) == 1


def test_a_point_of_the_subgroup_has_no_interpolant(both: BothWays) -> None:
    point = (root_of_unity(8), 0, 0)

    with pytest.raises(ZeroDivisionError):
        CompiledVerifier.interpolants_at([range(8)], point)
    assert interpolants_at([range(8), [0] * 8], (GENERATOR, 1, 5))[1] == (0, 0, 0)


def test_many_elements_are_converted_alike(both: BothWays) -> None:
    source = Random(3)
    elements = [0, 1, P - 1, *(source.randrange(P) for _ in range(500))]

    raw = encode(elements)

    assert decode(raw) == elements
    compiled.use(None)
    assert encode(elements) == raw
    assert encode([x - P for x in elements]) == raw
    assert decode(raw) == elements


def test_many_words_of_which_one_is_not_below_p_are_refused(both: BothWays) -> None:
    raw = encode(range(300))

    with pytest.raises(ProofRefused) as refused:
        decode(raw[:1600] + P.to_bytes(8, "big") + raw[1608:])
    assert refused.value.reason is Reason.NON_CANONICAL


def test_the_compiled_verifier_is_used_once_it_is_chosen() -> None:
    use_compiled_verifier()
    try:
        assert isinstance(compiled.in_use(), CompiledVerifier)
        verify(*SUBJECTS["r_valid_b8.json"]())
    finally:
        compiled.use(None)
