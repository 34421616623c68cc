"""The owner's approval of the next committee: a file on this operator's own host.

`dragon committee approve` writes it, and `withdraw` removes it. There is at most one. It lapses
after a week; what was signed by then can be used until a later mark is in the log.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import structlog

from dragon.encoding import Json, Members, parse
from dragon.errors import DragonError
from dragon.protocol.committee import MAX_FILE_BYTES, Committee

LAPSES_SECONDS: Final = 7 * 86_400

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Approval:
    """A committee that the owner has approved."""

    approved_at: int  # Unix seconds, by the owner's clock
    committee: Committee

    def counts_at(self, now: float) -> bool:
        """Whether it has not lapsed at a time in Unix seconds.

        One from the future, by a clock that was wrong, counts for no longer than another one.
        """
        return abs(now - self.approved_at) <= LAPSES_SECONDS

    def to_json(self) -> dict[str, Json]:
        """Return the content of the file."""
        return {"approved_at": self.approved_at, "committee": self.committee.to_json()}

    @classmethod
    def load(cls, raw: bytes) -> Self:
        """Decode and check a file. Raises InvalidEncoding, InvalidCommittee."""
        members = Members(parse(raw), "the approval")
        approved_at = members.integer("approved_at")
        committee = Committee.from_json(members.take("committee"))
        members.end()
        committee.check()
        return cls(approved_at, committee)

    def encode(self) -> str:
        """Return the text of the file."""
        return json.dumps(self.to_json(), indent=2) + "\n"


def approval_path(database: Path) -> Path:
    """Return the path of the approval that belongs to an operator's database."""
    return database.with_name(f"{database.stem}-approved.json")


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a file said when it was read."""

    stamp: tuple[int, int, int] | None = None  # of the file; None: there was none
    approval: Approval | None = None
    fault: str = ""  # why the file is not used; empty if there is none, or it is fine


class Approvals:
    """The approval beside an operator's database. Any thread may ask.

    It is read again when the file changes, so an approval counts at once.
    """

    def __init__(self, path: Path, wall: Callable[[], float]) -> None:
        self._path = path
        self._wall = wall
        # Replaced as a whole: a thread that reads an older file for long must not leave what that
        # one said under the stamp of the present file.
        self._reading = _Reading()
        self._lapsed: Approval | None = None  # that was reported as lapsed

    @property
    def fault(self) -> str:
        """Why the file is not used; empty if there is none, or it is fine."""
        return self._reading.fault

    def current(self) -> Committee | None:
        """Return the approved committee, if there is one and it has not lapsed."""
        found = self._read()
        if found is None:
            return None
        if found.counts_at(self._wall()):
            return found.committee
        if self._lapsed != found:
            self._lapsed = found
            logger.warning("approval_lapsed", epoch=found.committee.epoch)
        return None

    def _read(self) -> Approval | None:
        known = self._reading
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp == known.stamp:
                return known.approval
            # Twice the size of a committee file: white space, and the time.
            with self._path.open("rb") as file:
                raw = file.read(2 * MAX_FILE_BYTES)
            found = self._decoded(stamp, raw)
        except FileNotFoundError:
            found = _Reading()
        except OSError as error:
            found = _Reading(fault=f"{self._path} cannot be read: {error.strerror}")
        self._reading = found
        return found.approval

    def _decoded(self, stamp: tuple[int, int, int], raw: bytes) -> _Reading:
        try:
            approval = Approval.load(raw)
        except DragonError as error:
            fault = f"{self._path} is no approval: {error}"
            logger.warning("approval_refused", reason=fault)
            return _Reading(stamp, fault=fault)
        logger.info("approval_read", epoch=approval.committee.epoch)
        return _Reading(stamp, approval)
