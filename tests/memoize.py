"""Dear functions of nothing but their arguments, computed once per arguments in a test run, and
keystores that are quick to open.

Hundreds of tests make the same small fleet, whose members sign the same messages and verify the
same signatures over and over, in the same databases and behind the same routes. Each answer is the
real one, found the first time that it is asked for. The modules that test these functions
themselves use the fixture `computed_anew`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from werkzeug.routing import Rule

from dragon.protocol import bls
from dragon.storage import keystore
from dragon.storage.database import Database
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
    # Keystores made in this process take two iterations of PBKDF2 in place of a million. Those of
    # `test_keystore`, and all that a command in a process of its own makes, take them all.
    _remember(keystore, "PBKDF2_ITERATIONS", lambda _: 2)
    # Migrations are run for the first new database of its schemas, and copied for the others.
    _remember(Database, "__init__", _of_schemas)
    _remember(Rule, "_compile_builder", _of_rules)


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


def _of_schemas(init: Callable[..., None]) -> Callable[..., None]:
    files: dict[tuple[str, ...], bytes] = {}

    def remembering(self: Database, path: Path, *schemas: str) -> None:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() or not path.parent.is_dir():
            init(self, path, *schemas)
        elif schemas in files:
            path.write_bytes(files[schemas])
            init(self, path)
        else:
            init(self, path, *schemas)
            with closing(sqlite3.connect(path)) as connection:
                files[schemas] = connection.serialize()

    return remembering


def _of_rules(compile_builder: Callable[..., Any]) -> Callable[..., Any]:
    """Every app compiles the same routes. What is compiled takes its rule as an argument."""
    builders: dict[tuple[object, ...], Any] = {}

    def remembering(self: Rule, append_unknown: bool = True) -> Any:
        if self.defaults:
            return compile_builder(self, append_unknown)
        key = (self.rule, tuple(self._trace), append_unknown)
        if key not in builders:
            builders[key] = compile_builder(self, append_unknown)
        return builders[key]

    return remembering
