"""The journal's table `journal_period`: which report on a period the operator has signed.

A report follows from the log, which the journal keeps to. The row is a second safeguard: another
release of the software that computed another report from the same log could not sign it for 30
days of log time. A row also spares the work of an evaluation. Strangers may request any period, so
the number of rows is bounded, and the oldest ones go first: without a row, the log still decides.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from dragon.encoding import to_hex
from dragon.errors import AttestationRefused
from dragon.protocol.claims.period import PeriodClaim
from dragon.protocol.refusal import RefusalReason

PERIOD_TTL_SECONDS: Final = 30 * 86_400  # of log time, after which a row is deleted
MAX_PERIOD_ROWS: Final = 10_000  # beyond, the oldest are deleted

_KNOWN: Final = text(
    "SELECT nodes, report FROM journal_period WHERE begin = :begin AND end = :end AND size = :size"
)
_SIGN: Final = text(
    "INSERT INTO journal_period (begin, end, size, nodes, report, log_time) "
    "VALUES (:begin, :end, :size, :nodes, :report, :log_time)"
)
_FORGET: Final = text(
    "DELETE FROM journal_period WHERE log_time < :oldest "
    "OR id <= (SELECT MAX(id) FROM journal_period) - :most"
)


def is_signed(connection: Connection, claim: PeriodClaim) -> bool:
    """Whether this claim was signed before.

    Raises AttestationRefused: `equivocation`, another report on that period was signed.
    """
    row = connection.execute(_KNOWN, _key(claim)).first()
    if row is None:
        return False
    if (row.nodes, row.report) != (claim.nodes, to_hex(claim.report)):
        message = f"already signed the report {row.report} on {row.nodes} nodes in that period"
        raise AttestationRefused(RefusalReason.EQUIVOCATION, message)
    return True


def decide(connection: Connection, claim: PeriodClaim, log_time: int) -> None:
    """Record the decision to sign a claim.

    Args: `log_time`, Unix seconds.

    Raises AttestationRefused: `equivocation`, as `is_signed`.
    """
    if is_signed(connection, claim):
        return
    values = {"nodes": claim.nodes, "report": to_hex(claim.report), "log_time": log_time}
    connection.execute(_SIGN, _key(claim) | values)
    oldest = log_time - PERIOD_TTL_SECONDS
    connection.execute(_FORGET, {"oldest": oldest, "most": MAX_PERIOD_ROWS})


def _key(claim: PeriodClaim) -> dict[str, object]:
    return {"begin": claim.begin, "end": claim.end, "size": claim.size}
