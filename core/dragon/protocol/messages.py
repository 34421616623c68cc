"""Signed messages between services. They travel in requests and never become events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from dragon.protocol.claims.status import Status
from dragon.protocol.shape import Hex, Id, Integer, SignedShape

NONCE_SIZES = range(16, 33)


@dataclass(frozen=True, slots=True)
class StatusAnswer(SignedShape):
    """An operator answers for itself. The nonce is the asker's: no old answer can be replayed."""

    KIND: ClassVar[str] = "status-answer"

    node_id: Annotated[str, Id()]
    status: Status
    time_ms: Annotated[int, Integer()]  # Unix milliseconds by the answering operator's clock
    nonce: Annotated[bytes, Hex(size=NONCE_SIZES)]  # 16 to 32 bytes


@dataclass(frozen=True, slots=True)
class Suspicion(SignedShape):
    """One operator's own probe says that a node changed. Starts a gathering, proves nothing."""

    KIND: ClassVar[str] = "suspicion"

    node_id: Annotated[str, Id()]
    status: Status
    timestamp: Annotated[int, Integer()]  # Unix seconds, the start of a round
    operator: Annotated[str, Id()]
