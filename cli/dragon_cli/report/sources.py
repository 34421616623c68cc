"""Verified logs that a report can be computed from: of an operator, or a file."""

from __future__ import annotations

import sys
import time
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

from dragon.errors import BadAnswer, DragonError, LineageUnproven, NotSettled, Unreachable
from dragon.log.audit import audit
from dragon.log.vouching import vouched
from dragon.net.checkpoint_sync import fetch_certified
from dragon.net.http_client import HttpClient
from dragon.net.lineage_client import fetch_lineage
from dragon.protocol import merkle
from dragon.protocol.claims.base import Claim
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.committee import Committee
from dragon.protocol.lineage import Lineage
from dragon.protocol.state import Mark, State
from dragon.protocol.transition import advance
from dragon.protocol.trust import Trust
from dragon_cli.file_kinds import check_is_log
from dragon_cli.trust import superseded_hint


@dataclass(frozen=True, slots=True)
class VerifiedLog:
    """A log of which every entry is verified."""

    source: str  # where the entries come from, in words
    state: State
    tree: merkle.Tree
    checkpoint: Mark  # the newest; a quorum has signed it
    committees: Sequence[Committee]  # that have held in the log, from epoch 0 on

    def settled_until(self) -> int:
        """Return the time before which no event can be added, in Unix seconds.

        Raises NotSettled: the log has no checkpoint.
        """
        last = self.state.mark
        if last is None:
            raise NotSettled("The log has no certified checkpoint yet, so nothing is settled.")
        return last.timestamp - last.rounds.settled_after

    def holding(self, begin: int, end: int) -> list[Committee]:
        """Return the committees that held in the time from `begin` to `end`, oldest first.

        At least one: before genesis that of epoch 0.
        """
        seats = [mark.timestamp for mark in self.state.handovers]
        first, last = bisect_right(seats, begin), bisect_left(seats, end)
        return list(self.committees[first : last + 1])


def of_file(path: Path, trust: Trust) -> VerifiedLog:
    """Verify all entries of an operator's log file.

    Raises WrongFile, NotSettled; as `audit`.
    """
    check_is_log(path)
    with superseded_hint("Get a newer copy of the log."):
        found = audit(path, trust, lambda entries: _show(entries, None))
    if (last := found.state.checkpoint) is None:
        raise NotSettled("The log has no certified checkpoint yet, so nothing is settled.")
    return VerifiedLog(str(path), found.state, found.tree, last, found.committees)


def of_operators(trust: Trust, operators: Mapping[str, str], http: HttpClient) -> VerifiedLog:
    """Fetch the certified log of the first operator (name → URL) that has a valid one.

    Raises:
        Unreachable: none has; the fact `silent` has the reason of each.
    """
    failed: dict[str, str] = {}
    for operator, url in operators.items():
        try:
            return _of_operator(trust, operator, url, http)
        except DragonError as error:
            failed[operator] = str(error)
    said = "; ".join(f"{operator}: {why}" for operator, why in failed.items())
    raise Unreachable(f"No operator gave a certified log: {said}", silent=failed)


def _of_operator(trust: Trust, operator: str, url: str, http: HttpClient) -> VerifiedLog:
    """Fetch the log of an operator, and the committees that followed those that are known.

    Raises DragonError.
    """
    lineage = trust.lineage
    with suppress(LineageUnproven):  # a handover a moment ago: what is known is enough until then
        lineage = lineage.replaced_by(fetch_lineage(http, url, lineage.network_id))
    known = Trust(lineage, trust.trust_from)
    found = fetch_certified(known, url, http, monotonic=time.monotonic, progress=_show)
    committees = lineage.committees
    if committees[0].epoch != 0:
        raise BadAnswer(f"{operator} has an older lineage than the committee file that is known")
    state = State.of(committees[0])
    for entry in found.entries:
        state = advance(state, entry.event.claim, _seated_by(entry.event.claim, lineage))
    vouched(known, state, found.tree)
    claim = found.claim
    rounds = lineage.named(found.committee_id).rounds
    newest = Mark(claim.size, claim.log_root, claim.timestamp, found.position, rounds)
    held = committees[: state.committee.epoch + 1]
    return VerifiedLog(f"the log of {operator}", state, found.tree, newest, held)


def _seated_by(claim: Claim, lineage: Lineage) -> Committee | None:
    """Return the committee that a handover seats. Raises WrongCommittee: it is unknown."""
    return lineage.named(claim.next) if isinstance(claim, HandoverClaim) else None


def _show(entries: int, total: int | None) -> None:
    """Show the progress on a terminal."""
    if sys.stderr.isatty() and entries % 256 == 0:
        of = "" if total is None else f" of {total}"
        click.echo(f"\r{entries}{of} entries verified", nl=False, err=True)
