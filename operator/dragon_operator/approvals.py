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


class Approvals:
    """The approval beside an operator's database. Any thread may ask.

    It is read again when the file changes, so an approval counts at once.
    """

    def __init__(self, path: Path, wall: Callable[[], float]) -> None:
        self._path = path
        self._wall = wall
        self._stamp: tuple[int, int, int] | None = None
        self._found: Approval | None = None
        self._lapsed: Approval | None = None  # that was reported as lapsed
        self.fault = ""  # why the file is not used; empty if there is none, or it is fine

    def current(self) -> Committee | None:
        """Return the approved committee, if there is one and it has not lapsed."""
        found = self._read()
        if found is None:
            return None
        if self._wall() - found.approved_at <= LAPSES_SECONDS:
            return found.committee
        if self._lapsed != found:
            self._lapsed = found
            logger.warning("approval_lapsed", epoch=found.committee.epoch)
        return None

    def _read(self) -> Approval | None:
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp != self._stamp:
                # Twice the size of a committee file: white space, and the time.
                with self._path.open("rb") as file:
                    raw = file.read(2 * MAX_FILE_BYTES)
                self._stamp, self._found, self.fault = stamp, None, ""
                self._found = Approval.load(raw)
                logger.info("approval_read", epoch=self._found.committee.epoch)
        except FileNotFoundError:
            self._stamp, self._found, self.fault = None, None, ""
        except OSError as error:
            self._found, self.fault = None, f"{self._path} cannot be read: {error.strerror}"
        except DragonError as error:
            self.fault = f"{self._path} is no approval: {error}"
            logger.warning("approval_refused", reason=self.fault)
        return self._found
