"""Everything that pages are made of, and the moment for which they are made."""

from __future__ import annotations

from dataclasses import dataclass

from dragon.log.follower import Follower
from dragon.log.index_tables import StreamRecords
from dragon.log.store import Log
from dragon.protocol.committee import Committee
from dragon_explorer.epochs import Epochs
from dragon_explorer.history.store import History
from dragon_explorer.history.window_votes import WindowVotes
from dragon_explorer.index import LogIndex
from dragon_explorer.live.approved_files import ApprovedFiles
from dragon_explorer.live.board import Board
from dragon_explorer.maintenance import Maintenance
from dragon_explorer.public_page import PublicFile, PublicPage


@dataclass(frozen=True, slots=True)
class Sources:
    """What views read. They change nothing in it."""

    log: Log
    epochs: Epochs
    records: StreamRecords
    follower: Follower
    index: LogIndex
    maintenance: Maintenance
    board: Board
    approved_files: ApprovedFiles
    history: History
    window_votes: WindowVotes
    public_file: PublicFile

    @property
    def committee(self) -> Committee:
        """The committee that holds. A view reads it once, so that it is of one epoch."""
        return self.log.committee

    @property
    def public(self) -> PublicPage:
        """What the public page shows now."""
        return self.public_file.page
