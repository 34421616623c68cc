"""Signatures in plain Python equal the published ones, and those of the other provers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import starkvectors as vectors
from dragon.errors import UnluckyChallenge, WrongWitness
from dragon.stark import seeds, ziggy
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.commitment import encode_output
from dragon.stark.hashchain import HashChain
from dragon.stark.parameter_sets import CLASSIC
from dragon.stark.signing import signature
from plainprover import Prover
from plaintraces import blocks_rows

KEYS = [bytes(32), bytes(range(32)), bytes([255]) * 32]
MESSAGES = [b"", b"Hello World!", bytes(1000)]
RHO = bytes(range(100, 132))


@pytest.mark.parametrize("name", ["ziggy_proof_1.json", "ziggy_proof_2.json", "ziggy_proof_3.json"])
def test_deterministic_signatures_equal_the_published_ones(name: str) -> None:
    file = vectors.ziggy(name)
    assert vectors.parameters(file["proof_parameters"]) == CLASSIC.parameters(1)
    message = vectors.ziggy_air(file).message

    proof = signature.sign_deterministically(vectors.private_key(file), message)

    assert proof == vectors.proof_bytes(file)


@pytest.mark.parametrize(("key", "message"), list(zip(KEYS, MESSAGES, strict=True)))
def test_signatures_equal_those_of_the_oracle(key: bytes, message: bytes) -> None:
    parameters = CLASSIC.parameters(1)
    air = BlocksAir((ziggy.public_key(key),), message)
    seed = seeds.ziggy_zk_seed(key, message)
    fresh = seeds.fresh_zk_seed(parameters.digest(), air.channel_seed(parameters), RHO, seed)

    for made, zk_seed in (
        (signature.sign_deterministically(key, message), seed),
        (signature.sign(key, message, RHO), fresh),
    ):
        oracle = Prover(air, parameters, zk_seed).prove(blocks_rows([ziggy.secret_preimage(key)]))
        assert made == oracle


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("message", MESSAGES)
def test_signatures_equal_those_of_the_compiled_prover(key: bytes, message: bytes) -> None:
    pytest.importorskip("numba")
    from dragon.stark.prover import ziggy as compiled  # noqa: PLC0415

    assert signature.sign(key, message, RHO) == compiled.prove_ziggy(key, message, RHO)
    deterministic = signature.sign_deterministically(key, message)
    assert deterministic == compiled.prove_ziggy_deterministically(key, message)


def test_fresh_randomness_gives_another_valid_signature() -> None:
    made = {signature.sign(KEYS[1], b"m", bytes([k]) * 32) for k in range(2)}
    made.add(signature.sign_deterministically(KEYS[1], b"m"))

    assert len(made) == 3
    for proof in made:
        ziggy.verify_signature(encode_output(ziggy.public_key(KEYS[1])), b"m", proof)


def test_a_key_and_its_randomness_have_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes, not 31"):
        signature.sign(bytes(31), b"", RHO)
    with pytest.raises(ValueError, match="32 bytes, not 33"):
        signature.sign_deterministically(bytes(33), b"")
    with pytest.raises(WrongWitness):
        signature.sign(KEYS[0], b"", RHO[:31])


def test_a_point_in_the_domain_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HashChain, "extension", lambda _: (3, 0, 0))  # the first of the domain

    with pytest.raises(UnluckyChallenge):
        signature.sign(KEYS[0], b"", RHO)


def test_signing_loads_neither_numpy_nor_numba() -> None:
    program = (
        "import sys; from dragon.stark.signing import signature;"
        "signature.sign(bytes(32), b'', bytes(32)); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    loaded = set(done.stdout.split())
    assert "dragon.stark.signing.composition" in loaded
    assert not loaded & {"numpy", "numba", "dragon.stark.prover"}
