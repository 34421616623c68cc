"""Verified logs that a report can be computed from: of an operator, or a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click

from dragon.errors import DragonError, NotSettled, Unreachable
from dragon.log.audit import audit
from dragon.net.checkpoint_sync import fetch_certified
from dragon.net.http_client import HttpClient
from dragon.protocol import merkle
from dragon.protocol.committee import Committee
from dragon.protocol.state import Mark, State, advance
from dragon_cli.file_kinds import check_is_log


@dataclass(frozen=True, slots=True)
class VerifiedLog:
    """A log of which every entry is verified."""

    source: str  # where the entries come from, in words
    state: State
    tree: merkle.Tree
    checkpoint: Mark  # the newest; a quorum has signed it

    def settled_until(self, committee: Committee) -> int:
        """Return the time before which no event can be added, in Unix seconds.

        Raises NotSettled: the log has no checkpoint.
        """
        last = self.state.checkpoint
        if last is None:
            raise NotSettled("The log has no certified checkpoint yet, so nothing is settled.")
        return last.timestamp - committee.rounds.settled_after


def of_file(path: Path, committee: Committee) -> VerifiedLog:
    """Verify all entries of an operator's log file.

    Raises WrongFile, NotSettled; as `audit`.
    """
    check_is_log(path)
    found = audit(path, committee, lambda entries: _show(entries, None))
    if (last := found.state.checkpoint) is None:
        raise NotSettled("The log has no certified checkpoint yet, so nothing is settled.")
    return VerifiedLog(str(path), found.state, found.tree, last)


def of_operators(committee: Committee, operators: Iterable[str], http: HttpClient) -> VerifiedLog:
    """Fetch the certified log of the first operator that has a valid one.

    Raises:
        Unreachable: none has; the fact `silent` has the reason of each.
    """
    failed: dict[str, str] = {}
    for operator in operators:
        try:
            return _of_operator(committee, operator, http)
        except DragonError as error:
            failed[operator] = str(error)
    said = "; ".join(f"{operator}: {why}" for operator, why in failed.items())
    raise Unreachable(f"No operator gave a certified log: {said}", silent=failed)


def _of_operator(committee: Committee, operator: str, http: HttpClient) -> VerifiedLog:
    found = fetch_certified(committee, operator, http, monotonic=time.monotonic, progress=_show)
    state = State.of(committee)
    for entry in found.entries:
        state = advance(state, entry.event.claim)
    claim = found.claim
    newest = Mark(claim.size, claim.log_root, claim.timestamp, found.position)
    return VerifiedLog(f"the log of {operator}", state, found.tree, newest)


def _show(entries: int, total: int | None) -> None:
    """Show the progress on a terminal."""
    if sys.stderr.isatty() and entries % 256 == 0:
        of = "" if total is None else f" of {total}"
        click.echo(f"\r{entries}{of} entries verified", nl=False, err=True)
