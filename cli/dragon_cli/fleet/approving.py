"""Approve the next committee on the operator's own host, and withdraw the approval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dragon import errors
from dragon.encoding import to_hex
from dragon.log import stored_lineage
from dragon.log.stored_lineage import StoredLineage
from dragon.protocol.committee import MAX_FILE_BYTES, Committee, short_id
from dragon.protocol.lineage import Lineage
from dragon.protocol.succession import Known, check_successor
from dragon_cli.errors import ApprovedAnother, HoldsAlready, LogNotCurrent, NotAMember
from dragon_cli.files import PUBLIC_MODE, read_bytes, write_whole
from dragon_cli.fleet.own_operators import OwnOperator
from dragon_cli.hints import with_hint
from dragon_cli.render.text import duration
from dragon_operator.approvals import LAPSES_SECONDS, Approval, approval_path

PART_HINT: Final = "Only operators of the present or the next committee approve."


def current_lineage(operator: OwnOperator, now: float) -> Lineage:
    """Return the lineage in an operator's own log, if it shows which committee holds now.

    Args: `now`, Unix seconds.

    Raises LogNotCurrent; LogDamaged, DatabaseTooNew, DatabaseTooOld.
    """
    try:
        stored = stored_lineage.read(operator.database)
    except errors.NotFound:
        message = f"{operator.id} has no log yet at {operator.database}."
        raise LogNotCurrent(message, operator=operator.id) from None
    _check_current(operator, stored, now)
    return stored.lineage


def _check_current(operator: OwnOperator, stored: StoredLineage, now: float) -> None:
    if stored.alarm is not None:
        message = f"The log of {operator.id} has stopped: {stored.alarm.reason}."
        hint = "docs/operating.md describes each alarm."
        raise with_hint(LogNotCurrent(message, operator=operator.id), hint)
    age = int(now) - stored.log_time
    if age > stored.lineage.newest.rounds.unknown_after:
        message = (
            f"The newest checkpoint in the log of {operator.id} is {duration(age)} old, so another "
            "committee may hold by now."
        )
        raise LogNotCurrent(message, operator=operator.id, seconds=age)


def with_a_part(
    operators: Sequence[OwnOperator], following: Committee, now: float
) -> list[tuple[OwnOperator, Lineage]]:
    """Return the operators that have a part in a handover, each with its lineage.

    Operators of earlier committees have none. One that leaves takes part if its log is current: it
    may be dropped because it is down.

    Raises LogNotCurrent: of an operator that the next committee lists; NotAMember: there is none.
    """
    ready = []
    for operator in operators:
        try:
            lineage = current_lineage(operator, now)
        except LogNotCurrent:
            if operator.id in following.keys:
                raise
            continue
        if operator.id in {*lineage.newest.keys, *following.keys}:
            ready.append((operator, lineage))
    if not ready:
        message = "Neither the committee that holds nor the next one lists an own operator."
        raise with_hint(NotAMember(message), PART_HINT)
    return ready


def check_fit(operator: OwnOperator, lineage: Lineage, following: Committee) -> None:
    """Check that a committee may follow, and that this operator has a part in the handover.

    Raises:
        HoldsAlready: it is the newest committee of the lineage.
        BrokenSuccession, RecycledId, RecycledKey, OversizedEvent: it is not fit to follow.
        NotAMember: this host has no key with which it could sign.
    """
    holding = lineage.newest
    if following.id == holding.id:
        raise HoldsAlready(f"This committee holds already: it is that of epoch {holding.epoch}.")
    check_successor(Known.of(lineage.committees), lineage.sealed(holding.epoch), following)
    if operator.id not in {*holding.keys, *following.keys}:
        message = f"Neither the committee that holds nor the next one lists {operator.id}."
        raise with_hint(NotAMember(message, id=operator.id), PART_HINT)
    operator.check_seat(following)


def approved(operator: OwnOperator, now: float) -> Approval | None:
    """Return the approval that counts now, if there is one; an unusable file counts as none."""
    path = approval_path(operator.database)
    if not path.exists():
        return None
    try:
        found = Approval.load(read_bytes(path, most=2 * MAX_FILE_BYTES))
    except (errors.InvalidEncoding, errors.InvalidCommittee):
        return None
    return found if now - found.approved_at <= LAPSES_SECONDS else None


def check_no_other(
    operator: OwnOperator, lineage: Lineage, following: Committee, now: float
) -> None:
    """Check that no other committee is approved that could still follow. Raises ApprovedAnother."""
    found = approved(operator, now)
    if found is None or found.committee.id == following.id:
        return
    if found.committee.previous == lineage.newest.id:
        message = (
            f"{operator.id} has approved another committee, {short_id(found.committee.id)}; one at "
            "a time can be approved."
        )
        raise ApprovedAnother(message, approved=to_hex(found.committee.id))


def approve(operators: Sequence[OwnOperator], following: Committee, now: float) -> None:
    """Write the approvals. Each is there completely or not at all. Raises UnusableFile."""
    text = Approval(int(now), following).encode()
    for operator in operators:
        write_whole(approval_path(operator.database), text, mode=PUBLIC_MODE)


def withdraw(operator: OwnOperator) -> Path | None:
    """Remove an approval. Returns the path of the removed file, or None if there was none."""
    path = approval_path(operator.database)
    if not path.exists():
        return None
    path.unlink(missing_ok=True)
    return path
