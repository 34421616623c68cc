"""Dear functions of nothing but their arguments, computed once per arguments in a test run, and
keystores that are quick to open.

Hundreds of tests make the same small fleet, whose members sign the same messages and verify the
same signatures over and over. Each answer is the real one, found the first time that it is asked
for. The modules that test these functions themselves use the fixture `computed_anew`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from types import SimpleNamespace
from typing import Any, Final

from alembic.config import Config
from alembic.script import ScriptDirectory

from dragon import bls, keystore
from dragon_sequencer import bn254, pairing

_remembering: Final[list[tuple[Any, str, Any, Any]]] = []  # whose, name, original, ours


def install() -> None:
    """From now on, in this process. What raises is not remembered."""
    _remember(bls, "hash_to_curve", cache)  # signing and verifying begin with it
    _remember(bls, "verify", cache)
    _remember(bls, "verify_possession", cache)
    _remember(bls, "verify_batch", _of_batches)
    _remember(bls.SecretKey, "_sign", cache)
    _remember(bls.SecretKey, "public_key", cache)
    _remember(pairing, "prepare", cache)
    _remember(pairing, "is_signed", cache)
    _remember(bn254, "is_in_g2", cache)
    _remember(bn254, "public_key", cache)
    _remember(bn254, "sign", _of_lists)
    _remember(keystore, "unseal", cache)
    _remember(keystore, "_library", _with_few_rounds)
    # A migration is run for every new database, but its script is compiled once.
    _remember(ScriptDirectory, "from_config", _of_folders)


@contextmanager
def forgotten() -> Iterator[None]:
    """In here, everything is computed anew."""
    for owner, name, original, _ in _remembering:
        setattr(owner, name, original)
    yield
    for owner, name, _, ours in _remembering:
        setattr(owner, name, ours)


def _remember(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    original = vars(owner)[name]
    ours = make(original)
    _remembering.append((owner, name, original, ours))
    setattr(owner, name, ours)


def _of_batches(verify_batch: Callable[..., bool]) -> Callable[..., bool]:
    """By what was signed. The factors are drawn every time, so that a world's randomness goes on
    the same; they decide nothing but with a probability of 2⁻¹²⁸."""
    answers: dict[tuple[bls.Signed, ...], tuple[bool, list[int]]] = {}

    def remembering(signed: Sequence[bls.Signed], entropy: Callable[[int], bytes]) -> bool:
        if (known := answers.get(tuple(signed))) is not None:
            answer, drawn = known
            for size in drawn:
                entropy(size)
            return answer
        drawn = []

        def counted(size: int) -> bytes:
            drawn.append(size)
            return entropy(size)

        answer = verify_batch(signed, counted)
        answers[tuple(signed)] = answer, drawn
        return answer

    return remembering


def _of_lists(sign: Callable[..., bn254.G1]) -> Callable[..., bn254.G1]:
    known = cache(lambda secrets, message: sign(list(secrets), message))
    return lambda secrets, message: known(tuple(secrets), message)


def _with_few_rounds(library: Callable[[], Any]) -> Callable[[], Any]:
    """Keystores made in this process take two rounds of PBKDF2 in place of a million. Those of
    `test_keystore`, and all that a command of its own makes, take them all."""

    def quick() -> SimpleNamespace:
        real = library()
        create = partial(real.create_keyfile_json, iterations=2)
        return SimpleNamespace(
            create_keyfile_json=create, decode_keyfile_json=real.decode_keyfile_json
        )

    return quick


def _of_folders(from_config: Any) -> Any:
    scripts: dict[str | None, ScriptDirectory] = {}

    def remembering(cls: type[ScriptDirectory], config: Config) -> ScriptDirectory:
        folder = config.get_main_option("script_location")
        if folder not in scripts:
            scripts[folder] = from_config.__get__(None, cls)(config)
        return scripts[folder]

    return classmethod(remembering)
