"""The journal's table `journal_handover`: which next committee the operator has signed for.

One row for each epoch, for both sides of a handover. The same next committee may be signed for in
later rounds. Another one of that epoch only when log time has reached the newest round that was
signed: a handover is applied only if it is later than log time, so no certificate with the former
signature can be applied any more. So there are never two different handovers with a signature of
this operator that could both still be applied.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from dragon.encoding import to_hex
from dragon.errors import AttestationRefused
from dragon.protocol.claims.handover import AcceptanceClaim, HandoverClaim
from dragon.protocol.refusal import RefusalReason

_FORGET: Final = text("DELETE FROM journal_handover WHERE epoch <= :epoch")
_KNOWN: Final = text("SELECT next, timestamp FROM journal_handover WHERE epoch = :epoch")
_SIGN: Final = text("REPLACE INTO journal_handover VALUES (:epoch, :next, :timestamp)")


def decide(
    connection: Connection, claim: HandoverClaim | AcceptanceClaim, epoch: int, log_time: int
) -> None:
    """Record the decision to sign for a handover, on either side.

    Args:
        epoch: of the committee that holds; decisions on it and earlier ones are deleted.
        log_time: Unix seconds.

    Raises AttestationRefused: `equivocation`, another committee of that epoch was signed for.
    """
    connection.execute(_FORGET, {"epoch": epoch})
    known = connection.execute(_KNOWN, {"epoch": claim.epoch}).first()
    named, newest = to_hex(claim.next), claim.timestamp
    if known is not None and known.next == named:
        newest = max(newest, known.timestamp)
    elif known is not None and log_time < known.timestamp:
        left = known.timestamp - log_time
        message = f"already signed for another committee; log time has to pass {left} s"
        raise AttestationRefused(RefusalReason.EQUIVOCATION, message)
    connection.execute(_SIGN, {"epoch": claim.epoch, "next": named, "timestamp": newest})
