"""What others learn of a stream: traffic, files of nodes and ledger, public responses."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from stream_simulation import PROVER, STREAMS, StreamWorld

BEGINNING: Final = np.uint64(0xFFFFFF)  # of eight bytes, little endian: the first three


def address(world: StreamWorld, request: Any) -> str:
    host: str = request.url.split("/")[2]
    return world.names.get(host, host)


def raw(request: Any) -> bytes:
    body = request.body or b""
    head = f"{request.method} {request.url} {dict(request.headers)}".encode()
    return head + (body.encode() if isinstance(body, str) else body)


def sent_to_nodes(world: StreamWorld) -> Iterator[bytes]:
    """Every request except those of the owner and those to the service or its prover."""
    for caller, request in world.sent:
        if address(world, request) not in (STREAMS, PROVER) and caller != "owner":
            yield raw(request)


def stored_by_nodes(world: StreamWorld) -> Iterator[bytes]:
    """The content of every file of operators, aggregators and ledger."""
    files = [path for path in world.folder.iterdir() if path.is_file()]
    names = (*world.operators, *world.aggregators, "sequencer")
    for name in names:
        found = [path for path in files if path.name.startswith(name)]
        assert found, name
        yield from (path.read_bytes() for path in found)


def public_responses(
    world: StreamWorld, stream: Mapping[str, Any], *, windows: int, chunks: int
) -> Iterator[bytes]:
    """Responses of the stream service to requests without a token."""
    paths = ["", "/windows", *(f"/windows/{n}" for n in range(windows))]
    for chunk in range(chunks):
        paths += [f"/chunks/{chunk}", f"/chunks/{chunk}/receipt?proof=1"]
    for path in paths:
        answer = world.ask(stream, path)
        assert answer.ok, answer.text
        yield answer.content
    for path in ("/chunks", "/chunks/0/data", "/chunks/0/receipt?disclose=1"):
        assert world.ask(stream, path).status_code == 401
        yield world.ask(stream, path).content
    for path in ("/healthz", "/readyz", "/metrics", "/streams", "/refused", "/openapi.json"):
        yield world.get(STREAMS, path).content


def written(secret: bytes) -> list[bytes]:
    """Every encoding in which a secret could appear."""
    return [
        secret,
        secret.hex().encode(),
        secret.hex().upper().encode(),
        base64.b64encode(secret).rstrip(b"="),
        base64.urlsafe_b64encode(secret).rstrip(b"="),
    ]


def occurring(held: bytes, wanted: Sequence[bytes]) -> set[bytes]:
    """Those of `wanted`, of at least eight bytes each, that occur in `held`.

    For speed, `held` is first searched for the first three, then the first eight bytes.
    """
    starts = np.array([int.from_bytes(each[:8], "little") for each in wanted], dtype=np.uint64)
    begun = np.zeros(1 << 24, dtype=bool)
    begun[starts & BEGINNING] = True
    near = np.zeros(len(starts), dtype=bool)
    for shift in range(8):
        size = (len(held) - shift) // 8 * 8
        view = np.frombuffer(held, dtype="<u8", offset=shift, count=size // 8)
        near |= np.isin(starts, view[begun[view & BEGINNING]])
    return {form for form in itertools.compress(wanted, near) if form in held}
