"""Memoizes expensive pure functions during a test run, and makes keystores quick to open.

Hundreds of tests create the same small fleet, with the same signatures, databases and routes. Each
result is the real one, computed on first use. Modules that test these functions themselves use the
fixture `computed_anew`.
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
from dragon.storage.disk import Disk
from dragon_sequencer import bn254, pairing

_remembering: Final[list[tuple[Any, str, Any, Any]]] = []  # owner, name, original, memoized


def install() -> None:
    """Memoize from now on, in this process. Exceptions are not remembered."""
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
    # Keystores made in this process take two iterations of PBKDF2 instead of a million. Those of
    # `test_keystore`, and those made by a command in another process, take all of them.
    _remember(keystore, "PBKDF2_ITERATIONS", lambda _: 2)
    # Migrations run for the first new database with given schemas; further ones are copies.
    _remember(Database, "__init__", _of_schemas)
    _remember(Rule, "_compile_builder", _of_rules)


@contextmanager
def forgotten() -> Iterator[None]:
    """Disable memoizing within a `with` block."""
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
    """Memoize by the signatures. Random factors are still drawn, so that a world's random numbers
    stay the same. They affect the result with a probability of 2⁻¹²⁸ only."""
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

    def remembering(self: Database, path: Path, *schemas: str, disk: Disk | None = None) -> None:
        if not schemas:
            init(self, path, disk=disk)
            return
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() or not path.parent.is_dir():
            init(self, path, *schemas, disk=disk)
        elif schemas in files:
            path.write_bytes(files[schemas])
            init(self, path, disk=disk)
        else:
            init(self, path, *schemas, disk=disk)
            with closing(sqlite3.connect(path)) as connection:
                files[schemas] = connection.serialize()

    return remembering


def _of_rules(compile_builder: Callable[..., Any]) -> Callable[..., Any]:
    """Every app compiles the same routes. The compiled function takes its rule as an argument."""
    builders: dict[tuple[object, ...], Any] = {}

    def remembering(self: Rule, append_unknown: bool = True) -> Any:
        if self.defaults:
            return compile_builder(self, append_unknown)
        key = (self.rule, tuple(self._trace), append_unknown)
        if key not in builders:
            builders[key] = compile_builder(self, append_unknown)
        return builders[key]

    return remembering
