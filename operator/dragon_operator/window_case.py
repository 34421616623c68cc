"""What a finding on a window follows from, and how it crosses to a worker process and back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final, Self

from dragon.errors import AttestationRefused, DragonError, WorkerDied
from dragon.node.workers.ipc import Strings
from dragon.protocol.claims.window import InvalidReason
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams.chunks import decode_chunks
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.finding import Finding, judge
from dragon.protocol.streams.window import WindowHeader
from dragon.stark import compiled

COMPILED: Final = "compiled"
PLAIN: Final = "plain"
VERIFIERS: Final = (COMPILED, PLAIN)
_FINDING = b"finding"
_REFUSED = b"refused"
_FAILED = b"failed"


@dataclass(frozen=True, slots=True)
class WindowCase:
    """A window with its objects, and everything else that a finding depends on."""

    descriptor: Descriptor
    header: WindowHeader
    signature: bytes  # of the header
    chunks: bytes = field(repr=False)  # encoded chunk headers, not checked
    proof: bytes = field(repr=False)
    previous: WindowHeader | None  # None for the first window
    now_ms: int
    network_id: bytes

    def judge(self) -> Finding:
        """Verify the window in this process; see `dragon.protocol.streams.finding.judge`.

        Raises AttestationRefused: there is no finding.
        """
        try:
            chunks = decode_chunks(self.chunks)
        except DragonError as error:
            message = f"the chunk headers cannot be decoded: {error}"
            raise AttestationRefused(RefusalReason.MALFORMED, message) from None
        return judge(
            self.descriptor,
            self.header,
            self.signature,
            chunks,
            self.proof,
            previous=self.previous,
            now_ms=self.now_ms,
            network_id=self.network_id,
        )

    def pack(self) -> Strings:
        """The strings that the case is sent as."""
        return [
            self.descriptor.encode(),
            self.header.encode(),
            self.signature,
            self.chunks,
            self.proof,
            self.previous.encode() if self.previous else b"",
            b"%d" % self.now_ms,
            self.network_id,
        ]

    @classmethod
    def unpack(cls, strings: Strings) -> Self:
        """The case that `pack` encoded. Raises DragonError, ValueError: it is none."""
        descriptor, header, signature, chunks, proof, previous, now_ms, network_id = strings
        return cls(
            Descriptor.decode(descriptor),
            WindowHeader.decode(header),
            signature,
            chunks,
            proof,
            WindowHeader.decode(previous) if previous else None,
            int(now_ms),
            network_id,
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a worker found: a finding, or why there is none."""

    result: Finding | AttestationRefused
    seconds: float  # of processor time
    verifier: str  # COMPILED or PLAIN


def verifier_in_use() -> str:
    """The verifier that this process uses: COMPILED or PLAIN."""
    return COMPILED if compiled.in_use() else PLAIN


def answer(strings: Strings) -> Strings:
    """Judge a packed case, and return the packed judgement."""
    begun = time.thread_time()
    try:
        finding = WindowCase.unpack(strings).judge()
        said = [_FINDING, finding.reason.encode(), _text(finding.detail)]
    except AttestationRefused as refused:
        said = [_REFUSED, refused.reason.encode(), _text(str(refused))]
    except Exception as error:  # a fault of this code must not end the worker
        return [_FAILED, type(error).__name__.encode()]
    seconds = b"%.9f" % (time.thread_time() - begun)
    return [*said, seconds, verifier_in_use().encode()]


def judgement(strings: Strings) -> Judgement:
    """The judgement that `answer` packed. Raises WorkerDied: the worker failed."""
    if strings[0] == _FAILED:
        raise WorkerDied(f"the worker failed: {strings[1].decode()}")
    kind, reason, message, seconds, verifier = strings
    name = verifier.decode()
    if name not in VERIFIERS:
        raise ValueError("a worker's answer must name its verifier")
    if kind == _FINDING:
        finding = Finding(InvalidReason(reason.decode()), message.decode())
        return Judgement(finding, float(seconds), name)
    if kind != _REFUSED:
        raise ValueError("a worker's answer must be a finding or a refusal")
    refused = AttestationRefused(RefusalReason(reason.decode()), message.decode())
    return Judgement(refused, float(seconds), name)


def _text(message: str) -> bytes:
    return message.encode(errors="replace")
