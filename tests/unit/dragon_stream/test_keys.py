"""Keys of streams are derived from the key of the service, each for one use only."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac

from dragon.protocol import bls
from dragon.stark.commitment import encode_output
from dragon.stark.ziggy import public_key
from dragon_stream.keys import StreamKeys

SERVICE = bls.SecretKey.generate(b"the service".ljust(32, b"."))
SEED, NETWORK = bytes(range(32)), bytes(32)


def keys(**other: object) -> StreamKeys:
    wanted = {"service": SERVICE, "seed": SEED, "network_id": NETWORK}
    return StreamKeys.derive(**{**wanted, "parameters": "standard", "name": "s", **other})  # type: ignore[arg-type]


def expected(use: bytes) -> bytes:
    """Computed from the class's documentation, without its code."""
    message = b"datadragon/stream-keys/v1/" + use + b"\0" + SEED
    return hmac.new(SERVICE.scalar.to_bytes(32, "big"), message, hashlib.sha256).digest()


def test_each_key_is_the_hmac_of_its_use_and_the_seed() -> None:
    made = keys()

    assert made.identity == expected(b"identity")
    assert made.header == bls.SecretKey.generate(expected(b"header"))
    assert made.salt == expected(b"salt")
    assert made.token == expected(b"token").hex()


def test_the_descriptor_contains_the_public_keys() -> None:
    made = keys(parameters="strong", name="sensor-1")

    assert made.descriptor.identity == encode_output(public_key(made.identity))
    assert made.descriptor.header_key == made.header.public_key()
    assert bls.verify_possession(made.descriptor.header_key, made.descriptor.proof_of_possession)
    assert (made.descriptor.name, made.descriptor.parameters) == ("sensor-1", "strong")
    assert made.descriptor.network_id == NETWORK


def test_keys_depend_on_seed_and_service_and_not_on_the_name() -> None:
    first = keys()
    other_service = bls.SecretKey.generate(b"another".ljust(32, b"."))

    for other in (keys(seed=bytes(32)), keys(service=other_service)):
        for name in ("identity", "header", "salt", "token"):
            assert getattr(other, name) != getattr(first, name)
    assert keys(name="other").salt == first.salt
    assert keys(name="other").descriptor.id != first.descriptor.id


def test_every_use_has_a_different_key() -> None:
    made = keys()
    raw = [made.identity, made.header.encode(), made.salt, bytes.fromhex(made.token)]

    assert len(set(raw)) == 4
    assert SERVICE.encode() not in raw


def test_repr_contains_no_secret() -> None:
    made = keys()

    for secret in (made.identity, made.salt, made.header.encode()):
        assert repr(secret) not in repr(made)
        assert secret.hex() not in repr(made)
    assert made.token not in repr(made)
    assert {f.name for f in dataclasses.fields(made) if f.repr} == {"descriptor"}


def test_only_the_exact_token_is_accepted() -> None:
    made = keys()

    assert made.is_token(made.token)
    for wrong in ("", made.token[:-1], made.token.upper() + " ", "\u00e9", made.token + "0"):
        assert not made.is_token(wrong)
