"""Signed messages between services. They are sent in requests and never become events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from dragon.protocol.claims.status import Status
from dragon.protocol.shape import Hex, Id, Integer, SignedShape

NONCE_SIZES: Final = range(16, 33)  # bytes


@dataclass(frozen=True, slots=True)
class StatusAnswer(SignedShape):
    """An operator's status of itself, as it answers a probe.

    The prober chooses the nonce, so an old answer cannot be replayed.
    """

    KIND: ClassVar[str] = "status-answer"

    node_id: Annotated[str, Id()]
    status: Status
    time_ms: Annotated[int, Integer()]  # Unix milliseconds by the answering operator's clock
    nonce: Annotated[bytes, Hex(size=NONCE_SIZES)]  # 16 to 32 bytes


@dataclass(frozen=True, slots=True)
class Suspicion(SignedShape):
    """A report of one operator that its probe of a node shows a change.

    It makes aggregators collect attestations. It proves nothing.
    """

    KIND: ClassVar[str] = "suspicion"

    node_id: Annotated[str, Id()]
    status: Status
    timestamp: Annotated[int, Integer()]  # Unix seconds, the start of a round
    operator: Annotated[str, Id()]
