"""Memoizes expensive pure functions during a test run, and makes keystores quick to open.

Hundreds of tests create the same small fleet, with the same signatures, databases and routes. Each
result is the real one, computed on first use. Modules that test these functions themselves use the
fixture `computed_anew`.
"""

from __future__ import annotations

import inspect
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

import pytest
from jinja2 import Environment
from requests import models
from werkzeug.routing import Rule

from dragon.node import openapi
from dragon.protocol import bls
from dragon.protocol.streams import finding
from dragon.protocol.streams.statements import verify_window_proof
from dragon.stark import blocks, compiled, readings
from dragon.stark.air import Air
from dragon.stark.parameters import Parameters
from dragon.stark.refusal import ProofRefused
from dragon.storage import disk, keystore
from dragon.storage.database import Database
from dragon.storage.disk import Disk
from dragon_sequencer import bn254, pairing, tower
from dragon_stream import keys as stream_keys

_remembering: Final[list[tuple[Any, str, Any, Any]]] = []  # owner, name, original, memoized


def install() -> None:
    """Memoize from now on, in this process. Exceptions are not remembered."""
    _remember(bls, "hash_to_curve", cache)  # signing and verifying begin with it
    _remember(bls.PublicKey, "decode", lambda decode: classmethod(cache(decode.__func__)))
    _remember(bls.SecretKey, "public_key", cache)
    signatures = _Signatures()
    _remember(bls.SecretKey, "_sign", signatures.signing)
    _remember(bls, "aggregate_keys", signatures.summing_keys)
    _remember(bls, "aggregate_signatures", signatures.summing)
    _remember(bls, "verify", signatures.verifying)
    _remember(bls, "verify_batch", signatures.verifying_batches)
    _remember(bls, "verify_possession", cache)
    _remember(pairing, "prepare", cache)
    _remember(bn254, "is_in_g2", cache)
    _remember(bn254, "public_key", cache)
    finality = _FinalitySignatures()
    _remember(bn254, "sign", finality.signing)
    _remember(pairing, "is_signed", finality.verifying)
    _remember(stream_keys, "public_key", cache)
    _remember(blocks, "verify", _of_proofs)
    _remember(readings, "verify", _of_proofs)
    _remember(keystore, "unseal", cache)
    # Keystores made in this process take two iterations of PBKDF2 instead of a million. Those of
    # `test_keystore`, and those made by a command in another process, take all of them.
    _remember(keystore, "PBKDF2_ITERATIONS", lambda _: 2)
    # Migrations run for the first new database with given schemas; further ones are copies.
    _remember(Database, "__init__", _of_schemas)
    # Each new database first fills a part of its disk; here only the first one on each disk does.
    _remember(disk, "_write_and_delete", _of_disks)
    _remember(Rule, "_compile_builder", _of_rules)
    _remember(Environment, "compile", _of_templates)
    _remember(models, "parse_url", cache)
    _remember(openapi, "parse_parameters", _of_routes)


@contextmanager
def forgotten() -> Iterator[None]:
    """Disable memoizing within a `with` block."""
    for owner, name, original, _ in _remembering:
        setattr(owner, name, original)
    yield
    for owner, name, _, ours in _remembering:
        setattr(owner, name, ours)


@contextmanager
def windows_verified_once() -> Iterator[None]:
    """Verify each proof of a window once, though all operators receive it."""
    found: dict[str, ProofRefused | None] = {}

    def verify(*arguments: Any) -> None:
        key = repr(arguments)
        if key not in found:
            try:
                verify_window_proof(*arguments)
                found[key] = None
            except ProofRefused as refusal:
                found[key] = refusal
        if (refused := found[key]) is not None:
            raise refused

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finding, "verify_window_proof", verify)
        yield


def _remember(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    original = vars(owner)[name]
    ours = make(original)
    _remembering.append((owner, name, original, ours))
    setattr(owner, name, ours)


class _Signatures:
    """All signatures made in this process, by public key and message.

    A key has exactly one valid signature on a message, and a sum of keys the sum of theirs. So a
    signature that is equal to the known one is valid, without a pairing. Any other is verified.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[bytes, bytes], bytes] = {}
        self._parts: dict[bytes, tuple[bytes, ...]] = {}  # of sums of keys
        self._sum: Callable[[Sequence[bytes]], bytes] = bls.aggregate_signatures

    def signing(self, sign: Callable[..., bytes]) -> Callable[..., bytes]:
        def remembering(key: bls.SecretKey, message: bytes, dst: bytes) -> bytes:
            made = sign(key, message, dst)
            if dst == bls.SIGNATURE_DST:
                self._made[key.public_key().raw, message] = made
            return made

        return cache(remembering)

    def summing_keys(self, aggregate: Callable[..., bls.PublicKey]) -> Callable[..., bls.PublicKey]:
        def remembering(keys: tuple[bls.PublicKey, ...]) -> bls.PublicKey:
            total = aggregate(keys)
            self._parts[total.raw] = tuple(key.raw for key in keys)
            return total

        known = cache(remembering)
        return lambda keys: known(tuple(keys))

    def summing(self, aggregate: Callable[..., bytes]) -> Callable[..., bytes]:
        known = cache(aggregate)
        self._sum = lambda signatures: known(tuple(sorted(signatures)))  # in any order
        return self._sum

    def verifying(self, verify: Callable[..., bool]) -> Callable[..., bool]:
        known = cache(verify)

        def remembering(key: bls.PublicKey, message: bytes, signature: bytes) -> bool:
            return self._is_known(key, message, signature) or known(key, message, signature)

        return remembering

    def verifying_batches(self, verify_batch: Callable[..., bool]) -> Callable[..., bool]:
        """Random factors are still drawn, so that a world's random numbers stay the same."""

        def remembering(signed: Sequence[bls.Signed], entropy: Callable[[int], bytes]) -> bool:
            if not signed or not all(
                self._is_known(each.key, each.message, each.signature) for each in signed
            ):
                return verify_batch(signed, entropy)
            entropy(bls.FACTOR_BYTES * len(signed))
            return True

        return remembering

    def _is_known(self, key: bls.PublicKey, message: bytes, signature: bytes) -> bool:
        made = [self._made.get((part, message)) for part in self._parts.get(key.raw, (key.raw,))]
        known = [each for each in made if each is not None]
        if len(known) < len(made):
            return False
        return signature == (known[0] if len(known) == 1 else self._sum(known))


class _FinalitySignatures:
    """All signatures of batches made in this process. The same holds for them."""

    def __init__(self) -> None:
        self._totals: dict[tuple[bn254.G1, bn254.G1], int] = {}  # sums of secrets

    def signing(self, sign: Callable[..., bn254.G1]) -> Callable[..., bn254.G1]:
        def remembering(secrets: tuple[int, ...], message: bytes) -> bn254.G1:
            made = sign(list(secrets), message)
            self._totals[bn254.hash_to_curve(message), made] = sum(secrets) % tower.R
            return made

        known = cache(remembering)
        return lambda secrets, message: known(tuple(secrets), message)

    def verifying(self, is_signed: Callable[..., bool]) -> Callable[..., bool]:
        known = cache(is_signed)

        def remembering(message: bn254.G1, signature: bn254.G1, key_lines: Any) -> bool:
            total = self._totals.get((message, signature))
            if total is not None and key_lines is pairing.prepare(bn254.public_key(total)):
                return True
            return known(message, signature, key_lines)

        return remembering


def _of_proofs(verify: Callable[..., None]) -> Callable[..., None]:
    """Four operators verify the same proofs. Those that were refused are verified again."""
    valid: set[tuple[object, ...]] = set()

    def remembering(air: Air, parameters: Parameters, proof: bytes) -> None:
        if not isinstance(proof, bytes):
            verify(air, parameters, proof)
            return
        key = (air, parameters, sha256(proof).digest(), compiled.in_use() is None)
        if key not in valid:
            verify(air, parameters, proof)
            valid.add(key)

    return remembering


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


def _of_disks(write_and_delete: Callable[[Path], None]) -> Callable[[Path], None]:
    """An attempt to write 1 MB takes longer than all else that opens a small database."""
    tried: set[int] = set()  # numbers of devices

    def remembering(folder: Path) -> None:
        device = folder.stat().st_dev if folder.is_dir() else None
        if device not in tried:
            write_and_delete(folder)
            tried.add(folder.stat().st_dev)
            return
        with TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))

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


def _of_routes(parse_parameters: Callable[..., Any]) -> Callable[..., Any]:
    """The types of a route's parameters are those of the function in its module, in every app."""
    types: dict[object, Any] = {}

    def remembering(func: Callable[..., Any], **options: Any) -> Any:
        code = inspect.unwrap(func).__code__
        if options != {"doc_ui": False}:
            return parse_parameters(func, **options)
        if code not in types:
            types[code] = parse_parameters(func, **options)
        return types[code]

    return remembering


def _of_templates(compile_template: Callable[..., Any]) -> Callable[..., Any]:
    """Every app of the explorer compiles the same templates to code that names no app."""
    codes: dict[tuple[object, ...], Any] = {}

    def remembering(self: Environment, source: Any, name: str | None = None, *rest: Any) -> Any:
        if not isinstance(source, str):
            return compile_template(self, source, name, *rest)
        escapes = self.autoescape(name) if callable(self.autoescape) else self.autoescape
        key = (source, name, *rest, escapes, self.trim_blocks, self.lstrip_blocks)
        if key not in codes:
            codes[key] = compile_template(self, source, name, *rest)
        return codes[key]

    return remembering
